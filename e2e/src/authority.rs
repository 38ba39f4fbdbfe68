//! A certificate authority's namespace as it is now, in a form in which two rotations can be compared: numbers of
//! generations count from the one that signed before, and nothing depends on a clock or a random number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use serde_json::{Value, json};

use crate::kubectl::kubectl;

/// Asks for a rotation.
pub fn rotate(namespace: &str, name: &str, id: &str) {
    let patch = json!({"spec": {"rotateRequest": {"id": id, "reason": "a test"}}}).to_string();
    kubectl(&["--namespace", namespace, "patch", "ca", name, "--type=merge", "--patch", &patch]);
}

/// Everything in a namespace that a rotation touches, read at once.
pub struct Objects(Vec<Value>);

impl Objects {
    /// Reads them.
    pub fn of(namespace: &str) -> Self {
        let kinds = "ca,dmz,tcert,secret,configmap";
        let all = kubectl(&["--namespace", namespace, "get", kinds, "--output", "json"]);
        let all: Value = serde_json::from_str(&all).expect("JSON");
        Self(all["items"].as_array().cloned().unwrap_or_default())
    }

    fn one(&self, kind: &str, name: &str) -> &Value {
        self.0.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap_or(&Value::Null)
    }

    /// The generation that signs.
    pub fn issuing(&self, authority: &str) -> Option<u64> {
        self.one("CertificateAuthority", authority)["status"]["issuing"].as_u64()
    }

    /// The rotation that began after generation `before` signed, as far as it has come.
    pub fn rotation(&self, authority: &str, region: &str, before: u64) -> Value {
        let object = self.one("CertificateAuthority", authority);
        let status = &object["status"];
        let relative = |number: &Value| number.as_u64().map_or(Value::Null, |n| json!(signed(n) - signed(before)));
        let generations = status["generations"].as_array().cloned().unwrap_or_default();
        let of_this = |number: &Value| number.as_u64().is_some_and(|n| n >= before);
        let stages: Vec<_> = generations
            .iter()
            .filter(|g| of_this(&g["number"]) || g["state"] != "Removed")
            .map(|g| json!([relative(&g["number"]), g["state"]]))
            .collect();
        let history = status["history"].as_array().cloned().unwrap_or_default();
        // What became of the old generation before this rotation is its own rotation's.
        let history: Vec<_> = history
            .iter()
            .filter(|entry| {
                let after = matches!(entry["state"].as_str(), Some("PhasingOut" | "Removed"));
                of_this(&entry["generation"]) && (relative(&entry["generation"]) != json!(0) || after)
            })
            .map(|entry| json!([relative(&entry["generation"]), entry["state"]]))
            .collect();
        let bundle = self.text("ConfigMap", &format!("{authority}-ca-trust"), "ca.crt");
        let trust = TrustBundle::from_pem(&bundle).unwrap_or_else(|_| TrustBundle::empty());
        let number_of = |fingerprint: &str| {
            let of = generations.iter().find(|g| g["fingerprint"] == fingerprint);
            of.map_or(Value::Null, |g| relative(&g["number"]))
        };
        json!({
            "stages": stages,
            "history": history,
            "rotation": status["rotation"],
            "keys": self.keys(&format!("{authority}-ca"), before),
            "bundle": trust.certificates().map(|der| number_of(&inspect::fingerprint(&der))).collect::<Vec<_>>(),
            "region's bundle is the same": self.text("ConfigMap", &format!("{region}-trust"), "ca.crt") == bundle,
            "revocation lists": self.text("ConfigMap", &format!("{authority}-ca-trust"), "crls.pem").matches("BEGIN X509 CRL").count(),
            "bootstrap": self.issuer_in(&format!("{region}-gateway-bootstrap"), &trust).map(|f| number_of(&f)),
            "certificates": self.certificates(&trust, &number_of),
            "gateways": self.gateways(region, &number_of),
            "objects": self.names(),
        })
    }

    /// Names of what the authority's Secret holds, with relative numbers.
    fn keys(&self, secret: &str, before: u64) -> Vec<String> {
        let data = self.one("Secret", secret)["data"].as_object().cloned().unwrap_or_default();
        let mut keys: Vec<_> = data
            .keys()
            .map(|key| {
                let number = key.trim_start_matches("generation-").split('.').next().and_then(|n| n.parse().ok());
                number.map_or(key.clone(), |n: u64| {
                    key.replacen(&n.to_string(), &(signed(n) - signed(before)).to_string(), 1)
                })
            })
            .collect();
        keys.sort();
        keys
    }

    /// Each endpoint's certificate: who issued it by status and in fact, and whether they are the same certificate.
    fn certificates(&self, trust: &TrustBundle, number_of: &impl Fn(&str) -> Value) -> Vec<Value> {
        let of_kind = self.0.iter().filter(|object| object["kind"] == "TunnelCertificate");
        of_kind
            .map(|object| {
                let secret = object["spec"]["secretName"].as_str().unwrap_or_default();
                let serial = self.leaf(secret).and_then(|der| inspect::serial_hex(&der).ok());
                let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
                json!({
                    "name": object["metadata"]["name"],
                    "ready": conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"),
                    "issuer": self.issuer_in(secret, trust).map(|f| number_of(&f)),
                    "delivered is recorded": serial.is_some_and(|serial| object["status"]["serial"] == *serial),
                })
            })
            .collect()
    }

    fn gateways(&self, region: &str, number_of: &impl Fn(&str) -> Value) -> Vec<Value> {
        let status = &self.one("DmzRegion", region)["status"];
        let gateways = status["gateways"].as_array().cloned().unwrap_or_default();
        gateways
            .iter()
            .map(|gateway| {
                let certificates = gateway["certificates"].as_array().cloned().unwrap_or_default();
                let issuers = certificates
                    .iter()
                    .map(|c| json!([c["purpose"], number_of(c["issuer"].as_str().unwrap_or_default())]));
                json!({"name": gateway["name"], "certificates": issuers.collect::<Vec<_>>()})
            })
            .collect()
    }

    /// Everything by name, so that nothing is left over.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .0
            .iter()
            .map(|o| format!("{}/{}", o["kind"].as_str().unwrap_or(""), o["metadata"]["name"].as_str().unwrap_or("")))
            .collect();
        names.sort();
        names
    }

    fn text(&self, kind: &str, name: &str, key: &str) -> String {
        self.one(kind, name)["data"][key].as_str().unwrap_or_default().to_owned()
    }

    fn leaf(&self, secret: &str) -> Option<CertificateDer<'static>> {
        let encoded = self.one("Secret", secret)["data"]["tls.crt"].as_str()?;
        CertificateDer::from_pem_slice(&STANDARD.decode(encoded).ok()?).ok()
    }

    fn issuer_in(&self, secret: &str, trust: &TrustBundle) -> Option<String> {
        trust.issuer_of(&self.leaf(secret)?)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("few generations")
}

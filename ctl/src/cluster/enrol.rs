//! `enrol token`: a one-time token for an endpoint. The cluster gets its hash and its end, the caller the token, once.

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use sallyport_api::certificate_authority::{CertificateAuthorityStatus, GenerationState};
use sallyport_api::tunnel_certificate::EnrolmentToken;
use sallyport_api::{CertificateAuthority, CustomerSite, DmzRegion, TunnelCertificate, TunnelEndpoint};
use serde_json::json;

use super::client::Cluster;
use super::refusal::Refusal;
use super::rotate::no_randomness;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::words;

const MANAGER: &str = "sallyportctl-enrol";
/// The contract's limit (docs/design/private-ca.md): the operator accepts no token that lasts longer.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The operator measures with its own clock, so the longest tokens end this much sooner.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// Lets people and secret scanners recognise a token.
const PREFIX: &str = "spe_";
/// The environment variable that `sallyport-agent enrol` reads the token from.
const VARIABLE: &str = "SALLYPORT_ENROLMENT_TOKEN";

pub(crate) async fn token(
    cluster: &Cluster,
    endpoint: &str,
    valid_for: Duration,
    certificate: Option<&str>,
    output: &Output,
) -> Result<(), Failure> {
    if valid_for.is_zero() || valid_for > LONGEST {
        return Err(Failure::Usage("--valid-for: from 1s to 7d".to_owned()));
    }
    let (namespace, endpoint) = endpoint.split_once('/').unwrap_or((cluster.namespace.as_str(), endpoint));
    let way = Way::find(cluster, namespace, endpoint).await?;
    let candidates = cluster.list::<TunnelCertificate>(namespace).await?;
    let chosen = choose(&candidates, namespace, endpoint, certificate)?;

    let valid_for = valid_for.min(LONGEST - CLOCKS_DIFFER);
    let end = Timestamp::now() + SignedDuration::try_from(valid_for).unwrap_or(SignedDuration::ZERO);
    let token = make()?;
    let record = EnrolmentToken { sha256: hash(&token), expires_at: end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() };
    cluster.apply::<TunnelCertificate>(MANAGER, chosen, &json!({ "enrolmentToken": record })).await?;

    let command = way.command(namespace, endpoint);
    let name = chosen.name_any();
    if output.is_for_people() {
        output::say(&format!(
            "enrolment token for {namespace}/{endpoint}, certificate {name}, valid once and until {}; it is not shown again.\n\
             On the site's host, as the agent's user, which asks for the token (it also takes it from standard input or \
             the environment variable {VARIABLE}, and never from an argument):\n\n  {command}\n",
            words::time(end)
        ));
    }
    let answer = json!({
        "token": token,
        "endpoint": format!("{namespace}/{endpoint}"),
        "certificate": name,
        "expiresAt": record.expires_at,
        "gateway": way.gateway,
        "fingerprint": way.fingerprint,
        "command": command,
        "environment": VARIABLE,
    });
    output.answer(&answer, || token.clone())
}

/// Where the site dials, and by which certificate it knows the region.
struct Way {
    gateway: String,
    fingerprint: String,
}

impl Way {
    async fn find(cluster: &Cluster, namespace: &str, endpoint: &str) -> Result<Self, Refusal> {
        let endpoint: TunnelEndpoint = cluster.get(namespace, endpoint).await?;
        let site: CustomerSite = cluster.get(namespace, &endpoint.spec.site_ref.name).await?;
        let reference = &site.spec.region_ref;
        let region_namespace = reference.namespace.as_deref().unwrap_or(namespace);
        let region: DmzRegion = cluster.get(region_namespace, &reference.name).await?;
        let authority = &region.spec.certificate_authority_ref.name;
        let authority: CertificateAuthority = cluster.get(region_namespace, authority).await?;
        if site.spec.suspended {
            output::say(&format!(
                "note: site {namespace}/{} is suspended; its endpoint cannot connect",
                site.name_any()
            ));
        }
        let fingerprint = fingerprint(authority.status.as_ref(), &region).ok_or_else(|| Refusal::Unfit {
            object: format!("CertificateAuthority {region_namespace}/{}", authority.name_any()),
            why: "no generation signs yet (status.issuing)".to_owned(),
            remedy: format!(
                "wait until it is ready: kubectl wait --for=condition=Ready ca/{} --namespace {region_namespace}",
                authority.name_any()
            ),
        })?;
        let outer = &region.spec.outer;
        Ok(Self { gateway: format!("{}:{}", outer.host, outer.service.port), fingerprint })
    }

    fn command(&self, namespace: &str, endpoint: &str) -> String {
        let Self { gateway, fingerprint } = self;
        format!(
            "sallyport-agent enrol --gateway {gateway} --endpoint {namespace}/{endpoint} --fingerprint {fingerprint}"
        )
    }
}

/// The generation by which the agent knows the region: the one that certifies every outer door, and else, as at the
/// beginning and while the doors change to another, the one that signs.
fn fingerprint(status: Option<&CertificateAuthorityStatus>, region: &DmzRegion) -> Option<String> {
    let trusted = || {
        let generations = status.into_iter().flat_map(|status| &status.generations);
        generations.filter(|generation| generation.state != GenerationState::Removed)
    };
    let signs = trusted().filter(|generation| generation.state == GenerationState::Issuing).max_by_key(|g| g.number)?;
    let gateways = region.status.iter().flat_map(|status| &status.gateways);
    let outer = gateways.flat_map(|gateway| &gateway.certificates).filter(|certificate| certificate.purpose == "outer");
    let shown: BTreeSet<&str> = outer.map(|certificate| certificate.issuer.as_str()).collect();
    match shown.iter().collect::<Vec<_>>().as_slice() {
        [] => Some(signs.fingerprint.clone()),
        [one] if trusted().any(|generation| generation.fingerprint == **one) => Some((**one).to_owned()),
        _ => {
            output::say(
                "note: the gateways are changing to another generation; if the agent finds another CA, try again",
            );
            Some(signs.fingerprint.clone())
        }
    }
}

/// The certificate to enrol for: the named one, or the endpoint's only one that the agent can enrol for.
fn choose<'a>(
    certificates: &'a [TunnelCertificate],
    namespace: &str,
    endpoint: &str,
    named: Option<&str>,
) -> Result<&'a TunnelCertificate, Refusal> {
    let of_endpoint: Vec<&TunnelCertificate> = certificates
        .iter()
        .filter(|certificate| certificate.spec.endpoint_ref.name == endpoint)
        .filter(|certificate| named.is_none_or(|name| certificate.name_any() == name))
        .collect();
    let usable = |certificate: &&&TunnelCertificate| {
        certificate.spec.secret_name.is_none() && certificate.spec.revoked.is_none()
    };
    let usable: Vec<&TunnelCertificate> = of_endpoint.iter().filter(usable).copied().collect();
    let unfit = |why: String, remedy: String| Refusal::Unfit {
        object: format!("TunnelEndpoint {namespace}/{endpoint}"),
        why,
        remedy,
    };
    match usable.as_slice() {
        [one] => Ok(one),
        [] => {
            let name = named.unwrap_or(endpoint);
            let create = create(namespace, endpoint, if of_endpoint.is_empty() { name } else { "ANOTHER-NAME" });
            Err(match of_endpoint.first() {
                None => unfit(format!("it has no TunnelCertificate{}", named_words(named)), create),
                Some(first) if first.spec.revoked.is_some() => unfit(
                    format!("its TunnelCertificate {} is revoked (spec.revoked), for good", first.name_any()),
                    create,
                ),
                Some(first) => unfit(
                    format!("its TunnelCertificate {} is delivered in a Secret (spec.secretName)", first.name_any()),
                    create,
                ),
            })
        }
        several => {
            let names: Vec<String> = several.iter().map(|certificate| certificate.name_any()).collect();
            let remedy = format!("choose one with --certificate: {}", names.join(", "));
            Err(unfit(format!("it has {} TunnelCertificates that can be enrolled for", several.len()), remedy))
        }
    }
}

fn named_words(named: Option<&str>) -> String {
    named.map(|name| format!(" named {name}")).unwrap_or_default()
}

fn create(namespace: &str, endpoint: &str, name: &str) -> String {
    format!(
        "create one, and run this again:\n\
         kubectl apply -f - <<'EOF'\n\
         apiVersion: sallyport.dev/v1alpha1\n\
         kind: TunnelCertificate\n\
         metadata: {{ name: {name}, namespace: {namespace} }}\n\
         spec: {{ endpointRef: {{ name: {endpoint} }} }}\n\
         EOF"
    )
}

/// 256 random bits in base32: one case, nothing to escape, and it can be read out.
fn make() -> Result<String, Failure> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| no_randomness())?;
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(&random).to_lowercase()))
}

fn hash(token: &str) -> String {
    HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use sallyport_api::tunnel_certificate::{RevocationReason, Revoked, TunnelCertificateSpec};

    use super::*;

    fn certificate(name: &str, change: impl FnOnce(&mut TunnelCertificateSpec)) -> TunnelCertificate {
        let spec = json!({ "endpointRef": { "name": "lyon" } });
        let mut spec: TunnelCertificateSpec = serde_json::from_value(spec).unwrap();
        change(&mut spec);
        TunnelCertificate::new(name, spec)
    }

    fn refused(certificates: &[TunnelCertificate], named: Option<&str>) -> String {
        let refusal = choose(certificates, "site-lyon", "lyon", named).unwrap_err();
        format!("{refusal} / {}", refusal.remedy().unwrap())
    }

    #[test]
    fn the_only_one_that_can_be_enrolled_for_is_taken() {
        let all = [
            certificate("router", |spec| spec.secret_name = Some("files".to_owned())),
            certificate("old", |spec| {
                spec.revoked = Some(Revoked { reason: RevocationReason::Superseded, note: None });
            }),
            certificate("lyon", |_| ()),
        ];
        assert_eq!(choose(&all, "site-lyon", "lyon", None).unwrap().name_any(), "lyon");
        assert_eq!(choose(&all, "site-lyon", "lyon", Some("lyon")).unwrap().name_any(), "lyon");
        let text = refused(&all, Some("old"));
        assert!(text.contains("old is revoked (spec.revoked)") && text.contains("name: ANOTHER-NAME"), "{text}");
        let text = refused(&all, Some("router"));
        assert!(text.contains("router is delivered in a Secret (spec.secretName)"), "{text}");
    }

    #[test]
    fn none_and_several_are_not_guessed() {
        let text = refused(&[], None);
        assert!(
            text.contains("has no TunnelCertificate /")
                && text.contains("metadata: { name: lyon, namespace: site-lyon }"),
            "{text}"
        );
        assert!(refused(&[], Some("x")).contains("no TunnelCertificate named x"));
        let text = refused(&[certificate("a", |_| ()), certificate("b", |_| ())], None);
        assert!(text.contains("2 TunnelCertificates") && text.contains("--certificate: a, b"), "{text}");
        let mut other = certificate("lyon", |_| ());
        other.spec.endpoint_ref.name = "paris".to_owned();
        assert!(refused(&[other], None).contains("has no TunnelCertificate"));
    }

    #[test]
    fn the_agent_is_told_the_generation_that_certifies_the_outer_doors() {
        let generation = |number: u32, state: &str| {
            json!({
                "number": number, "fingerprint": number.to_string(), "notBefore": "", "notAfter": "", "state": state,
                "since": "", "cause": "First", "madeFor": "",
            })
        };
        let status = json!({ "generations": [generation(1, "PhasingOut"), generation(2, "Issuing")] });
        let status: CertificateAuthorityStatus = serde_json::from_value(status).unwrap();
        let region = |issuers: &[&str]| -> DmzRegion {
            let held = |issuer: &str| json!({ "purpose": "outer", "serial": "", "issuer": issuer, "notAfter": "" });
            let gateway = |issuer: &&str| json!({ "name": "g", "attached": true, "certificates": [held(issuer)] });
            let door = |host: &str| json!({ "host": host });
            serde_json::from_value(json!({
                "apiVersion": "sallyport.dev/v1alpha1", "kind": "DmzRegion", "metadata": { "name": "r" },
                "spec": {
                    "outer": door("outer"), "inner": door("inner"), "certificateAuthorityRef": { "name": "c" },
                    "engineers": { "clientCertificates": { "authoritiesRef": { "name": "e" } } },
                },
                "status": { "gateways": issuers.iter().map(gateway).collect::<Vec<_>>() },
            }))
            .unwrap()
        };
        let of = |issuers: &[&str]| fingerprint(Some(&status), &region(issuers));
        assert_eq!(of(&["1", "1"]).as_deref(), Some("1"), "they are not renewed yet");
        assert_eq!(of(&["1", "2"]).as_deref(), Some("2"));
        assert_eq!(of(&[]).as_deref(), Some("2"));
        assert_eq!(of(&["9"]).as_deref(), Some("2"), "never one that the authority does not vouch for");
        assert_eq!(fingerprint(None, &region(&[])), None);
    }

    #[test]
    fn a_token_has_256_random_bits_in_a_strict_alphabet() {
        let (one, two) = (make().unwrap(), make().unwrap());
        assert_ne!(one, two);
        let bits = one.strip_prefix("spe_").unwrap();
        assert_eq!(bits.len(), 52);
        assert!(bits.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')), "{one}");
    }

    #[test]
    fn the_hash_is_sha256_of_the_whole_token() {
        // printf %s spe_test | sha256sum
        assert_eq!(hash("spe_test"), EXPECTED);
    }

    const EXPECTED: &str = "28d120a6e6f4bb0c8be57e3d030b8bb5b57617b478d72eb2ef1eabcb5d65bd41";
}

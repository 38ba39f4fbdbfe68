//! What a `CertificateAuthority` asks for.

use std::time::Duration;

use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::{CertificateAuthoritySpec, KeyAlgorithm};
use sallyport_pki::rotation::{Request, State, Wish};
use sha2::{Digest as _, Sha256};

/// The deadline of an emergency that names none.
const DROP_WITHIN: Duration = Duration::from_secs(3600);

/// What the object asks for. `state` says how long the signing generation lives, of which a fifth is the default of
/// `spec.rotation.startBefore`.
pub fn of(authority: &CertificateAuthority, state: Option<&State>) -> Wish {
    let spec = &authority.spec;
    let rotation = &spec.rotation;
    let request = spec.rotate_request.as_ref().map(|request| Request {
        id: request.id.clone(),
        reason: request.reason.clone(),
        emergency: request
            .emergency
            .then(|| request.drop_within.as_ref().map_or(DROP_WITHIN, |within| within.length())),
    });
    Wish {
        made_for: made_for(spec),
        start_before: rotation.start_before.as_ref().map_or_else(|| a_fifth(spec, state), |before| before.length()),
        publish_for: rotation.publish_for.length(),
        overlap: rotation.overlap.length(),
        request,
        lost: spec.lost_peers.iter().map(|lost| (lost.name.clone(), lost.reason.clone())).collect(),
    }
}

/// Digest of the subject, algorithm and custody: when it differs from that of the signing generation, a rotation begins.
/// The Secret with a token's PIN is not part of it: a PIN may move.
pub fn made_for(spec: &CertificateAuthoritySpec) -> String {
    let algorithm = match spec.key_algorithm {
        KeyAlgorithm::EcdsaP256 => "ecdsaP256",
        KeyAlgorithm::EcdsaP384 => "ecdsaP384",
    };
    let token = spec.custody.as_ref().map(|custody| custody.pkcs11.token_label.as_str());
    let parts = [Some(spec.subject.common_name.as_str()), spec.subject.organization.as_deref(), Some(algorithm), token];
    let mut hash = Sha256::new();
    for part in parts {
        // Length first, and another number for what is absent: no two specs are written alike.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn a_fifth(spec: &CertificateAuthoritySpec, state: Option<&State>) -> Duration {
    let signing = state.and_then(State::issuing).map(|signing| &signing.generation);
    let life = signing.and_then(|g| Duration::try_from(g.not_after.duration_since(g.not_before)).ok());
    life.unwrap_or_else(|| spec.lifetime.length()) / 5
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn authority(more: &Value) -> CertificateAuthority {
        let mut spec = json!({ "subject": { "commonName": "EU" } });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let object = json!({ "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
            "metadata": { "name": "eu" }, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_makes_another_root_changes_the_digest_and_nothing_else_does() {
        let digest = |more: Value| made_for(&authority(&more).spec);
        let same = digest(json!({}));
        let pin = |token: &str, secret: &str| json!({ "custody": { "pkcs11": { "tokenLabel": token, "pinRef": { "name": secret, "key": "pin" } } } });
        assert_eq!(same, digest(json!({ "lifetime": "100d", "rotation": { "overlap": "1d" } })));
        assert_eq!(digest(pin("a", "x")), digest(pin("a", "y")));
        let others = [
            digest(json!({ "subject": { "commonName": "UE" } })),
            digest(json!({ "subject": { "commonName": "EU", "organization": "X" } })),
            digest(json!({ "keyAlgorithm": "ecdsaP384" })),
            digest(pin("a", "x")),
            digest(pin("b", "x")),
        ];
        let all: std::collections::BTreeSet<_> = others.iter().chain([&same]).collect();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn an_emergency_has_a_deadline_and_a_request_without_one_is_none() {
        let request = |emergency| json!({ "rotateRequest": { "id": "1", "reason": "r", "emergency": emergency } });
        assert_eq!(of(&authority(&request(true)), None).request.unwrap().emergency, Some(DROP_WITHIN));
        assert_eq!(of(&authority(&request(false)), None).request.unwrap().emergency, None);
        let fifth = of(&authority(&json!({ "lifetime": "100d" })), None).start_before;
        assert_eq!(fifth, Duration::from_secs(20 * 86_400));
    }
}

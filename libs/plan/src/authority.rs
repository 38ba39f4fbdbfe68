//! What to do about a certificate authority's key. A new root is made exactly once: a key that was there and is gone
//! stops everything until somebody restores it, because every site trusts it and none would trust another.

use jiff::Timestamp;
use sallyport_api::CertificateAuthority;
use sallyport_api::tunnel_certificate::RevocationReason;

use crate::labels;
use crate::secret_facts::SecretFacts;

/// A certificate that is to be on its issuer's revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// Number of the generation that issued it.
    pub issuer_generation: u32,
    /// Its end, after which it leaves the list.
    pub not_after: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// Since when it counts as revoked.
    pub since: Timestamp,
}

/// What to do about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The first generation is made.
    Create,
    /// A Secret of that name belongs to somebody else: it is not touched.
    Foreign,
    /// The key was there and is gone.
    Lost,
    /// The Secret holds no usable key, or another one than status remembers.
    Damaged,
    /// The key is good.
    Use,
}

/// Decides. `found` is the Secret of the wanted name, `fingerprint` that of the certificate in it, if it could be
/// loaded with its key; `published` says that a trust bundle of this authority exists, a second memory beside status.
pub fn decide(
    authority: &CertificateAuthority,
    found: Option<&SecretFacts>,
    fingerprint: Option<&str>,
    published: bool,
) -> Decision {
    let known = authority.status.iter().flat_map(|status| &status.generations).next_back();
    let Some(found) = found else {
        return if known.is_some() || published { Decision::Lost } else { Decision::Create };
    };
    let name = authority.metadata.name.as_deref().unwrap_or_default();
    let label = |key: &str| found.metadata.labels.iter().flatten().find(|(k, _)| *k == key).map(|(_, v)| v.as_str());
    if label(labels::MANAGED_BY) != Some(labels::OPERATOR) || label(labels::AUTHORITY) != Some(&labels::value(name)) {
        return Decision::Foreign;
    }
    match (fingerprint, known) {
        (None, _) => Decision::Damaged,
        (Some(found), Some(known)) if found != known.fingerprint => Decision::Damaged,
        (Some(_), _) => Decision::Use,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use sallyport_api::certificate_authority::{CaGeneration, CertificateAuthorityStatus};
    use serde_json::json;

    use super::*;

    fn authority(known: Option<&str>) -> CertificateAuthority {
        let spec = json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority", "metadata": {"name": "eu"},
            "spec": {"subject": {"commonName": "EU"}},
        });
        let mut authority: CertificateAuthority = serde_json::from_value(spec).unwrap();
        authority.status = known.map(|fingerprint| CertificateAuthorityStatus {
            generations: vec![CaGeneration {
                number: 1,
                fingerprint: fingerprint.into(),
                not_before: String::new(),
                not_after: String::new(),
                state: sallyport_api::certificate_authority::GenerationState::Issuing,
                since: String::new(),
                cause: sallyport_api::certificate_authority::GenerationCause::First,
                made_for: String::new(),
                drop_others_at: None,
                holders: 0,
            }],
            ..CertificateAuthorityStatus::default()
        });
        authority
    }

    fn secret(labels: &[(&str, &str)]) -> SecretFacts {
        let labels: BTreeMap<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        SecretFacts { metadata: ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }, ..SecretFacts::default() }
    }

    #[test]
    fn a_root_is_made_once_and_never_replaced() {
        let ours = secret(&[(labels::MANAGED_BY, labels::OPERATOR), (labels::AUTHORITY, "eu")]);
        let others = secret(&[(labels::MANAGED_BY, "Helm")]);
        for (known, found, fingerprint, decision) in [
            (None, None, None, Decision::Create),
            (Some("aa"), None, None, Decision::Lost),
            (None, Some(&others), Some("aa"), Decision::Foreign),
            (Some("aa"), Some(&others), Some("aa"), Decision::Foreign),
            (Some("aa"), Some(&ours), None, Decision::Damaged),
            (Some("aa"), Some(&ours), Some("bb"), Decision::Damaged),
            (Some("aa"), Some(&ours), Some("aa"), Decision::Use),
            (None, Some(&ours), Some("aa"), Decision::Use),
        ] {
            assert_eq!(decide(&authority(known), found, fingerprint, false), decision);
        }
        assert_eq!(decide(&authority(None), None, None, true), Decision::Lost);
    }
}

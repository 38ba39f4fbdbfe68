//! Status of a `CertificateAuthority`.

use jiff::Timestamp;
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::{
    CaGeneration, CertificateAuthorityStatus, GenerationCause, GenerationState,
};
use sallyport_pki::generation::Generation;

use super::Trouble;
use super::conditions::{Standing, Verdict, conditions};
use crate::names;

/// The status of an authority. In trouble the generations stay in the status: they are the memory of which root is
/// trusted, and what tells a lost key from one that was never made.
pub fn authority(
    authority: &CertificateAuthority,
    state: &Result<Generation, Trouble>,
    now: Timestamp,
) -> CertificateAuthorityStatus {
    let verdict = match state {
        Ok(generation) if now >= generation.not_after => (&Trouble::AuthorityExpired(generation.not_after)).into(),
        Ok(generation) => Verdict::new(Standing::Ready, "Signing", format!("generation {} signs", generation.number)),
        Err(trouble) => trouble.into(),
    };
    let old = authority.status.clone().unwrap_or_default();
    let observed_generation = authority.metadata.generation;
    let conditions = conditions(&old.conditions, &verdict, Vec::new(), observed_generation, now);
    match state {
        Ok(generation) => CertificateAuthorityStatus {
            observed_generation,
            conditions,
            issuing: Some(generation.number),
            generations: vec![CaGeneration {
                number: generation.number,
                fingerprint: generation.fingerprint.clone(),
                not_before: generation.not_before.to_string(),
                not_after: generation.not_after.to_string(),
                state: GenerationState::Issuing,
                since: generation.not_before.to_string(),
                cause: GenerationCause::First,
                made_for: String::new(),
                drop_others_at: None,
                holders: 0,
            }],
            trust_bundle: Some(names::authority_trust(authority.metadata.name.as_deref().unwrap_or_default())),
            ..old
        },
        Err(_) => CertificateAuthorityStatus { observed_generation, conditions, ..old },
    }
}

//! What is written down of a certificate before it leaves the operator, so that a revocation knows every one that may
//! be in use.

use jiff::Timestamp;
use sallyport_api::tunnel_certificate::{EarlierCertificate, TunnelCertificateStatus};
use sallyport_pki::inspect::Validity;

use crate::catalogue::ObjectKey;
use crate::certificate::renew_at_spread;

/// Earlier certificates that are remembered. At two thirds of their life there are two; twenty leave room for an agent
/// that enrols again and again for a day, and a status stays readable.
pub const MOST_EARLIER: usize = 20;

/// A certificate that is about to leave the operator.
#[derive(Clone, Debug)]
pub struct Issuance {
    /// Its serial number in hex.
    pub serial: String,
    /// When it is valid.
    pub validity: Validity,
    /// Number of the generation that issued it.
    pub generation: u32,
    /// The authority of that generation.
    pub authority: ObjectKey,
    /// SHA-256, in hex, of the token that it uses up.
    pub used_token: Option<String>,
}

/// The certificates issued before are as many as can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MOST_EARLIER} certificates of it are valid already; wait until some expire, or replace the TunnelCertificate"
)]
pub struct NoRoom;

/// Whether one more certificate can be remembered.
///
/// # Errors
/// [`NoRoom`] when twenty earlier ones have not expired.
pub fn has_room(status: Option<&TunnelCertificateStatus>, now: Timestamp) -> Result<(), NoRoom> {
    let Some(status) = status else { return Ok(()) };
    let valid = status.earlier.iter().filter(|earlier| !has_expired(&earlier.not_after, now)).count();
    let current = usize::from(current(status).is_some_and(|current| !has_expired(&current.not_after, now)));
    if valid + current > MOST_EARLIER { Err(NoRoom) } else { Ok(()) }
}

/// The status with a certificate written down; conditions are as they were.
///
/// # Errors
/// [`NoRoom`], as [`has_room`].
pub fn record(
    before: Option<&TunnelCertificateStatus>,
    issued: &Issuance,
    now: Timestamp,
) -> Result<TunnelCertificateStatus, NoRoom> {
    has_room(before, now)?;
    let mut status = before.cloned().unwrap_or_default();
    let replaced = current(&status).filter(|current| current.serial != issued.serial);
    status.earlier.extend(replaced);
    status.earlier.retain(|earlier| earlier.serial != issued.serial && !has_expired(&earlier.not_after, now));
    status.serial = Some(issued.serial.clone());
    status.not_before = Some(issued.validity.not_before.to_string());
    status.not_after = Some(issued.validity.not_after.to_string());
    status.renew_at = Some(renew_at_spread(&issued.validity, &issued.serial).to_string());
    status.issuer_generation = Some(issued.generation);
    status.authority = Some(issued.authority.to_string());
    status.issued_at = Some(Timestamp::from_second(now.as_second()).unwrap_or(now).to_string());
    if issued.used_token.is_some() {
        status.used_token.clone_from(&issued.used_token);
    }
    Ok(status)
}

fn current(status: &TunnelCertificateStatus) -> Option<EarlierCertificate> {
    Some(EarlierCertificate {
        serial: status.serial.clone()?,
        not_after: status.not_after.clone().unwrap_or_default(),
        issuer_generation: status.issuer_generation.unwrap_or_default(),
    })
}

/// An end that cannot be read has not come: forgetting a certificate that is still good is the worse mistake.
fn has_expired(not_after: &str, now: Timestamp) -> bool {
    not_after.parse::<Timestamp>().is_ok_and(|not_after| not_after < now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn issuance(serial: &str, from: i64, to: i64) -> Issuance {
        Issuance {
            serial: serial.into(),
            validity: Validity { not_before: at(from), not_after: at(to) },
            generation: 1,
            authority: ObjectKey::new("dmz", "ca"),
            used_token: None,
        }
    }

    #[test]
    fn the_one_before_moves_and_the_expired_go() {
        let first = record(None, &issuance("a", 0, 100), at(0)).unwrap();
        let second = record(Some(&first), &issuance("b", 50, 150), at(50)).unwrap();
        let third = record(Some(&second), &issuance("c", 120, 300), at(120)).unwrap();
        let serials = |s: &TunnelCertificateStatus| s.earlier.iter().map(|e| e.serial.clone()).collect::<Vec<_>>();
        assert_eq!((serials(&second), serials(&third)), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(third.serial.as_deref(), Some("c"));
        assert_eq!(third.authority.as_deref(), Some("dmz/ca"));
    }

    #[test]
    fn a_used_token_stays_used_through_renewals() {
        let token = Issuance { used_token: Some("t".into()), ..issuance("a", 0, 100) };
        let first = record(None, &token, at(0)).unwrap();
        assert_eq!(record(Some(&first), &issuance("b", 1, 100), at(1)).unwrap().used_token.as_deref(), Some("t"));
    }

    proptest! {
        /// Whatever is issued when, no certificate that is still good is forgotten: there is none without room for it.
        #[test]
        fn nothing_that_is_good_is_forgotten(steps in prop::collection::vec((0i64..40, 1i64..400), 1..80)) {
            let (mut status, mut good, mut clock): (Option<TunnelCertificateStatus>, Vec<(String, i64)>, i64) = (None, vec![], 0);
            for (n, (wait, life)) in steps.into_iter().enumerate() {
                clock += wait;
                good.retain(|(_, end)| *end >= clock);
                let serial = format!("{n:x}");
                match record(status.as_ref(), &issuance(&serial, clock, clock + life), at(clock)) {
                    Ok(next) => {
                        status = Some(next);
                        good.push((serial, clock + life));
                    }
                    Err(NoRoom) => prop_assert!(good.len() > MOST_EARLIER),
                }
                let known = status.as_ref().unwrap();
                let has = |s: &String| known.serial.as_ref() == Some(s) || known.earlier.iter().any(|e| e.serial == *s);
                prop_assert!(good.iter().all(|(serial, _)| has(serial)));
                prop_assert!(known.earlier.len() <= MOST_EARLIER);
            }
        }
    }
}

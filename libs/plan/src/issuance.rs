//! What is written down of a certificate before it leaves the operator, so that a revocation knows every one that may
//! be in use.

use std::collections::BTreeSet;
use std::mem;

use jiff::Timestamp;
use sallyport_api::tunnel_certificate::{EarlierCertificate, TunnelCertificateStatus, UsedToken};
use sallyport_pki::inspect::Validity;

use crate::catalogue::ObjectKey;
use crate::certificate::renew_at_spread;
use crate::revocation::is_forgotten;

/// Earlier certificates that count. At two thirds of their life there are two; twenty leave room for an agent that enrols
/// again and again for a day, and a status stays readable.
pub const MOST_EARLIER: usize = 20;

/// Earlier certificates that were revoked to make room, and are still remembered: then their revocation leaves the
/// authority's list with their end, and not only after the longest life that a certificate can have.
pub const MOST_SUPERSEDED: usize = 20;

/// Tokens that were used up and could otherwise be used again. A token lasts seven days at most: twenty a week for one
/// endpoint are more than a person makes.
pub const MOST_USED_TOKENS: usize = 20;

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
    /// The token that it uses up.
    pub used_token: Option<UsedToken>,
}

/// What is known beside an object of the certificates that were issued for it: which may go when there is no room.
pub struct Seen<'a> {
    /// Serial numbers that somebody was seen to use: these are never revoked to make room.
    pub in_use: &'a BTreeSet<String>,
    /// Whether the authority's revocation list has a serial number.
    pub listed: &'a (dyn Fn(&str) -> bool + Sync),
}

/// There is no room to remember more, and what is not remembered could not be revoked or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Too many certificates are in use, or revoked and not on a list yet.
    #[error(
        "{MOST_EARLIER} certificates of it are valid already, and none of them can be revoked to make room; wait until \
         some expire, or replace the TunnelCertificate"
    )]
    Certificates,
    /// Too many tokens.
    #[error(
        "{MOST_USED_TOKENS} tokens of it were used up and would not have ended yet; wait a week, or replace the \
         TunnelCertificate"
    )]
    Tokens,
}

/// Whether one more certificate can be remembered.
///
/// # Errors
/// [`NoRoom::Certificates`].
pub fn has_room(status: Option<&TunnelCertificateStatus>, seen: &Seen<'_>, now: Timestamp) -> Result<(), NoRoom> {
    let Some(status) = status else { return Ok(()) };
    let all = status.earlier.iter().cloned().chain(current(status)).collect();
    with_room(all, seen, now).map(drop)
}

/// The status with a certificate written down; conditions are as they were. If there is no room for it, the oldest before
/// it that nobody was seen to use is revoked as superseded.
///
/// # Errors
/// [`NoRoom`].
pub fn record(
    before: Option<&TunnelCertificateStatus>,
    issued: &Issuance,
    seen: &Seen<'_>,
    now: Timestamp,
) -> Result<TunnelCertificateStatus, NoRoom> {
    let mut status = before.cloned().unwrap_or_default();
    if let Some(token) = &issued.used_token {
        use_up(&mut status.used_tokens, token, now)?;
    }
    let replaced = current(&status);
    status.earlier.extend(replaced);
    status.earlier.retain(|earlier| earlier.serial != issued.serial);
    status.earlier = with_room(mem::take(&mut status.earlier), seen, now)?;
    status.serial = Some(issued.serial.clone());
    status.not_before = Some(issued.validity.not_before.to_string());
    status.not_after = Some(issued.validity.not_after.to_string());
    status.renew_at = Some(renew_at_spread(&issued.validity, &issued.serial).to_string());
    status.issuer_generation = Some(issued.generation);
    status.authority = Some(issued.authority.to_string());
    status.issued_at = Some(second(now));
    Ok(status)
}

/// Remembers a token that is never to be accepted again.
///
/// # Errors
/// [`NoRoom::Tokens`].
pub fn use_up(tokens: &mut Vec<UsedToken>, token: &UsedToken, now: Timestamp) -> Result<(), NoRoom> {
    tokens.retain(|used| used.sha256 != token.sha256 && !is_forgotten(&used.expires_at, now));
    if tokens.len() >= MOST_USED_TOKENS {
        return Err(NoRoom::Tokens);
    }
    tokens.push(token.clone());
    Ok(())
}

/// The certificates before one more, the oldest first: those of them that are still to be remembered.
fn with_room(
    mut all: Vec<EarlierCertificate>,
    seen: &Seen<'_>,
    now: Timestamp,
) -> Result<Vec<EarlierCertificate>, NoRoom> {
    all.retain(|one| !is_forgotten(&one.not_after, now));
    let counts = |one: &EarlierCertificate| one.superseded.is_none();
    while all.iter().filter(|one| counts(one)).count() > MOST_EARLIER {
        // That a certificate has expired is only known as well as the time is: it goes first, but not before it must.
        let expired = |one: &EarlierCertificate| one.not_after.parse::<Timestamp>().is_ok_and(|end| end < now);
        if let Some(position) = all.iter().position(|one| counts(one) && expired(one)) {
            all.remove(position);
            continue;
        }
        let unused = |one: &&mut EarlierCertificate| counts(one) && !seen.in_use.contains(&one.serial);
        all.iter_mut().find(unused).ok_or(NoRoom::Certificates)?.superseded = Some(second(now));
    }
    while all.iter().filter(|one| !counts(one)).count() > MOST_SUPERSEDED {
        let remembered_elsewhere = |one: &EarlierCertificate| !counts(one) && (seen.listed)(&one.serial);
        let position = all.iter().position(remembered_elsewhere).ok_or(NoRoom::Certificates)?;
        all.remove(position);
    }
    Ok(all)
}

fn current(status: &TunnelCertificateStatus) -> Option<EarlierCertificate> {
    Some(EarlierCertificate {
        serial: status.serial.clone()?,
        not_after: status.not_after.clone().unwrap_or_default(),
        issuer_generation: status.issuer_generation.unwrap_or_default(),
        superseded: None,
    })
}

fn second(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revocation::CLOCK_GRACE;

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

    fn with_token(serial: &str, token: &str, ends: i64) -> Issuance {
        let used = UsedToken { sha256: token.into(), expires_at: at(ends).to_string() };
        Issuance { used_token: Some(used), ..issuance(serial, 0, 100) }
    }

    /// Records with nobody seen, and nothing on a list.
    fn record(
        before: Option<&TunnelCertificateStatus>,
        issued: &Issuance,
        now: Timestamp,
    ) -> Result<TunnelCertificateStatus, NoRoom> {
        super::record(before, issued, &Seen { in_use: &BTreeSet::new(), listed: &|_| false }, now)
    }

    fn serials(status: &TunnelCertificateStatus) -> Vec<&str> {
        status.earlier.iter().map(|earlier| earlier.serial.as_str()).collect()
    }

    /// The operator's clock may be ahead by whatever it likes below a day: what has ended by it may open doors elsewhere.
    #[test]
    fn the_one_before_moves_and_the_expired_go_a_day_later() {
        let day = CLOCK_GRACE.as_secs();
        let first = record(None, &issuance("a", 0, 100), at(0)).unwrap();
        let second = record(Some(&first), &issuance("b", 50, 2 * day), at(50)).unwrap();
        assert_eq!(serials(&second), ["a"]);
        let third = record(Some(&second), &issuance("c", day, 3 * day), at(99 + day)).unwrap();
        assert_eq!(serials(&third), ["a", "b"]);
        let fourth = record(Some(&third), &issuance("d", day, 3 * day), at(100 + day)).unwrap();
        assert_eq!(serials(&fourth), ["b", "c"]);
        assert_eq!((fourth.serial.as_deref(), fourth.authority.as_deref()), (Some("d"), Some("dmz/ca")));
    }

    /// Two tokens in turn: each stays used for as long as it could be written into the spec again.
    #[test]
    fn every_used_token_stays_used_until_it_has_ended() {
        let day = CLOCK_GRACE.as_secs();
        let first = record(None, &with_token("a", "one", 1000), at(0)).unwrap();
        let second = record(Some(&first), &with_token("b", "two", 2000), at(1)).unwrap();
        let third = record(Some(&second), &issuance("c", 2, 100), at(1000 + day)).unwrap();
        let used = |status: &TunnelCertificateStatus| {
            status.used_tokens.iter().map(|used| used.sha256.clone()).collect::<Vec<_>>()
        };
        assert_eq!(used(&third), ["one", "two"]);
        assert_eq!(
            used(&record(Some(&third), &with_token("d", "three", 9000), at(1001 + day)).unwrap()),
            ["two", "three"]
        );
    }

    #[test]
    fn a_token_that_could_not_be_remembered_is_not_taken() {
        let mut tokens = Vec::new();
        let token = |n: usize| UsedToken { sha256: n.to_string(), expires_at: at(1000).to_string() };
        for n in 0..MOST_USED_TOKENS {
            use_up(&mut tokens, &token(n), at(0)).unwrap();
        }
        assert_eq!(use_up(&mut tokens, &token(99), at(0)), Err(NoRoom::Tokens));
        assert_eq!(tokens.len(), MOST_USED_TOKENS);
    }

    /// An agent that cannot keep what it is given asks again and again: it is never locked out, and what it was seen to
    /// use stays good.
    #[test]
    fn without_room_the_oldest_that_was_never_used_is_superseded() {
        let in_use = BTreeSet::from(["0".to_owned(), "3".to_owned()]);
        let seen = Seen { in_use: &in_use, listed: &|_| true };
        let mut status: Option<TunnelCertificateStatus> = None;
        for n in 0..100i64 {
            has_room(status.as_ref(), &seen, at(n)).unwrap();
            status = Some(super::record(status.as_ref(), &issuance(&n.to_string(), n, 10_000), &seen, at(n)).unwrap());
        }
        let status = status.unwrap();
        let (gone, counting): (Vec<_>, Vec<_>) = status.earlier.iter().partition(|one| one.superseded.is_some());
        assert_eq!((gone.len(), counting.len()), (MOST_SUPERSEDED, MOST_EARLIER));
        assert_eq!((counting[0].serial.as_str(), counting[1].serial.as_str()), ("0", "3"));
        assert_eq!(gone.last().unwrap().serial, "80");
        assert_eq!(gone.last().unwrap().superseded.as_deref(), Some("2023-11-14T22:14:59Z"));
    }

    #[test]
    fn what_is_on_no_list_yet_is_not_forgotten() {
        let mut status: Option<TunnelCertificateStatus> = None;
        let full = (0..100).find_map(|n| match record(status.as_ref(), &issuance(&n.to_string(), n, 10_000), at(n)) {
            Ok(next) => {
                status = Some(next);
                None
            }
            Err(full) => Some((n, full)),
        });
        // Twenty earlier ones, twenty superseded ones and the current one.
        assert_eq!(full, Some((41, NoRoom::Certificates)));
    }

    proptest! {
        /// Whatever is issued when, and whatever is seen or on lists: a certificate that is good is remembered, or on a
        /// list; what is in use is never superseded.
        #[test]
        fn nothing_that_is_good_is_forgotten(
            steps in prop::collection::vec((0i64..40, 1i64..4000, any::<bool>(), any::<bool>()), 1..120),
        ) {
            let (mut status, mut good, mut clock): (Option<TunnelCertificateStatus>, Vec<(String, i64)>, i64) = (None, vec![], 0);
            let (mut in_use, mut lists) = (BTreeSet::new(), BTreeSet::new());
            for (n, (wait, life, used, signed)) in steps.into_iter().enumerate() {
                clock += wait;
                good.retain(|(_, end)| *end >= clock);
                if signed {
                    let marked = status.iter().flat_map(|s| &s.earlier).filter(|e| e.superseded.is_some());
                    lists.extend(marked.map(|e| e.serial.clone()));
                }
                let serial = format!("{n:x}");
                let seen = Seen { in_use: &in_use, listed: &|serial| lists.contains(serial) };
                if let Ok(next) = super::record(status.as_ref(), &issuance(&serial, clock, clock + life), &seen, at(clock)) {
                    status = Some(next);
                    good.push((serial.clone(), clock + life));
                    in_use.extend(used.then_some(serial));
                }
                let Some(known) = &status else { continue };
                let has = |s: &String| known.serial.as_ref() == Some(s) || known.earlier.iter().any(|e| e.serial == *s);
                prop_assert!(good.iter().all(|(serial, _)| has(serial) || lists.contains(serial)));
                prop_assert!(known.earlier.iter().all(|e| e.superseded.is_none() || !in_use.contains(&e.serial)));
                prop_assert!(known.earlier.len() <= MOST_EARLIER + MOST_SUPERSEDED);
            }
        }
    }
}

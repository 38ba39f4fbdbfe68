//! What is on each generation's revocation list, and when it is signed anew.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::tunnel_certificate::{RevocationReason, TunnelCertificate};
use sallyport_pki::authority::CLOCK_SKEW;
use sallyport_pki::revocation::{Reason, Revocation, RevocationList};

use crate::catalogue::Objects;
use crate::revocation::RevokedCertificate;

/// No certificate of an endpoint lives longer (`TunnelCertificate.spec.lifetime`, at most 397d) and a day for clocks. An
/// entry whose certificate nobody remembers leaves its list after this.
pub(super) const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(398 * 24);
/// An entry stays for so long after its certificate has ended: a door whose clock is behind the operator's would admit
/// the certificate for as long as that.
const STAYS_AFTER_END: SignedDuration = SignedDuration::from_hours(24);

/// A list to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is on it, by serial number.
    pub entries: Vec<Revocation>,
    /// Its number.
    pub number: u64,
    /// From when it counts: a little before now, for verifiers whose clock is behind.
    pub this_update: Timestamp,
    /// Until when.
    pub next_update: Timestamp,
}

/// What to do about a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The newest of those that are known is good.
    Keep(RevocationList),
    /// Another is to be signed.
    Sign(Wanted),
}

/// Decides about the list of one generation. `known` are its lists that are remembered anywhere, each with a signature
/// that fits; `revoked` what objects say about this generation; `ends` when certificates end that objects still know.
pub fn next(
    known: &[RevocationList],
    revoked: &[RevokedCertificate],
    ends: &BTreeMap<String, Timestamp>,
    lifetime: Duration,
    now: Timestamp,
) -> Next {
    let entries = merged(known, revoked, ends, now);
    let newest = known.iter().max_by_key(|list| list.number());
    if let Some(newest) = newest.filter(|newest| is_good(newest, &entries, lifetime, now)) {
        return Next::Keep(newest.clone());
    }
    let clock = u64::try_from(now.as_second()).unwrap_or_default();
    let number = newest.map_or(clock, |newest| clock.max(newest.number().saturating_add(1)));
    let skew = SignedDuration::try_from(CLOCK_SKEW).unwrap_or_default();
    let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
    Next::Sign(Wanted {
        entries,
        number,
        this_update: whole(now.saturating_sub(skew).unwrap_or(now)),
        next_update: whole(now.saturating_add(lifetime).unwrap_or(Timestamp::MAX)),
    })
}

/// When a list is signed anew at the latest: after a third of its life, so that two thirds are left for whatever keeps
/// the operator away.
pub fn renew_at(list: &RevocationList, lifetime: Duration) -> Timestamp {
    let life = list.next_update().duration_since(list.this_update()).as_secs();
    let wanted = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let third = SignedDuration::from_secs(life.min(wanted) / 3);
    list.this_update().saturating_add(third).unwrap_or(Timestamp::MAX)
}

/// When the certificates end that objects still know, by serial number.
pub fn ends(certificates: &Objects<TunnelCertificate>) -> BTreeMap<String, Timestamp> {
    let statuses = certificates.values().filter_map(|certificate| certificate.status.as_ref());
    let all = statuses.flat_map(|status| {
        let current = status.serial.clone().zip(status.not_after.clone());
        current.into_iter().chain(status.earlier.iter().map(|e| (e.serial.clone(), e.not_after.clone())))
    });
    all.filter_map(|(serial, end)| Some((serial, end.parse().ok()?))).collect()
}

fn is_good(list: &RevocationList, entries: &[Revocation], lifetime: Duration, now: Timestamp) -> bool {
    let sorted = |entries: &[Revocation]| {
        entries.iter().map(|e| (e.serial_hex.clone(), (e.at, e.reason))).collect::<BTreeMap<_, _>>()
    };
    sorted(list.entries()) == sorted(entries) && now < renew_at(list, lifetime)
}

/// What is on a list stays until its certificate has ended by every clock, also when nobody knows its object any more.
fn merged(
    known: &[RevocationList],
    revoked: &[RevokedCertificate],
    ends: &BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> Vec<Revocation> {
    let mut entries = BTreeMap::<String, Revocation>::new();
    let mut add = |new: Revocation| {
        let entry = entries.entry(new.serial_hex.clone()).or_insert_with(|| new.clone());
        entry.at = entry.at.min(new.at);
    };
    // The objects first: their reason counts.
    for one in revoked.iter().filter(|one| !is_over(one.not_after, now)) {
        add(Revocation { serial_hex: one.serial.clone(), at: whole(one.at), reason: reason(one.reason) });
    }
    for entry in known.iter().flat_map(RevocationList::entries) {
        let longest = entry.at.saturating_add(LONGEST_LIFE).unwrap_or(Timestamp::MAX);
        let is_over = ends.get(&entry.serial_hex).map_or(longest <= now, |end| is_over(*end, now));
        if !is_over {
            add(entry.clone());
        }
    }
    entries.into_values().collect()
}

fn is_over(not_after: Timestamp, now: Timestamp) -> bool {
    not_after.saturating_add(STAYS_AFTER_END).unwrap_or(Timestamp::MAX) <= now
}

fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn reason(reason: RevocationReason) -> Reason {
    match reason {
        RevocationReason::AffiliationChanged => Reason::AffiliationChanged,
        RevocationReason::CessationOfOperation => Reason::CessationOfOperation,
        RevocationReason::KeyCompromise => Reason::KeyCompromise,
        RevocationReason::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
        RevocationReason::Superseded => Reason::Superseded,
        RevocationReason::Unspecified => Reason::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sallyport_pki::authority::{Authority, AuthoritySubject, Serial};
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};

    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    const BEGIN: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(BEGIN + second).unwrap()
    }

    fn authority() -> Authority {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let life = Duration::from_secs(3650 * 86_400);
        Authority::create(1, &subject, Box::new(key), life, Serial::from_random([7; 16]), at(0)).unwrap()
    }

    fn signed(authority: &Authority, wanted: &Wanted) -> RevocationList {
        let der = authority.revocation_list(&wanted.entries, wanted.number, wanted.this_update, wanted.next_update);
        RevocationList::parse(&der.unwrap()).unwrap()
    }

    fn revoked(serial: &str, end: i64, since: i64) -> RevokedCertificate {
        RevokedCertificate {
            serial: serial.into(),
            issuer_generation: 1,
            not_after: at(end),
            reason: RevocationReason::KeyCompromise,
            at: at(since),
        }
    }

    fn sign(known: &[RevocationList], revoked: &[RevokedCertificate], now: i64) -> Option<Wanted> {
        match next(known, revoked, &BTreeMap::new(), WEEK, at(now)) {
            Next::Keep(_) => None,
            Next::Sign(wanted) => Some(wanted),
        }
    }

    #[test]
    fn a_list_is_signed_when_it_is_missing_or_its_content_or_a_third_of_its_life_is_over() {
        let authority = authority();
        let first = signed(&authority, &sign(&[], &[], 0).unwrap());
        assert_eq!((first.number(), first.next_update()), (u64::try_from(BEGIN).unwrap(), at(7 * 86_400)));
        assert_eq!(sign(std::slice::from_ref(&first), &[], 2 * 86_400), None);
        assert!(sign(std::slice::from_ref(&first), &[], 3 * 86_400).is_some());
        // Twice within a second: the number rises all the same.
        let one = [revoked("4a", 1000, 0)];
        let second = signed(&authority, &sign(std::slice::from_ref(&first), &one, 0).unwrap());
        assert_eq!((second.number(), second.revokes("4a")), (first.number() + 1, true));
        assert_eq!(sign(&[second.clone(), first], &one, 1), None);
        // The time of a revocation does not wander.
        assert_eq!(sign(std::slice::from_ref(&second), &[revoked("4a", 1000, 5)], 6), None);
    }

    #[test]
    fn an_entry_leaves_when_its_certificate_has_ended() {
        let list = [signed(&authority(), &sign(&[], &[revoked("4a", 1000, 0)], 0).unwrap())];
        let ends = BTreeMap::from([("4a".to_owned(), at(1000))]);
        let entries = |now| merged(&list, &[], &ends, at(now)).len();
        let by_every_clock = 1000 + 86_400;
        assert_eq!((entries(1000), entries(by_every_clock - 1), entries(by_every_clock)), (1, 1, 0));
        assert_eq!(merged(&[], &[revoked("4a", 1000, 0)], &ends, at(by_every_clock - 1)).len(), 1);
        let forgotten = |now| merged(&list, &[], &BTreeMap::new(), at(now)).len();
        assert_eq!((forgotten(397 * 86_400), forgotten(399 * 86_400)), (1, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever objects come, go and are restored from older backups, and whichever of the published lists are
        /// lost but one: what was on it and has not ended stays on, and numbers rise.
        #[test]
        fn nothing_that_has_not_ended_is_forgotten(
            history in prop::collection::vec((prop::collection::vec(0u8..6, 0..4), 0i64..90_000), 1..6),
        ) {
            let authority = authority();
            let (mut list, mut now, mut ever): (Option<RevocationList>, i64, BTreeMap<String, i64>) = (None, 0, BTreeMap::new());
            for (serials, pass) in history {
                now += pass;
                let objects: Vec<_> = serials.iter().map(|n| {
                    let serial = format!("4{n}");
                    let end = ever.get(&serial).copied().unwrap_or(now + 200_000);
                    revoked(&serial, end, now)
                }).collect();
                let ends: BTreeMap<_, _> = ever.iter().map(|(serial, end)| (serial.clone(), at(*end))).collect();
                let known: Vec<_> = list.iter().cloned().collect();
                if let Next::Sign(wanted) = next(&known, &objects, &ends, WEEK, at(now)) {
                    let new = signed(&authority, &wanted);
                    prop_assert!(list.as_ref().is_none_or(|old| new.number() > old.number()));
                    list = Some(new);
                }
                for one in &objects {
                    ever.entry(one.serial.clone()).or_insert(now + 200_000);
                }
                let list = list.as_ref().unwrap();
                for (serial, end) in &ever {
                    prop_assert_eq!(list.revokes(serial), *end + 86_400 > now, "{} ends {} now {}", serial, end, now);
                }
                prop_assert!(list.next_update() > at(now));
            }
        }
    }
}

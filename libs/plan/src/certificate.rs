//! Is a certificate in a Secret still good, and until when? An ordered list of small checks; the first that fails is
//! the reason to issue anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sallyport_core::identity::Identity;
use sallyport_pki::inspect::Validity;

use crate::labels;
use crate::secret_facts::{LeafFacts, SecretFacts};

/// What a certificate should be.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// uid of the object that the Secret must belong to.
    pub owner_uid: &'a str,
    /// Whom it must name.
    pub identity: &'a Identity,
    /// Fingerprint of the CA that signs now.
    pub issuer: &'a str,
    /// The trust bundle beside it.
    pub trust: &'a str,
    /// How long it should last.
    pub lifetime: SignedDuration,
    /// Every generation of the CA that is trusted: fingerprint to number.
    pub trusted: &'a BTreeMap<String, u32>,
    /// When it is replaced because another generation signs now.
    pub takeover: Takeover<'a>,
    /// From what the PKCS#12 file beside it should be made, if there should be one.
    pub keystore: Option<&'a str>,
}

/// When a certificate is replaced because another generation of its CA signs: not all of them in the same second.
#[derive(Clone, Copy, Debug)]
pub enum Takeover<'a> {
    /// At once.
    AtOnce,
    /// At a moment within this time, which the object's name decides.
    Within {
        /// When the generation began to sign.
        since: Timestamp,
        /// How long all of them together may take.
        spread: SignedDuration,
        /// Name of the object.
        name: &'a str,
    },
}

impl Takeover<'_> {
    fn at(self) -> Option<Timestamp> {
        match self {
            Self::AtOnce => None,
            Self::Within { since, spread, name } => since.checked_add(share_of(spread, name)).ok(),
        }
    }
}

/// What to do about the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A Secret of that name belongs to somebody else: it is not touched.
    Foreign,
    /// A new key and certificate.
    Issue(Why),
    /// It is good until this time, when it is renewed.
    Keep {
        /// Two thirds of its life.
        renew_at: Timestamp,
    },
    /// The certificate is good, what is around it is not: trust bundle and PKCS#12 file are written anew.
    Repair,
}

/// Why a certificate is issued, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no Secret.
    Missing,
    /// It holds no certificate, or not its key.
    Damaged,
    /// It names somebody else.
    Identity,
    /// The CA has changed.
    Issuer,
    /// Its time has come.
    Due,
    /// It lasts longer than is now wanted.
    Lifetime,
}

impl Why {
    /// A closed set of labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Identity => "identity",
            Self::Issuer => "issuer",
            Self::Due => "due",
            Self::Lifetime => "lifetime",
        }
    }
}

/// Decides. `found` is the Secret of the wanted name.
pub fn decide(wanted: &Wanted<'_>, found: Option<&SecretFacts>, now: Timestamp) -> Decision {
    let Some(found) = found else { return Decision::Issue(Why::Missing) };
    if !labels::is_controlled_by(&found.metadata, wanted.owner_uid) {
        return Decision::Foreign;
    }
    let Some(leaf) = &found.leaf else { return Decision::Issue(Why::Damaged) };
    match fault(wanted, leaf, now) {
        Some(why) => Decision::Issue(why),
        None if found.trust.trim() != wanted.trust.trim() => Decision::Repair,
        None if found.keystore.as_deref() != wanted.keystore => Decision::Repair,
        None => Decision::Keep { renew_at: next(wanted, leaf) },
    }
}

/// When it will be due: in time, or because another generation signs.
fn next(wanted: &Wanted<'_>, leaf: &LeafFacts) -> Timestamp {
    let due = renew_at_spread(&leaf.validity, &leaf.serial);
    let takeover = (leaf.issuer != wanted.issuer).then(|| wanted.takeover.at()).flatten();
    takeover.map_or(due, |takeover| takeover.min(due))
}

/// Whether the CA that issued it is gone, or no longer signs and its moment has come.
fn issuer_has_changed(wanted: &Wanted<'_>, leaf: &LeafFacts, now: Timestamp) -> bool {
    let moment_has_come = wanted.takeover.at().is_none_or(|at| now >= at);
    leaf.issuer != wanted.issuer && (moment_has_come || !wanted.trusted.contains_key(&leaf.issuer))
}

fn fault(wanted: &Wanted<'_>, leaf: &LeafFacts, now: Timestamp) -> Option<Why> {
    // A minute's grace: whole seconds and the clock skew of the beginning make the life a little longer than asked.
    let longest = wanted.lifetime.saturating_add(SignedDuration::from_mins(10));
    let life = leaf.validity.not_after.duration_since(leaf.validity.not_before);
    let checks = [
        (leaf.identity.as_ref() != Some(wanted.identity), Why::Identity),
        (issuer_has_changed(wanted, leaf, now), Why::Issuer),
        (now >= renew_at_spread(&leaf.validity, &leaf.serial) || now < leaf.validity.not_before, Why::Due),
        (life > longest, Why::Lifetime),
    ];
    checks.into_iter().find(|(failed, _)| *failed).map(|(_, why)| why)
}

/// When a certificate is renewed: at two thirds of its life, so that a third is left for whatever keeps the operator or
/// the site away (R71).
pub fn renew_at(validity: &Validity) -> Timestamp {
    let life = validity.not_after.duration_since(validity.not_before);
    let two_thirds = SignedDuration::from_secs(life.as_secs() / 3 * 2);
    validity.not_before.checked_add(two_thirds).unwrap_or(validity.not_before)
}

/// The same, later by up to a fifteenth of its life, so that what was issued together is not renewed together. The same
/// `name` always gets the same moment.
pub fn renew_at_spread(validity: &Validity, name: &str) -> Timestamp {
    let life = validity.not_after.duration_since(validity.not_before);
    let spread = SignedDuration::from_secs(life.as_secs() / 15);
    let at = renew_at(validity);
    at.checked_add(share_of(spread, name)).unwrap_or(at)
}

/// A share of a time, from nothing to all of it, evenly over all names.
pub(crate) fn share_of(time: SignedDuration, name: &str) -> SignedDuration {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hash = DefaultHasher::new();
    name.hash(&mut hash);
    let share = i128::from(hash.finish() >> 32);
    SignedDuration::from_millis(i64::try_from((time.as_millis() * share) >> 32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::*;

    const IDENTITY: &str = "sallyport://dmz.eu/endpoint/lyon/agent";

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn wanted<'a>(identity: &'a Identity, trusted: &'a BTreeMap<String, u32>) -> Wanted<'a> {
        Wanted {
            owner_uid: "u",
            identity,
            issuer: "ca1",
            trust: "bundle",
            lifetime: SignedDuration::from_hours(90 * 24),
            trusted,
            takeover: Takeover::AtOnce,
            keystore: None,
        }
    }

    fn trusted() -> BTreeMap<String, u32> {
        BTreeMap::from([("ca0".to_owned(), 1), ("ca1".to_owned(), 2)])
    }

    fn good() -> SecretFacts {
        let owner = OwnerReference { uid: "u".into(), controller: Some(true), ..OwnerReference::default() };
        SecretFacts {
            metadata: ObjectMeta { owner_references: Some(vec![owner]), ..ObjectMeta::default() },
            type_: "kubernetes.io/tls".into(),
            leaf: Some(LeafFacts {
                identity: Some(IDENTITY.parse().unwrap()),
                serial: "01".into(),
                validity: Validity { not_before: at(0), not_after: at(90) },
                issuer: "ca1".into(),
            }),
            trust: "bundle".into(),
            keystore: None,
            holds_key: true,
        }
    }

    fn changed(change: impl FnOnce(&mut SecretFacts)) -> SecretFacts {
        let mut facts = good();
        change(&mut facts);
        facts
    }

    #[test]
    fn each_fault_has_its_reason_and_the_first_one_counts() {
        let identity: Identity = IDENTITY.parse().unwrap();
        let trusted = trusted();
        let wanted = wanted(&identity, &trusted);
        let leaf = |facts: &mut SecretFacts, change: fn(&mut LeafFacts)| facts.leaf.iter_mut().for_each(change);
        let due = renew_at_spread(&good().leaf.unwrap().validity, "01");
        assert!(due >= at(60) && due <= at(66));
        let keep = Decision::Keep { renew_at: due };
        for (found, now, decision) in [
            (None, at(1), Decision::Issue(Why::Missing)),
            (Some(good()), at(1), keep.clone()),
            (Some(changed(|f| f.metadata.owner_references = None)), at(1), Decision::Foreign),
            (Some(changed(|f| f.leaf = None)), at(1), Decision::Issue(Why::Damaged)),
            (Some(changed(|f| leaf(f, |l| l.identity = None))), at(1), Decision::Issue(Why::Identity)),
            (Some(changed(|f| leaf(f, |l| l.issuer = "ca0".into()))), at(1), Decision::Issue(Why::Issuer)),
            (Some(good()), at(59), keep),
            (Some(good()), due, Decision::Issue(Why::Due)),
            (Some(good()), at(-1), Decision::Issue(Why::Due)),
            (Some(changed(|f| leaf(f, |l| l.validity.not_after = at(200)))), at(1), Decision::Issue(Why::Lifetime)),
            (Some(changed(|f| f.trust = "old".into())), at(1), Decision::Repair),
            (Some(changed(|f| f.keystore = Some("old".into()))), at(1), Decision::Repair),
        ] {
            assert_eq!(decide(&wanted, found.as_ref(), now), decision);
        }
    }

    #[test]
    fn a_new_generation_takes_over_within_its_time_and_a_dropped_one_at_once() {
        let (identity, trusted): (Identity, _) = (IDENTITY.parse().unwrap(), trusted());
        let spread = SignedDuration::from_hours(24);
        let takeover = Takeover::Within { since: at(5), spread, name: "lyon/agent" };
        let wanted = Wanted { takeover, ..wanted(&identity, &trusted) };
        let old = changed(|f| f.leaf.iter_mut().for_each(|l| l.issuer = "ca0".into()));
        let Decision::Keep { renew_at } = decide(&wanted, Some(&old), at(5)) else { panic!("not kept") };
        assert!(renew_at > at(5) && renew_at < at(6), "{renew_at}");
        assert_eq!(decide(&wanted, Some(&old), renew_at), Decision::Issue(Why::Issuer));
        let dropped = changed(|f| f.leaf.iter_mut().for_each(|l| l.issuer = "gone".into()));
        assert_eq!(decide(&wanted, Some(&dropped), at(5)), Decision::Issue(Why::Issuer));
    }

    /// Ten thousand certificates are not renewed in the same second: no tenth of the time has much more than its share.
    #[test]
    fn names_are_spread_evenly() {
        let day = SignedDuration::from_hours(24);
        let mut tenths = [0; 10];
        for n in 0..10_000 {
            let share = share_of(day, &format!("site-{n}/agent"));
            tenths[usize::try_from(share.as_millis() * 10 / day.as_millis()).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (900..1100).contains(count)), "{tenths:?}");
    }
}

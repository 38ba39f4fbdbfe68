//! Is a certificate in a Secret still good, and until when? An ordered list of small checks; the first that fails is
//! the reason to issue anew.

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
    /// The certificate is good, the text around it is not: the trust bundle is written anew.
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
        None => Decision::Keep { renew_at: renew_at(&leaf.validity) },
    }
}

fn fault(wanted: &Wanted<'_>, leaf: &LeafFacts, now: Timestamp) -> Option<Why> {
    // A minute's grace: whole seconds and the clock skew of the beginning make the life a little longer than asked.
    let longest = wanted.lifetime.saturating_add(SignedDuration::from_mins(10));
    let life = leaf.validity.not_after.duration_since(leaf.validity.not_before);
    let checks = [
        (leaf.identity.as_ref() != Some(wanted.identity), Why::Identity),
        (leaf.issuer != wanted.issuer, Why::Issuer),
        (now >= renew_at(&leaf.validity) || now < leaf.validity.not_before, Why::Due),
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::*;

    const IDENTITY: &str = "sallyport://dmz.eu/endpoint/lyon/agent";

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn wanted(identity: &Identity) -> Wanted<'_> {
        Wanted {
            owner_uid: "u",
            identity,
            issuer: "ca1",
            trust: "bundle",
            lifetime: SignedDuration::from_hours(90 * 24),
        }
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
        let wanted = wanted(&identity);
        let leaf = |facts: &mut SecretFacts, change: fn(&mut LeafFacts)| facts.leaf.iter_mut().for_each(change);
        let keep = Decision::Keep { renew_at: at(60) };
        for (found, now, decision) in [
            (None, at(1), Decision::Issue(Why::Missing)),
            (Some(good()), at(1), keep.clone()),
            (Some(changed(|f| f.metadata.owner_references = None)), at(1), Decision::Foreign),
            (Some(changed(|f| f.leaf = None)), at(1), Decision::Issue(Why::Damaged)),
            (Some(changed(|f| leaf(f, |l| l.identity = None))), at(1), Decision::Issue(Why::Identity)),
            (Some(changed(|f| leaf(f, |l| l.issuer = "ca0".into()))), at(1), Decision::Issue(Why::Issuer)),
            (Some(good()), at(59), keep),
            (Some(good()), at(60), Decision::Issue(Why::Due)),
            (Some(good()), at(-1), Decision::Issue(Why::Due)),
            (Some(changed(|f| leaf(f, |l| l.validity.not_after = at(200)))), at(1), Decision::Issue(Why::Lifetime)),
            (Some(changed(|f| f.trust = "old".into())), at(1), Decision::Repair),
        ] {
            assert_eq!(decide(&wanted, found.as_ref(), now), decision);
        }
    }
}

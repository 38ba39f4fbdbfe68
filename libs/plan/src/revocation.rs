//! Which certificates belong on a revocation list, and when a `TunnelCertificate` that is being deleted may go.

mod unrecorded;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::TunnelCertificate;
use sallyport_api::tunnel_certificate::{EarlierCertificate, RevocationReason};

use crate::catalogue::{Catalogue, ObjectKey, Objects, region_key};
use crate::enforcement::Progress;

pub use unrecorded::{Unrecorded, unrecorded};

/// The finalizer on `TunnelCertificate`: deleting one revokes what was issued for it.
pub const FINALIZER: &str = "sallyport.dev/certificate-revoked";

/// Gateways that owe an acknowledgement hold up a deletion no longer than this: the certificate is on the list, and a
/// gateway gets the list before anything else when it attaches.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// What has ended is remembered this much longer, and stays on the lists: by the clock of a gateway or an agent, which
/// may be behind the operator's, it has not ended. Clocks that are a day apart verify no certificate at all.
pub const CLOCK_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Whether what ends then (RFC 3339) need not be remembered any more. An end that cannot be read has not come: to forget
/// what is still good is the worse mistake.
pub fn is_forgotten(end: &str, now: Timestamp) -> bool {
    end.parse().is_ok_and(|end| is_past(end, now))
}

fn is_past(end: Timestamp, now: Timestamp) -> bool {
    end.saturating_add(CLOCK_GRACE).unwrap_or(Timestamp::MAX) <= now
}

/// A certificate that belongs on the revocation list of the generation that issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Serial number, in lower-case hexadecimal.
    pub serial: String,
    /// Number of the CA generation that issued it.
    pub issuer_generation: u32,
    /// Its end. After that it needs no list any more.
    pub not_after: Timestamp,
    /// Why (RFC 5280 section 5.3.1).
    pub reason: RevocationReason,
    /// When the operator saw that it is revoked.
    pub at: Timestamp,
}

/// Whether a certificate's object says that everything issued for it is revoked.
pub fn is_revoked(certificate: &TunnelCertificate) -> bool {
    certificate.spec.revoked.is_some() || certificate.metadata.deletion_timestamp.is_some()
}

/// What an object puts on the lists of its authority: all that was issued for it once it is revoked, and before that only
/// what was superseded to make room.
pub fn of_certificate(certificate: &TunnelCertificate, now: Timestamp) -> Vec<RevokedCertificate> {
    let Some(reason) = reason(certificate) else { return superseded(certificate, now) };
    let at = seen(certificate, now);
    let revoked = |(serial, issuer_generation, not_after)| RevokedCertificate {
        serial,
        issuer_generation,
        not_after,
        reason,
        at,
    };
    issued(certificate, now).map(revoked).collect()
}

fn reason(certificate: &TunnelCertificate) -> Option<RevocationReason> {
    match (&certificate.spec.revoked, &certificate.metadata.deletion_timestamp) {
        (Some(revoked), _) => Some(revoked.reason),
        (None, Some(_)) => Some(RevocationReason::CessationOfOperation),
        (None, None) => None,
    }
}

/// When it was seen that an object is revoked.
fn seen(certificate: &TunnelCertificate, now: Timestamp) -> Timestamp {
    let seen = certificate.status.as_ref().and_then(|status| status.revocation.as_ref());
    seen.and_then(|seen| seen.seen.parse().ok()).unwrap_or(now)
}

fn superseded(certificate: &TunnelCertificate, now: Timestamp) -> Vec<RevokedCertificate> {
    let earlier = certificate.status.iter().flat_map(|status| &status.earlier);
    let one = |e: &EarlierCertificate| {
        let since = e.superseded.as_ref()?;
        Some(RevokedCertificate {
            serial: e.serial.clone(),
            issuer_generation: e.issuer_generation,
            not_after: e.not_after.parse().unwrap_or(Timestamp::MAX),
            reason: RevocationReason::Superseded,
            at: since.parse().unwrap_or(now),
        })
    };
    earlier.filter_map(one).filter(|one| !is_past(one.not_after, now)).collect()
}

/// What authority's lists must have now, from all objects: `certificates` of every namespace.
pub fn of_authority(
    authority: &ObjectKey,
    certificates: &Objects<TunnelCertificate>,
    all: &Catalogue,
    now: Timestamp,
) -> Vec<RevokedCertificate> {
    let listed = certificates.values().map(|certificate| (certificate, of_certificate(certificate, now)));
    let listed = listed.filter(|(_, listed)| !listed.is_empty());
    let mine = listed.filter(|(certificate, _)| authority_of(certificate, all).as_ref() == Some(authority));
    mine.flat_map(|(_, listed)| listed).collect()
}

/// Serial numbers of an object's certificates that have not expired, by any clock ([`CLOCK_GRACE`]).
pub fn serials(certificate: &TunnelCertificate, now: Timestamp) -> Vec<String> {
    issued(certificate, now).map(|(serial, ..)| serial).collect()
}

/// Of these, the ones of generations that are trusted.
pub fn serials_of(certificate: &TunnelCertificate, trusted: &BTreeSet<u32>, now: Timestamp) -> Vec<String> {
    // An older operator did not write down who issued: then it counts.
    let counts = |generation| generation == 0 || trusted.contains(&generation);
    let all = issued(certificate, now).filter(|(_, generation, _)| counts(*generation));
    all.map(|(serial, ..)| serial).collect()
}

/// Serial, generation and end of what was issued for an object and has not expired by any clock. An end that cannot be
/// read has not come.
fn issued(certificate: &TunnelCertificate, now: Timestamp) -> impl Iterator<Item = (String, u32, Timestamp)> {
    let status = certificate.status.as_ref();
    let end = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MAX);
    let current = status.and_then(|status| {
        let serial = status.serial.clone()?;
        Some((serial, status.issuer_generation.unwrap_or_default(), end(status.not_after.as_deref())))
    });
    let earlier = status.map(|status| status.earlier.as_slice()).unwrap_or_default();
    let earlier = earlier.iter().map(|e| (e.serial.clone(), e.issuer_generation, end(Some(&e.not_after))));
    let all: Vec<_> = current.into_iter().chain(earlier).collect();
    all.into_iter().filter(move |(.., not_after)| !is_past(*not_after, now))
}

/// The authority that an object's certificates come from: the one that issued them, or the one of its region.
pub fn authority_of(certificate: &TunnelCertificate, all: &Catalogue) -> Option<ObjectKey> {
    let recorded = certificate.status.as_ref().and_then(|status| status.authority.as_deref());
    if let Some((namespace, name)) = recorded.and_then(|recorded| recorded.split_once('/')) {
        return Some(ObjectKey::new(namespace, name));
    }
    let namespace = certificate.metadata.namespace.as_deref().unwrap_or_default();
    let site = all.site_of(&ObjectKey::new(namespace, &certificate.spec.endpoint_ref.name))?;
    let region_key = region_key(site);
    let region = all.regions.get(&region_key)?;
    Some(ObjectKey::new(region_key.namespace, &region.spec.certificate_authority_ref.name))
}

/// How the lists stand to an object that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Nothing was issued that has not expired.
    NothingIssued,
    /// The authority does not exist any more, and neither do its keys: nobody signs a list, and no door will trust it again.
    NoAuthority,
    /// The authority's object does not exist, but its keys do. Should somebody make it again, all that it issued counts
    /// again, and its lists must have this.
    AuthorityMissing {
        /// The Secret with its keys.
        keys: ObjectKey,
    },
    /// The lists do not have all of it yet.
    NotYet,
    /// The lists have it; this is how far the gateways are.
    Listed(Progress),
}

/// Whether an object that is being deleted may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It may.
    Release,
    /// It waits, for this, and is looked at again then.
    Wait {
        /// For people.
        message: String,
        /// Nothing: only an event ends it.
        until: Option<Timestamp>,
    },
}

/// Decides about an object that is being deleted. The list must have its certificates; the gateways' word that they are
/// cut is waited for, but not for ever.
pub fn leaving(deleted: Timestamp, listed: &Listed, now: Timestamp) -> Leaving {
    let until = deleted.saturating_add(LONGEST_WAIT).unwrap_or(deleted);
    match listed {
        Listed::NothingIssued | Listed::NoAuthority => Leaving::Release,
        Listed::AuthorityMissing { keys } => Leaving::Wait {
            message: format!(
                "the CertificateAuthority that issued its certificates does not exist, but Secret {keys} with its keys \
                 does: made again, it would vouch for them. It goes on when the CertificateAuthority is there again, or \
                 once you delete that Secret for good"
            ),
            until: None,
        },
        Listed::NotYet => Leaving::Wait {
            message:
                "waiting until the authority's revocation list has its certificates; see the CertificateAuthority. \
                      It goes on when that is done, when they have expired, or when the authority is deleted"
                    .to_owned(),
            until: None,
        },
        Listed::Listed(progress) => match &progress.waits_for {
            Some(waits_for) if now < until => {
                Leaving::Wait { message: format!("{waits_for}; it goes on at {until} in any case"), until: Some(until) }
            }
            _ => Leaving::Release,
        },
    }
}

#[cfg(test)]
mod tests {
    use sallyport_api::common::Enforcement;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn certificate(spec: serde_json::Value) -> TunnelCertificate {
        let mut whole = json!({ "endpointRef": { "name": "agent" } });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelCertificate",
            "metadata": { "name": "agent", "namespace": "lyon" }, "spec": whole,
            "status": {
                "serial": "4a", "notAfter": at(100).to_string(), "issuerGeneration": 2, "authority": "dmz/ca",
                "earlier": [
                    { "serial": "49", "notAfter": at(50).to_string(), "issuerGeneration": 1 },
                    { "serial": "48", "notAfter": at(-86_400).to_string(), "issuerGeneration": 1 },
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_revocation_takes_every_certificate_that_has_not_expired() {
        assert!(of_certificate(&certificate(json!({})), at(0)).is_empty());
        let revoked = of_certificate(&certificate(json!({ "revoked": { "reason": "keyCompromise" } })), at(0));
        let outline: Vec<_> = revoked.iter().map(|r| (r.serial.as_str(), r.issuer_generation, r.reason)).collect();
        assert_eq!(outline, [("4a", 2, RevocationReason::KeyCompromise), ("49", 1, RevocationReason::KeyCompromise)]);
        assert_eq!(revoked[0].at, at(0));
    }

    /// A gateway's clock may be behind: what has ended by the operator's opens its door.
    #[test]
    fn what_has_ended_is_revoked_for_a_day_more() {
        let revoked = certificate(json!({ "revoked": { "reason": "keyCompromise" } }));
        let listed = |now| of_certificate(&revoked, now).len();
        assert_eq!((listed(at(100)), listed(at(99 + 86_400)), listed(at(100 + 86_400))), (2, 1, 0));
        assert_eq!(serials(&revoked, at(99 + 86_400)), ["4a"]);
    }

    #[test]
    fn what_was_superseded_is_listed_and_the_rest_is_not() {
        let mut one = certificate(json!({}));
        let status = one.status.as_mut().unwrap();
        status.earlier[0].superseded = Some(at(-3).to_string());
        let listed = of_certificate(&one, at(0));
        assert_eq!(
            listed.iter().map(|r| (r.serial.as_str(), r.reason, r.at)).collect::<Vec<_>>(),
            [("49", RevocationReason::Superseded, at(-3))]
        );
        let all: Objects<_> = std::iter::once((ObjectKey::new("lyon", "agent"), std::sync::Arc::new(one))).collect();
        assert_eq!(of_authority(&ObjectKey::new("dmz", "ca"), &all, &Catalogue::default(), at(0)), listed);
    }

    #[test]
    fn a_deletion_revokes_and_the_time_is_when_it_was_seen() {
        let mut deleted = certificate(json!({}));
        deleted.metadata.deletion_timestamp = Some(serde_json::from_value(json!(at(7).to_string())).unwrap());
        let status = deleted.status.as_mut().unwrap();
        status.revocation = Some(Enforcement { seen: at(8).to_string(), enforced: None, milliseconds: None });
        let revoked = of_certificate(&deleted, at(9));
        assert_eq!((revoked[0].reason, revoked[0].at), (RevocationReason::CessationOfOperation, at(8)));
    }

    #[test]
    fn only_the_authority_that_issued_lists_it_even_when_site_and_endpoint_are_gone() {
        let one = certificate(json!({ "revoked": { "reason": "unspecified" } }));
        let all: Objects<_> = std::iter::once((ObjectKey::new("lyon", "agent"), std::sync::Arc::new(one))).collect();
        let of = |name: &str| of_authority(&ObjectKey::new("dmz", name), &all, &Catalogue::default(), at(0)).len();
        assert_eq!((of("ca"), of("other")), (2, 0));
    }

    #[test]
    fn a_deletion_waits_for_the_list_and_not_for_ever_for_gateways() {
        let progress = |waits_for: Option<&str>| {
            let status = Enforcement { seen: at(0).to_string(), enforced: None, milliseconds: None };
            Listed::Listed(Progress { status, waits_for: waits_for.map(str::to_owned) })
        };
        let late = at(0) + LONGEST_WAIT;
        for (listed, now, released) in [
            (Listed::NothingIssued, at(0), true),
            (Listed::NoAuthority, at(0), true),
            (Listed::AuthorityMissing { keys: ObjectKey::new("dmz", "eu-ca") }, late, false),
            (Listed::NotYet, late, false),
            (progress(None), at(0), true),
            (progress(Some("eu-gateway-0")), at(1), false),
            (progress(Some("eu-gateway-0")), late, true),
        ] {
            assert_eq!(leaving(at(0), &listed, now) == Leaving::Release, released, "{listed:?}");
        }
    }
}

//! What a gateway hands out is looked at before it replaces anything: a certificate of our key, for our endpoint, by a
//! CA that we trust, valid now. The gateway is not believed in any of it.

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_pki::authority::CLOCK_SKEW;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect::{self, CertificateError, IdentityRefused, Validity};
use sallyport_pki::key::PublicKey;
use sallyport_runtime::tls;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The key of the request.
    pub key: &'w PublicKey,
    /// For whom.
    pub endpoint: &'w EndpointId,
    /// The region, where it is known: a first enrolment learns it from the certificate.
    pub region: Option<&'w RegionId>,
    /// Who may have issued it.
    pub trust: &'w TrustBundle,
}

/// A certificate that is what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The leaf, DER.
    pub leaf: Vec<u8>,
    /// Its region.
    pub region: RegionId,
    /// When it is valid.
    pub validity: Validity,
}

/// When a certificate that is what was asked for can be put in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It begins within [`LONGEST_WAIT`]: the clock of who issued it is ahead. Others would refuse it until then.
    Later(Issued),
    /// Now.
    Now(Issued),
}

/// How long the beginning of a certificate is waited for. It begins [`CLOCK_SKEW`] before it is issued, so clocks that
/// differ by up to 20 minutes get along; one that differs by more is a fault that a person must know of.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// By how much the clock of who issued a certificate is ahead of this host's: it begins [`CLOCK_SKEW`] before.
pub fn ahead(not_before: Timestamp, now: Timestamp) -> SignedDuration {
    let skew = SignedDuration::try_from(CLOCK_SKEW).unwrap_or_default();
    not_before.duration_since(now).saturating_add(skew)
}

impl Wanted<'_> {
    /// The certificate of an answer, if it is the only one, holds the key of the request and stands for who asked. Whether
    /// it can be used is another question: [`Wanted::accept`].
    ///
    /// # Errors
    /// See [`IssuedError`]; then it is nothing that was asked for, and never will be.
    pub fn only(&self, answer: Vec<Vec<u8>>) -> Result<Vec<u8>, IssuedError> {
        let count = answer.len();
        let Ok([leaf]) = <[Vec<u8>; 1]>::try_from(answer) else { return Err(IssuedError::Count { count }) };
        self.is_asked_for(&leaf)?;
        Ok(leaf)
    }

    /// Whether a certificate is what was asked for and can be used.
    ///
    /// # Errors
    /// See [`IssuedError`]; [`IssuedError::may_pass`] tells which of them may be gone at another time.
    pub fn accept(&self, leaf: &[u8], now: Timestamp) -> Result<Accepted, IssuedError> {
        let region = self.is_asked_for(leaf)?;
        let validity = inspect::validity(leaf)?;
        let Validity { not_before, not_after } = validity;
        if not_before.duration_since(now) > LONGEST_WAIT {
            return Err(IssuedError::NotYetValid { not_before, now });
        }
        if now > not_after {
            return Err(IssuedError::Expired { not_after, now });
        }
        if !admitted(self.trust, leaf, now.max(not_before)) {
            return Err(IssuedError::Untrusted);
        }
        let issued = Issued { leaf: leaf.to_vec(), region, validity };
        Ok(if now < not_before { Accepted::Later(issued) } else { Accepted::Now(issued) })
    }

    fn is_asked_for(&self, leaf: &[u8]) -> Result<RegionId, IssuedError> {
        if inspect::public_key(leaf)? != *self.key {
            return Err(IssuedError::ForeignKey);
        }
        self.named(leaf)
    }

    fn named(&self, leaf: &[u8]) -> Result<RegionId, IssuedError> {
        match inspect::identity(leaf)? {
            Identity { region, role: Role::Endpoint(endpoint) }
                if endpoint == *self.endpoint && self.region.is_none_or(|wanted| region == *wanted) =>
            {
                Ok(region)
            }
            found => Err(IssuedError::ForOther { found: Box::new(found), endpoint: self.endpoint.clone() }),
        }
    }
}

/// Chain, validity and usage, as an outer door would judge.
fn admitted(trust: &TrustBundle, leaf: &[u8], now: Timestamp) -> bool {
    let Ok(seconds) = u64::try_from(now.as_second()) else { return false };
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    tls::admits(trust, &[CertificateDer::from(leaf)], now)
}

/// Why an issued certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuedError {
    /// It cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Not one.
    #[error("the gateway answered {count} certificates instead of one")]
    Count {
        /// How many.
        count: usize,
    },
    /// It is over already, by this clock.
    #[error(
        "the issued certificate ended at {not_after}, and this host's clock says {now}: set the clock, best by NTP"
    )]
    Expired {
        /// Its end.
        not_after: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// Somebody else's key.
    #[error("the issued certificate holds another key than was asked for; tell the vendor")]
    ForeignKey,
    /// Somebody else's name.
    #[error("the issued certificate stands for {found}, not for endpoint {endpoint}; tell the vendor")]
    ForOther {
        /// Whom it names.
        found: Box<Identity>,
        /// Who asked.
        endpoint: EndpointId,
    },
    /// It names nobody.
    #[error("the issued certificate names no endpoint")]
    Identity(#[from] IdentityRefused),
    /// It has not begun, by this clock.
    #[error(
        "the issued certificate is valid from {not_before}, and this host's clock says {now}: set the clock, best by NTP"
    )]
    NotYetValid {
        /// Its beginning.
        not_before: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// No trusted CA issued it, or not for this use.
    #[error("the issued certificate is not one of a trusted certificate authority's for a client; tell the vendor")]
    Untrusted,
}

impl IssuedError {
    /// Whether the same certificate may be good at another time: with another clock, or with what is trusted then.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::NotYetValid { .. } | Self::Untrusted)
    }
}

#[cfg(test)]
mod tests {
    use sallyport_pki::profile::Profile;
    use sallyport_testkit::{Ca, Credential};

    use super::*;

    /// As the caller of both does.
    fn judge(wanted: &Wanted<'_>, answer: Vec<Vec<u8>>, now: Timestamp) -> Result<Accepted, IssuedError> {
        wanted.accept(&wanted.only(answer)?, now)
    }

    fn accept(ca: &Ca, credential: &Credential, trust: &TrustBundle) -> Result<Accepted, IssuedError> {
        let key = credential.key().public_key();
        let endpoint = "lyon/ct".parse().unwrap();
        let wanted = Wanted { key: &key, endpoint: &endpoint, region: Some(ca.region()), trust };
        judge(&wanted, vec![credential.der.clone()], "2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let (ca, other) = (Ca::new("dmz", "frankfurt"), Ca::new("dmz", "frankfurt"));
        let good = ca.endpoint("lyon", "ct");
        assert!(matches!(accept(&ca, &good, &ca.bundle()), Ok(Accepted::Now(issued)) if issued.leaf == good.der));
        assert_eq!(accept(&ca, &good, &other.bundle()), Err(IssuedError::Untrusted));
        assert!(matches!(accept(&ca, &ca.operator(), &ca.bundle()), Err(IssuedError::ForOther { .. })));
        assert!(matches!(accept(&ca, &ca.endpoint("lyon", "mr"), &ca.bundle()), Err(IssuedError::ForOther { .. })));
        let elsewhere = Ca::new("dmz", "paris");
        let foreign = elsewhere.endpoint("lyon", "ct");
        assert!(matches!(accept(&ca, &foreign, &elsewhere.bundle()), Err(IssuedError::ForOther { .. })));
        let over = ca.issue_expired(Profile::Endpoint("lyon/ct".parse().unwrap()));
        assert!(matches!(accept(&ca, &over, &ca.bundle()), Err(IssuedError::Expired { .. })));
    }

    #[test]
    fn another_key_another_number_or_another_clock_is_refused() {
        let ca = Ca::new("dmz", "frankfurt");
        let (mine, theirs) = (ca.endpoint("lyon", "ct"), ca.endpoint("lyon", "ct"));
        let (key, endpoint, trust) = (mine.key().public_key(), "lyon/ct".parse().unwrap(), ca.bundle());
        let wanted = Wanted { key: &key, endpoint: &endpoint, region: None, trust: &trust };
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        assert_eq!(judge(&wanted, vec![theirs.der.clone()], now), Err(IssuedError::ForeignKey));
        for answer in [vec![], vec![mine.der.clone(), theirs.der]] {
            let count = answer.len();
            assert_eq!(judge(&wanted, answer, now), Err(IssuedError::Count { count }));
        }
        let early = "2023-11-24T12:00:00Z".parse().unwrap();
        let refused = judge(&wanted, vec![mine.der.clone()], early).unwrap_err();
        assert!(matches!(refused, IssuedError::NotYetValid { .. }) && refused.to_string().contains("clock"));
        assert!(judge(&wanted, vec![b"no certificate".to_vec()], now).is_err());
    }

    #[test]
    fn one_that_begins_within_a_quarter_of_an_hour_is_waited_for_and_no_later_one() {
        let (ca, other) = (Ca::new("dmz", "frankfurt"), Ca::new("dmz", "frankfurt"));
        let mine = ca.endpoint("lyon", "ct");
        let begin = inspect::validity(&mine.der).unwrap().not_before;
        let (key, endpoint) = (mine.key().public_key(), "lyon/ct".parse().unwrap());
        let at = |early: i64, trust: &TrustBundle| {
            let wanted = Wanted { key: &key, endpoint: &endpoint, region: None, trust };
            judge(&wanted, vec![mine.der.clone()], begin - SignedDuration::from_secs(early))
        };
        assert!(matches!(at(0, &ca.bundle()), Ok(Accepted::Now(_))));
        assert!(matches!(at(1, &ca.bundle()), Ok(Accepted::Later(_))));
        assert!(matches!(at(15 * 60, &ca.bundle()), Ok(Accepted::Later(_))));
        let refused = at(15 * 60 + 1, &ca.bundle()).unwrap_err();
        assert!(matches!(refused, IssuedError::NotYetValid { .. }) && refused.may_pass());
        // Nobody waits for what is not trusted.
        assert_eq!(at(60, &other.bundle()), Err(IssuedError::Untrusted));
        // Issued at 12:10 by one clock, taken at 12:00 by the other.
        assert_eq!(ahead(begin, begin - SignedDuration::from_mins(5)), SignedDuration::from_mins(10));
    }
}

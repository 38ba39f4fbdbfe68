//! What a gateway hands out is looked at before it replaces anything: a certificate of our key, for our endpoint, by a
//! CA that we trust, valid now. The gateway is not believed in any of it.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, RegionId};
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

impl Wanted<'_> {
    /// The certificate among those of an answer, if it is the only one and what was asked for.
    ///
    /// # Errors
    /// See [`IssuedError`].
    pub fn accept(&self, answer: Vec<Vec<u8>>, now: Timestamp) -> Result<Issued, IssuedError> {
        let count = answer.len();
        let Ok([leaf]) = <[Vec<u8>; 1]>::try_from(answer) else { return Err(IssuedError::Count { count }) };
        if inspect::public_key(&leaf)? != *self.key {
            return Err(IssuedError::ForeignKey);
        }
        let region = self.named(&leaf)?;
        let validity = inspect::validity(&leaf)?;
        if now < validity.not_before {
            return Err(IssuedError::NotYetValid { not_before: validity.not_before, now });
        }
        if now > validity.not_after {
            return Err(IssuedError::Expired { not_after: validity.not_after, now });
        }
        if !admitted(self.trust, &leaf, now) {
            return Err(IssuedError::Untrusted);
        }
        Ok(Issued { leaf, region, validity })
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

#[cfg(test)]
mod tests {
    use sallyport_pki::profile::Profile;
    use sallyport_testkit::{Ca, Credential};

    use super::*;

    fn accept(ca: &Ca, credential: &Credential, trust: &TrustBundle) -> Result<Issued, IssuedError> {
        let key = credential.key().public_key();
        let endpoint = "lyon/ct".parse().unwrap();
        let wanted = Wanted { key: &key, endpoint: &endpoint, region: Some(ca.region()), trust };
        wanted.accept(vec![credential.der.clone()], "2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let (ca, other) = (Ca::new("dmz", "frankfurt"), Ca::new("dmz", "frankfurt"));
        let good = ca.endpoint("lyon", "ct");
        assert_eq!(accept(&ca, &good, &ca.bundle()).unwrap().leaf, good.der);
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
        assert_eq!(wanted.accept(vec![theirs.der.clone()], now), Err(IssuedError::ForeignKey));
        for answer in [vec![], vec![mine.der.clone(), theirs.der]] {
            let count = answer.len();
            assert_eq!(wanted.accept(answer, now), Err(IssuedError::Count { count }));
        }
        let early = "2023-11-24T12:00:00Z".parse().unwrap();
        let refused = wanted.accept(vec![mine.der.clone()], early).unwrap_err();
        assert!(matches!(refused, IssuedError::NotYetValid { .. }) && refused.to_string().contains("clock"));
        assert!(wanted.accept(vec![b"no certificate".to_vec()], now).is_err());
    }
}

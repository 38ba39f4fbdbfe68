//! The key that signs what agents obey, with a certificate of the generation that signs now. In memory only.

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use sallyport_pki::profile::Profile;
use sallyport_pki::signed::{self, Purpose, SignError};

use crate::authorities::{Issued, MakeError, Signer};

/// A region's config signer.
#[derive(Debug)]
pub struct ConfigSigner {
    issued: Issued,
    period: u64,
    authority: String,
}

impl ConfigSigner {
    /// The one to use now. A new period or another generation means a new one; while the CA has no key the one before
    /// goes on as long as it lasts.
    ///
    /// # Errors
    /// [`MakeError`] when none is left and none can be made.
    pub fn fresh<'a>(
        kept: &'a mut Option<Self>,
        region: &RegionId,
        authority: &Signer,
        period: u64,
        now: Timestamp,
    ) -> Result<&'a Self, MakeError> {
        let issuing = authority.fingerprint().ok();
        let good = |signer: &Self| match issuing {
            Some(issuing) => signer.period == period && signer.authority == issuing && now < signer.issued.renew_at(),
            None => now < signer.issued.leaf.not_after,
        };
        let signer = match kept.take().filter(good) {
            Some(signer) => signer,
            None => Self {
                issued: authority.issue(
                    region,
                    Profile::ConfigSigner,
                    Profile::ConfigSigner.default_lifetime(),
                    now,
                )?,
                period,
                authority: authority.fingerprint()?.to_owned(),
            },
        };
        Ok(kept.insert(signer))
    }

    /// Signs.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(&self, purpose: Purpose, payload: &[u8]) -> Result<Vec<u8>, SignError> {
        signed::sign(purpose, payload, &self.issued.key, &self.issued.leaf.der)
    }

    /// Tells one signer from another.
    pub fn serial(&self) -> &str {
        &self.issued.leaf.serial
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use sallyport_pki::authority::{Authority, AuthoritySubject};
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};

    use super::*;
    use crate::authorities::serial;

    /// A CA of one generation.
    pub(crate) fn authority(generation: u32, now: Timestamp) -> Signer {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let life = 3650 * Duration::from_secs(86_400);
        Signer::alone(Authority::create(generation, &subject, Box::new(key), life, serial(), now).unwrap())
    }

    #[test]
    fn it_follows_the_generation_and_the_period_and_outlives_a_lost_key() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let (first, second) = (authority(1, now), authority(2, now));
        let mut kept = None;
        let mut serial = |authority: &Signer, period| {
            ConfigSigner::fresh(&mut kept, &region, authority, period, now).unwrap().serial().to_owned()
        };
        let a = serial(&first, 1);
        assert_eq!(serial(&first, 1), a);
        let b = serial(&first, 2);
        assert_ne!(b, a);
        assert_eq!(serial(&Signer { issuing: None, ..first.clone() }, 3), b);
        assert_ne!(serial(&second, 2), b);
        let lost = Signer { issuing: None, ..first };
        assert!(matches!(ConfigSigner::fresh(&mut None, &region, &lost, 1, now), Err(MakeError::NoKey)));
    }
}

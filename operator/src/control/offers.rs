//! Signed offers: what each endpoint's agent may connect to. Signed once per content and period, so that nothing is
//! sent again while nothing has changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_core::offer::{Offer, OfferedDevice};
use sallyport_pki::profile::Profile;
use sallyport_pki::signed::{self, Purpose, SignError};

use crate::authorities::{Issued, MakeError, Signer};

/// The signed offers of a region.
#[derive(Debug)]
pub struct Offers {
    region: RegionId,
    signer: Option<ConfigSigner>,
    signed: BTreeMap<EndpointId, (Vec<OfferedDevice>, Vec<u8>)>,
}

#[derive(Debug)]
struct ConfigSigner {
    issued: Issued,
    period: u64,
    authority: String,
}

impl Offers {
    /// None yet.
    pub fn new(region: RegionId) -> Self {
        Self { region, signer: None, signed: BTreeMap::new() }
    }

    /// Signs what is not signed yet, and forgets what is no longer offered.
    pub fn sign(
        &mut self,
        offers: &BTreeMap<EndpointId, Vec<OfferedDevice>>,
        authority: &Signer,
        period: u64,
        now: Timestamp,
    ) -> Result<(), OfferError> {
        self.renew_signer(authority, period, now)?;
        self.signed.retain(|endpoint, _| offers.contains_key(endpoint));
        let Some(ConfigSigner { issued, .. }) = &self.signer else { return Ok(()) };
        for (endpoint, devices) in offers {
            if self.signed.get(endpoint).is_some_and(|(known, _)| known == devices) {
                continue;
            }
            let document = sign(endpoint, devices, issued, now)?;
            self.signed.insert(endpoint.clone(), (devices.clone(), document));
        }
        Ok(())
    }

    /// An endpoint's signed offer.
    pub fn of(&self, endpoint: &EndpointId) -> Vec<u8> {
        self.signed.get(endpoint).map(|(_, document)| document.clone()).unwrap_or_default()
    }

    /// A new period or another CA means a new signer, and everything is signed anew.
    fn renew_signer(&mut self, authority: &Signer, period: u64, now: Timestamp) -> Result<(), OfferError> {
        // While the authority's key is lost nobody new is made a signer; what changes must still be signed.
        if authority.issuing.is_none() && self.signer.as_ref().is_some_and(|s| now < s.issued.leaf.not_after) {
            return Ok(());
        }
        let fingerprint = authority.fingerprint()?.to_owned();
        let good = |s: &ConfigSigner| s.period == period && s.authority == fingerprint && now < s.issued.renew_at();
        if self.signer.as_ref().is_some_and(good) {
            return Ok(());
        }
        let lifetime = Profile::ConfigSigner.default_lifetime();
        let issued = authority.issue(&self.region, Profile::ConfigSigner, lifetime, now)?;
        self.signer = Some(ConfigSigner { issued, period, authority: fingerprint });
        self.signed.clear();
        Ok(())
    }
}

fn sign(endpoint: &EndpointId, devices: &[OfferedDevice], by: &Issued, now: Timestamp) -> Result<Vec<u8>, OfferError> {
    let offer = Offer {
        endpoint: endpoint.clone(),
        issued_at_ms: u64::try_from(now.as_millisecond()).unwrap_or_default(),
        devices: devices.to_vec(),
    };
    let text = serde_json::to_vec(&offer).map_err(|e| OfferError::Write(endpoint.clone(), e))?;
    signed::sign(Purpose::Offer, &text, &by.key, &by.leaf.der).map_err(|e| OfferError::Sign(endpoint.clone(), e))
}

/// Why an offer is not signed.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// There is no signer.
    #[error("no config signer")]
    Signer(#[from] MakeError),
    /// It cannot be signed.
    #[error("offer of endpoint {0}")]
    Sign(EndpointId, #[source] SignError),
    /// It cannot be written.
    #[error("offer of endpoint {0}")]
    Write(EndpointId, #[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sallyport_pki::authority::{Authority, AuthoritySubject};
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};

    use super::*;
    use crate::authorities::serial;

    #[test]
    fn an_offer_is_signed_once_per_content_and_period() {
        let now = Timestamp::now();
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let day = Duration::from_secs(86_400);
        let authority = Authority::create(1, &subject, Box::new(key), 3650 * day, serial(), now).unwrap();
        let trust = authority.bundle();
        let signer = Signer::alone(authority);
        let region = RegionId::parse("dmz", "eu").unwrap();
        let endpoint = EndpointId::parse("lyon", "agent").unwrap();
        let mut offers = Offers::new(region.clone());
        let wanted = BTreeMap::from([(endpoint.clone(), Vec::new())]);

        offers.sign(&wanted, &signer, 1, now).unwrap();
        let first = offers.of(&endpoint);
        let text = signed::verify(Purpose::Offer, &first, &trust, &region, now).unwrap();
        assert_eq!(serde_json::from_slice::<Offer>(&text).unwrap().endpoint, endpoint);
        offers.sign(&wanted, &signer, 1, now).unwrap();
        assert_eq!(offers.of(&endpoint), first);
        offers.sign(&wanted, &signer, 2, now).unwrap();
        assert_ne!(offers.of(&endpoint), first);
        offers.sign(&BTreeMap::new(), &signer, 2, now).unwrap();
        assert!(offers.of(&endpoint).is_empty());
    }
}

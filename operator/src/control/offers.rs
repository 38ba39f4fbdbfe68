//! Signed offers: what each endpoint's agent may connect to. Signed once per content and signer, so that nothing is sent
//! again while nothing has changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_core::offer::{Offer, OfferedDevice};
use sallyport_pki::signed::{Purpose, SignError};

use super::config_signer::ConfigSigner;

/// The signed offers of a region.
#[derive(Debug, Default)]
pub struct Offers {
    signed_by: String,
    signed: BTreeMap<EndpointId, (Vec<OfferedDevice>, Vec<u8>)>,
}

impl Offers {
    /// Signs what is not signed yet by this signer, and forgets what is no longer offered.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn sign(
        &mut self,
        offers: &BTreeMap<EndpointId, Vec<OfferedDevice>>,
        by: &ConfigSigner,
        now: Timestamp,
    ) -> Result<(), OfferError> {
        if self.signed_by != by.serial() {
            self.signed.clear();
            by.serial().clone_into(&mut self.signed_by);
        }
        self.signed.retain(|endpoint, _| offers.contains_key(endpoint));
        for (endpoint, devices) in offers {
            if self.signed.get(endpoint).is_some_and(|(known, _)| known == devices) {
                continue;
            }
            let document = sign(endpoint, devices, by, now)?;
            self.signed.insert(endpoint.clone(), (devices.clone(), document));
        }
        Ok(())
    }

    /// An endpoint's signed offer.
    pub fn of(&self, endpoint: &EndpointId) -> Vec<u8> {
        self.signed.get(endpoint).map(|(_, document)| document.clone()).unwrap_or_default()
    }
}

fn sign(
    endpoint: &EndpointId,
    devices: &[OfferedDevice],
    by: &ConfigSigner,
    now: Timestamp,
) -> Result<Vec<u8>, OfferError> {
    let offer = Offer {
        endpoint: endpoint.clone(),
        issued_at_ms: u64::try_from(now.as_millisecond()).unwrap_or_default(),
        devices: devices.to_vec(),
    };
    let text = serde_json::to_vec(&offer).map_err(|e| OfferError::Write(endpoint.clone(), e))?;
    by.sign(Purpose::Offer, &text).map_err(|e| OfferError::Sign(endpoint.clone(), e))
}

/// Why an offer is not signed.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// It cannot be signed.
    #[error("offer of endpoint {0}")]
    Sign(EndpointId, #[source] SignError),
    /// It cannot be written.
    #[error("offer of endpoint {0}")]
    Write(EndpointId, #[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use sallyport_core::name::RegionId;
    use sallyport_pki::bundle::TrustBundle;
    use sallyport_pki::signed;

    use super::super::config_signer::tests::authority;
    use super::*;

    #[test]
    fn an_offer_is_signed_once_per_content_and_signer() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let signer = authority(1, now);
        let trust = TrustBundle::from_pem(&signer.trust).unwrap();
        let (mut kept, mut next) = (None, None);
        let by = ConfigSigner::fresh(&mut kept, &region, &signer, 1, now).unwrap();
        let endpoint = EndpointId::parse("lyon", "agent").unwrap();
        let mut offers = Offers::default();
        let wanted = BTreeMap::from([(endpoint.clone(), Vec::new())]);

        offers.sign(&wanted, by, now).unwrap();
        let first = offers.of(&endpoint);
        let text = signed::verify(Purpose::Offer, &first, &trust, &region, now).unwrap();
        assert_eq!(serde_json::from_slice::<Offer>(&text).unwrap().endpoint, endpoint);
        offers.sign(&wanted, by, now).unwrap();
        assert_eq!(offers.of(&endpoint), first);
        let by = ConfigSigner::fresh(&mut next, &region, &signer, 2, now).unwrap();
        offers.sign(&wanted, by, now).unwrap();
        assert_ne!(offers.of(&endpoint), first);
        offers.sign(&BTreeMap::new(), by, now).unwrap();
        assert!(offers.of(&endpoint).is_empty());
    }
}

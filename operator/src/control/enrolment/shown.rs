//! The certificate that an endpoint showed to a gateway to have it renewed. The gateway has verified it; it is verified
//! here again, and that the endpoint itself asks, because a gateway that was taken over could ask for any endpoint.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_core::identity::{Identity, Role};
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::renewal::NotProven;
use sallyport_pki::{inspect, reenrol};
use sallyport_plan::enrolment::Possession;
use sallyport_runtime::tls::{Reason, admits_checked};

use crate::authorities::Signer;

/// What a gateway passed on.
pub(super) struct Shown {
    /// Serial number in hex, as the gateway says.
    pub(super) serial: String,
    /// The certificate, DER; empty from a gateway that passes none on.
    pub(super) leaf: Vec<u8>,
    /// The endpoint's signature over the request; empty when it sent none.
    pub(super) proof: Vec<u8>,
    /// The request, DER.
    pub(super) csr: Vec<u8>,
}

impl Shown {
    /// Who says that the endpoint asks.
    ///
    /// # Errors
    /// See [`NotShown`]. What is there must be right, whether it is needed or not.
    pub(super) fn possession(
        &self,
        region: &RegionId,
        endpoint: &str,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Possession, NotShown> {
        if self.leaf.is_empty() {
            return Ok(Possession::Unproven);
        }
        let endpoint: EndpointId = endpoint.parse().map_err(|_| NotShown::Other)?;
        self.is_trusted(signer, now)?;
        let identity = Identity { region: region.clone(), role: Role::Endpoint(endpoint.clone()) };
        let is = inspect::identity(&self.leaf).is_ok_and(|found| found == identity);
        if !is || inspect::serial_hex(&self.leaf).ok().as_ref() != Some(&self.serial) {
            return Err(NotShown::Other);
        }
        if self.proof.is_empty() {
            return Ok(Possession::Unproven);
        }
        reenrol::verify(&self.leaf, region, &endpoint, &self.csr, &self.proof)?;
        Ok(Possession::Proven)
    }

    fn is_trusted(&self, signer: &Signer, now: Timestamp) -> Result<(), NotShown> {
        if signer.revokes(&self.serial) {
            return Err(NotShown::NotTrusted(Reason::Revoked));
        }
        let trust = TrustBundle::from_pem(&signer.trust).map_err(|_| NotShown::NotTrusted(Reason::Untrusted))?;
        let lists: Vec<_> = signer.lists.iter().map(|list| list.der.clone()).collect();
        let now = std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
        let chain = [CertificateDer::from(self.leaf.as_slice())];
        admits_checked(&trust, &lists, &chain, UnixTime::since_unix_epoch(now)).map_err(NotShown::NotTrusted)
    }
}

/// Why what was shown does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotShown {
    /// No door of the region would let it in now.
    #[error("the certificate that was shown does not count now ({})", .0.label())]
    NotTrusted(Reason),
    /// It is another endpoint's, or has another serial number than the gateway says.
    #[error("the certificate that was shown is not the one of this endpoint that the gateway names")]
    Other,
    /// The request is not signed with its key.
    #[error("the request is not signed with the key of the certificate that was shown")]
    Proof(#[from] NotProven),
}

impl NotShown {
    /// Whether it may be right the next time, though nothing about the endpoint changes.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::NotTrusted(Reason::RevocationListExpired | Reason::RevocationUnknown))
    }

    /// A closed set of labels for metrics and logs.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NotTrusted(_) => "notTrusted",
            Self::Other => "otherCertificate",
            Self::Proof(_) => "proofWrong",
        }
    }

    /// What the gateway is told (`EnrolRefused.code`).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotTrusted(_) => "revoked",
            Self::Other => "badRequest",
            Self::Proof(_) => "proofRequired",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use sallyport_pki::csr;
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
    use sallyport_pki::profile::Profile;
    use sallyport_pki::revocation::{Reason as Why, Revocation};

    use super::super::super::config_signer::tests::authority;
    use super::*;
    use crate::authorities::{Issued, List};

    const DAY: Duration = Duration::from_secs(86_400);

    struct World {
        signer: Signer,
        region: RegionId,
        issued: Issued,
        now: Timestamp,
    }

    impl World {
        fn new() -> Self {
            let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
            let signer = with_list(authority(1, now), &[], now + DAY);
            let profile = Profile::Endpoint("lyon/agent".parse().unwrap());
            let issued = signer.issue(&region, profile, DAY, now).unwrap();
            Self { signer, region, issued, now }
        }

        /// As an agent asks, for a new key.
        fn shown(&self) -> Shown {
            let csr = csr::request(&PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap();
            let proof = reenrol::sign(&self.issued.key, &self.region, &"lyon/agent".parse().unwrap(), &csr).unwrap();
            Shown { serial: self.issued.leaf.serial.clone(), leaf: self.issued.leaf.der.clone(), proof, csr }
        }

        fn judged(&self, shown: &Shown) -> Result<Possession, NotShown> {
            shown.possession(&self.region, "lyon/agent", &self.signer, self.now)
        }
    }

    /// The signer with a revocation list.
    fn with_list(signer: Signer, serials: &[&str], next_update: Timestamp) -> Signer {
        let authority = signer.issuing.as_ref().unwrap().authority.clone();
        let this_update = next_update - DAY - DAY;
        let entry =
            |serial: &&str| Revocation { serial_hex: (*serial).to_owned(), at: this_update, reason: Why::Unspecified };
        let entries: Vec<_> = serials.iter().map(entry).collect();
        let der = authority.revocation_list(&entries, 1, this_update, next_update).unwrap();
        let issuer = signer.fingerprint().unwrap().to_owned();
        // What the ConfigMap remembers is not what is asked here.
        Signer { lists: vec![List { issuer, number: 1, next_update, serials: BTreeSet::new(), der }], ..signer }
    }

    #[test]
    fn who_signs_with_the_key_of_the_certificate_is_believed_and_the_gateway_alone_is_not() {
        let world = World::new();
        assert_eq!(world.judged(&world.shown()), Ok(Possession::Proven));
        let without = Shown { proof: Vec::new(), ..world.shown() };
        assert_eq!(world.judged(&without), Ok(Possession::Unproven));
        let as_before = Shown { leaf: Vec::new(), ..world.shown() };
        assert_eq!(world.judged(&as_before), Ok(Possession::Unproven));
    }

    /// A gateway that was taken over has the certificates that agents show, and proofs that they sent: not their keys.
    #[test]
    fn a_proof_that_was_made_for_another_request_is_none() {
        let world = World::new();
        let swapped = Shown { csr: world.shown().csr, ..world.shown() };
        let proof = world.judged(&swapped).unwrap_err();
        assert_eq!((proof.label(), proof.code()), ("proofWrong", "proofRequired"));
        let own = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let mut forged = world.shown();
        forged.proof = reenrol::sign(&own, &world.region, &"lyon/agent".parse().unwrap(), &forged.csr).unwrap();
        assert_eq!(world.judged(&forged).unwrap_err().code(), "proofRequired");
    }

    #[test]
    fn the_certificate_must_be_the_one_that_is_named() {
        let world = World::new();
        let other = Err(NotShown::Other);
        assert_eq!(world.judged(&Shown { serial: "4a".into(), ..world.shown() }), other);
        let shown = world.shown();
        assert_eq!(shown.possession(&world.region, "lyon/other", &world.signer, world.now), other);
        assert_eq!(shown.possession(&world.region, "../x", &world.signer, world.now), other);
        let elsewhere = RegionId::parse("dmz", "us").unwrap();
        assert_eq!(shown.possession(&elsewhere, "lyon/agent", &world.signer, world.now), other);
    }

    #[test]
    fn it_must_be_one_that_opens_the_doors() {
        let world = World::new();
        let shown = world.shown();
        let serial = shown.serial.clone();
        let judged = |signer: Signer, now| shown.possession(&world.region, "lyon/agent", &signer, now);
        let list = |serials: &[&str], end| with_list(world.signer.clone(), serials, end);
        let revoked = judged(list(&[&serial], world.now + DAY), world.now).unwrap_err();
        assert_eq!((revoked.clone(), revoked.code()), (NotShown::NotTrusted(Reason::Revoked), "revoked"));
        let ended = judged(list(&[], world.now + DAY * 3), world.now + DAY * 2);
        assert_eq!(ended, Err(NotShown::NotTrusted(Reason::Expired)));
        let stranger = with_list(authority(2, world.now), &[], world.now + DAY);
        assert_eq!(judged(stranger, world.now), Err(NotShown::NotTrusted(Reason::Untrusted)));
        let late = judged(list(&[], world.now + DAY), world.now + DAY - Duration::from_secs(1));
        assert_eq!(late, Ok(Possession::Proven));
        let no_list = judged(Signer { lists: Vec::new(), ..world.signer.clone() }, world.now).unwrap_err();
        assert!(no_list.passes() && !revoked.passes());
        // Its generation cannot sign a list any more, and so it is on none.
        let mut denied = world.signer.clone();
        let issuer = world.signer.fingerprint().unwrap().to_owned();
        denied.denied.remembered.insert(sallyport_plan::authority::denied::Denied {
            issuer,
            serial,
            not_after: world.now + DAY,
        });
        assert_eq!(judged(denied, world.now), Err(NotShown::NotTrusted(Reason::Revoked)));
        let junk = Shown { leaf: b"junk".to_vec(), ..world.shown() };
        assert_eq!(world.judged(&junk), Err(NotShown::NotTrusted(Reason::Untrusted)));
    }
}

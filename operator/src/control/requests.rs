//! A gateway's certificate requests. Names, usage and lifetime are our policy for exactly the gateway that holds the
//! stream; only the key comes from the request.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::DnsName;
use sallyport_control::wire;
use sallyport_core::config::Settings;
use sallyport_core::name::{Name, RegionId};
use sallyport_pki::authority::Leaf;
use sallyport_pki::csr::{self, CsrError};
use sallyport_pki::profile::Profile;
use sallyport_plan::names;
use tokio::time::Instant;

use crate::authorities::{MakeError, Signer};

/// A gateway needs three certificates a month; this many in `WINDOW` leave room for restarts, and no more.
const MOST: u32 = 30;
const WINDOW: Duration = Duration::from_secs(600);

/// The requests of one stream.
pub(super) struct Requests {
    began: Instant,
    count: u32,
}

impl Requests {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, count: 0 }
    }

    /// Signs a request, or says why not.
    pub(super) fn sign(
        &mut self,
        request: &wire::CertificateRequest,
        region: &RegionId,
        pod: &Name,
        settings: &Settings,
        signer: &Signer,
        now: Instant,
    ) -> Result<Leaf, RequestError> {
        if now.duration_since(self.began) > WINDOW {
            *self = Self::new(now);
        }
        self.count += 1;
        if self.count > MOST {
            return Err(RequestError::TooMany);
        }
        let profile = profile(request.purpose(), region, pod, settings)?;
        let key = csr::public_key(&request.csr)?;
        let lifetime = profile.default_lifetime();
        Ok(signer.sign(region, profile, key, lifetime, Timestamp::now())?)
    }
}

fn profile(
    purpose: wire::Purpose,
    region: &RegionId,
    pod: &Name,
    settings: &Settings,
) -> Result<Profile, RequestError> {
    let dns = |host: &str| DnsName::try_from(host.to_owned()).map_err(|_| RequestError::Host(host.to_owned()));
    match purpose {
        wire::Purpose::Unspecified => Err(RequestError::Purpose),
        wire::Purpose::Peer => {
            let host = names::pod_host(pod.as_str(), region.0.name.as_str(), region.0.namespace.as_str());
            Ok(Profile::GatewayPeer { pod: pod.clone(), dns: dns(&host)? })
        }
        wire::Purpose::OuterDoor => Ok(Profile::OuterDoor { host: dns(&settings.outer_host)? }),
        wire::Purpose::InnerDoor => Ok(Profile::InnerDoor { host: dns(&settings.inner_host)? }),
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The request itself.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The region's host name cannot be in a certificate.
    #[error("{0:?} is no host name")]
    Host(String),
    /// The CA does not sign it.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// It does not say what for, or something this operator does not know.
    #[error("unknown purpose")]
    Purpose,
    /// More than a gateway can need.
    #[error("too many requests")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use sallyport_pki::authority::{Authority, AuthoritySubject};
    use sallyport_pki::inspect;
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};

    use super::*;
    use crate::authorities::serial;

    fn signer() -> Signer {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let authority =
            Authority::create(1, &subject, Box::new(key), WINDOW * 1000, serial(), Timestamp::now()).unwrap();
        Signer::alone(authority)
    }

    fn request(purpose: wire::Purpose) -> wire::CertificateRequest {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        wire::CertificateRequest { purpose: purpose.into(), csr: csr::request(&key).unwrap() }
    }

    #[test]
    fn a_gateway_gets_certificates_for_itself_and_not_without_end() {
        let (region, pod) = (RegionId::parse("dmz", "eu").unwrap(), "eu-gateway-0".parse::<Name>().unwrap());
        let settings = Settings { outer_host: "outer.example".into(), ..Settings::default() };
        let (signer, now) = (signer(), Instant::now());
        let mut requests = Requests::new(now);
        let mut sign = |purpose, at| requests.sign(&request(purpose), &region, &pod, &settings, &signer, at);

        let peer = sign(wire::Purpose::Peer, now).unwrap();
        assert_eq!(inspect::identity(&peer.der).unwrap().to_string(), "sallyport://dmz.eu/gateway/eu-gateway-0");
        let door = sign(wire::Purpose::OuterDoor, now).unwrap();
        assert!(inspect::identity(&door.der).is_err(), "a door's certificate stands for nobody");
        assert!(matches!(sign(wire::Purpose::InnerDoor, now), Err(RequestError::Host(_))));
        assert!(matches!(sign(wire::Purpose::Unspecified, now), Err(RequestError::Purpose)));
        for _ in 4..MOST {
            sign(wire::Purpose::Peer, now).unwrap();
        }
        assert!(matches!(sign(wire::Purpose::Peer, now), Err(RequestError::TooMany)));
        assert!(sign(wire::Purpose::Peer, now + WINDOW + WINDOW).is_ok());
    }
}

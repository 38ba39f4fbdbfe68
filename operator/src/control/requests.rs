//! A gateway's certificate requests. Names, usage and lifetime are our policy for exactly the gateway that holds the
//! stream; only the key comes from the request.

use jiff::Timestamp;
use rustls_pki_types::DnsName;
use sallyport_control::wire;
use sallyport_core::config::Settings;
use sallyport_core::name::{Name, RegionId};
use sallyport_pki::authority::Leaf;
use sallyport_pki::csr::{self, CsrError};
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::names;
use tokio::time::Instant;

use crate::authorities::{MakeError, Signer};
use crate::limits::Limits;

/// Who asks, and for what.
pub(super) struct Asking<'a> {
    /// Region of the stream.
    pub(super) key: &'a ObjectKey,
    /// The same, as certificates name it.
    pub(super) region: &'a RegionId,
    /// The gateway that holds the stream.
    pub(super) pod: &'a Name,
    /// What the region's configuration says.
    pub(super) settings: &'a Settings,
}

/// Signs a request, or says why not. How often a gateway may ask does not begin anew with its stream.
pub(super) fn sign(
    request: &wire::CertificateRequest,
    asking: &Asking<'_>,
    signer: &Signer,
    limits: &Limits,
    now: Instant,
) -> Result<Leaf, RequestError> {
    if !limits.gateway_certificates.take(&(asking.key.clone(), asking.pod.to_string()), now) {
        return Err(RequestError::TooMany);
    }
    let profile = profile(request.purpose(), asking.region, asking.pod, asking.settings)?;
    let key = csr::public_key(&request.csr)?;
    let lifetime = profile.default_lifetime();
    Ok(signer.sign(asking.region, profile, key, lifetime, Timestamp::now())?)
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

    use std::time::Duration;

    use super::*;
    use crate::authorities::serial;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn signer() -> Signer {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let authority = Authority::create(1, &subject, Box::new(key), YEAR, serial(), Timestamp::now()).unwrap();
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
        let (signer, limits, now) = (signer(), Limits::default(), Instant::now());
        let key = ObjectKey::new("dmz", "eu");
        let asking = Asking { key: &key, region: &region, pod: &pod, settings: &settings };
        let asked = |purpose, at| sign(&request(purpose), &asking, &signer, &limits, at);

        let peer = asked(wire::Purpose::Peer, now).unwrap();
        assert_eq!(inspect::identity(&peer.der).unwrap().to_string(), "sallyport://dmz.eu/gateway/eu-gateway-0");
        let door = asked(wire::Purpose::OuterDoor, now).unwrap();
        assert!(inspect::identity(&door.der).is_err(), "a door's certificate stands for nobody");
        assert!(matches!(asked(wire::Purpose::InnerDoor, now), Err(RequestError::Host(_))));
        assert!(matches!(asked(wire::Purpose::Unspecified, now), Err(RequestError::Purpose)));
        for _ in 4..30 {
            asked(wire::Purpose::Peer, now).unwrap();
        }
        assert!(matches!(asked(wire::Purpose::Peer, now), Err(RequestError::TooMany)));
        // As by another stream: the limit is the gateway's, and no other's.
        let again = Asking { ..asking };
        let by_another = sign(&request(wire::Purpose::Peer), &again, &signer, &limits, now);
        assert!(matches!(by_another, Err(RequestError::TooMany)));
        let neighbour = "eu-gateway-1".parse::<Name>().unwrap();
        let neighbour = Asking { pod: &neighbour, ..asking };
        assert!(sign(&request(wire::Purpose::Peer), &neighbour, &signer, &limits, now).is_ok());
        assert!(asked(wire::Purpose::Peer, now + Duration::from_secs(60)).is_ok());
    }
}

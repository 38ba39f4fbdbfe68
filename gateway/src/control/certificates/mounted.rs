//! What Kubernetes mounts: the bootstrap certificate and the trust bundle, as the operator published them last. They are
//! read again while the process runs, because a gateway that the operator could not reach for a whole rotation knows
//! nothing newer.

use jiff::Timestamp;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_runtime::files;
use sallyport_runtime::tls::KeyMaterial;

use super::CertificateProblem;
use crate::place::Place;

/// The mounted files, read.
#[derive(Clone)]
pub(super) struct Mounted {
    pub(super) bootstrap: KeyMaterial,
    pub(super) trust: TrustBundle,
}

impl Mounted {
    pub(super) fn read(place: &Place) -> Result<Self, CertificateProblem> {
        let bootstrap = KeyMaterial::read(&place.bootstrap.join("tls.crt"), &place.bootstrap.join("tls.key"));
        let trust = files::read_trust_bundle(&place.trust);
        Ok(Self {
            bootstrap: bootstrap.map_err(|error| CertificateProblem::new("bootstrap certificate", error))?,
            trust: trust.map_err(|error| CertificateProblem::new("trust bundle", error))?,
        })
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        let Self { bootstrap, trust } = self;
        bootstrap.chain_pem == other.bootstrap.chain_pem
            && bootstrap.key_pem == other.bootstrap.key_pem
            && *trust == other.trust
    }

    /// The certificate for the control door: the replica's own, unless the operator would refuse it. `published` is the
    /// mounted bundle without what is known to be dropped. A replica that slept through rotations holds a certificate of
    /// an authority that is gone, and the bootstrap certificate, which was issued meanwhile, is how it is reached.
    pub(super) fn for_control<'m>(
        &'m self,
        peer: Option<&'m KeyMaterial>,
        published: &TrustBundle,
        now: Timestamp,
    ) -> &'m KeyMaterial {
        let issued = |material: &KeyMaterial| material.leaf().is_ok_and(|leaf| published.issuer_of(&leaf).is_some());
        let in_time = |material: &KeyMaterial| {
            let validity = material.leaf().ok().and_then(|leaf| inspect::validity(&leaf).ok());
            validity.is_some_and(|validity| validity.contains(now))
        };
        match peer {
            Some(peer) if in_time(peer) && (issued(peer) || !issued(&self.bootstrap)) => peer,
            _ => &self.bootstrap,
        }
    }
}

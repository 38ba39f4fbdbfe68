//! TLS from one constant table: TLS 1.3 only, two AES-GCM suites, NIST curves, ECDSA certificates, no 0-RTT, no session
//! resumption (BSI TR-02102-2; threats and faults, "Crypto profile").
//!
//! Resumption is off because a resumed connection skips the client's certificate: every connection to a door is checked
//! against the CAs and the clock when it begins.

mod admission;
mod anchors;
mod clients;
mod config;
mod door;
mod expected;
mod failure;
mod material;
mod peer;
mod revocation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms};
use webpki::aws_lc_rs as algorithms;

pub use admission::{Admission, Reason, admits, admits_checked};
pub use config::{ClientAuth, client, client_expecting, server};
pub use door::{Door, connect};
pub use expected::ExpectedServer;
pub use failure::HandshakeFailure;
pub use material::{KeyMaterial, TlsError};
pub use peer::{PeerRefused, peer_engineer, peer_identity, peer_leaf};

/// Which key exchange groups are offered, by name, so that a region's choice is one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// P-256 and P-384: the set that the public conformance test of TR-02102-2 accepts.
    #[default]
    Strict,
    /// The strict set, preceded by the ML-KEM hybrids (X25519 and P-256): traffic recorded today stays closed to a
    /// quantum computer. X25519 is outside the strict set, hence a profile of its own.
    Hybrid,
}

impl Profile {
    /// The provider every configuration of this crate is built with.
    pub fn provider(self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: self.groups().to_vec(),
            signature_verification_algorithms: ECDSA_ONLY,
            ..default_provider()
        })
    }

    fn groups(self) -> &'static [&'static dyn SupportedKxGroup] {
        match self {
            Self::Strict => STRICT_GROUPS,
            Self::Hybrid => HYBRID_GROUPS,
        }
    }
}

static STRICT_GROUPS: &[&dyn SupportedKxGroup] = &[kx_group::SECP256R1, kx_group::SECP384R1];
static HYBRID_GROUPS: &[&dyn SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::SECP256R1MLKEM768, kx_group::SECP256R1, kx_group::SECP384R1];

/// The first line of every `main`: the process-wide provider, used by libraries that build their own TLS (the Kubernetes
/// client). It differs from ours in one thing: it also verifies RSA, because an API server's certificate is not ours to
/// choose. Doing it twice changes nothing.
pub fn install() {
    let provider = CryptoProvider {
        signature_verification_algorithms: default_provider().signature_verification_algorithms,
        ..Arc::unwrap_or_clone(Profile::Strict.provider())
    };
    // An error only says that a provider is installed already.
    let _ = provider.install_default();
}

static ECDSA_ONLY: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
    ],
};

//! Certificates of endpoints, as a gateway sees them.

use std::net::SocketAddr;

use sallyport_core::name::{EndpointId, SiteId};

use super::kind::kind;
use crate::text::Text;

kind! {
    /// A revocation list names a certificate that was live here.
    CertificateRevoked {
        /// Whose endpoint; absent when the configuration does not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Which endpoint.
        endpoint: EndpointId,
        /// The certificate's serial number, in hex.
        serial: Text,
        /// SHA-256 of the authority's certificate that issued it, in hex.
        issuer: Text,
    }
}

kind! {
    /// An endpoint was given its first certificate, by its one-time token.
    Enrolled {
        /// Whose endpoint; absent when the configuration does not name it yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Which endpoint.
        endpoint: EndpointId,
        /// Serial number of the certificate, in hex.
        serial: Text,
        /// From where it asked.
        from: SocketAddr,
    }
}

kind! {
    /// A certificate was asked for and not given.
    EnrolmentRefused {
        /// Whose endpoint; absent when the configuration does not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Which endpoint was named, if the name could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<EndpointId>,
        /// From where it was asked.
        from: SocketAddr,
        /// Why not.
        reason: Text,
    }
}

kind! {
    /// An endpoint was given a certificate by the one that it had.
    Renewed {
        /// Whose endpoint; absent when the configuration does not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Which endpoint.
        endpoint: EndpointId,
        /// Serial number of the new certificate, in hex.
        serial: Text,
        /// From where it asked.
        from: SocketAddr,
    }
}

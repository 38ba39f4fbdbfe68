//! Tunnels of endpoints. Addresses here are of a site's network, not of a person.

use std::net::SocketAddr;

use sallyport_core::name::{EndpointId, SiteId};

use super::kind::kind;
use crate::text::Text;

kind! {
    /// Two live agents use one certificate; the newer was refused.
    CloneSeen {
        /// Whose endpoint.
        site: SiteId,
        /// Which endpoint.
        endpoint: EndpointId,
        /// From where the newer came.
        from: SocketAddr,
        /// From where the other is connected.
        other: SocketAddr,
    }
}

kind! {
    /// A tunnel ended.
    TunnelDown {
        /// Whose endpoint; absent when the configuration did not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From where it came.
        from: SocketAddr,
        /// Why it ended.
        reason: Text,
    }
}

kind! {
    /// An endpoint showed its certificate and was not let in.
    TunnelRefused {
        /// Whose endpoint; absent when the configuration does not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Which endpoint.
        endpoint: EndpointId,
        /// From where it came.
        from: SocketAddr,
        /// Why not.
        reason: Text,
    }
}

kind! {
    /// The agent behind a tunnel proved that it holds a newer certificate, which counts for the tunnel from now on.
    TunnelRenewed {
        /// Whose endpoint; absent when the configuration does not name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Of which endpoint.
        endpoint: EndpointId,
        /// Serial number of that certificate, in hex.
        serial: Text,
        /// SHA-256 of the authority's certificate that issued it, in hex.
        issuer: Text,
    }
}

kind! {
    /// A tunnel began.
    TunnelUp {
        /// Whose endpoint; absent when the configuration does not name it any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From where it comes.
        from: SocketAddr,
        /// What the agent says it is.
        agent_version: Text,
    }
}

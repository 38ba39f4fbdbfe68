//! Who a certificate of the private CA stands for. The identity is the certificate's one URI subject alternative
//! name and nothing else: never a path, a header, an SNI or a common name (invariant I1, architecture section 4).
//!
//! `sallyport://NAMESPACE.REGION/ROLE[/...]`, for example `sallyport://dmz-eu.frankfurt/endpoint/lyon/ct-room-2`.

use std::fmt;
use std::str::FromStr;

use crate::name::{EndpointId, Name, RegionId};

/// One party of a region. The role is part of the identity, so a device's certificate cannot be used as a
/// gateway's, whatever its key usage says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The region whose CA vouches for the party.
    pub region: RegionId,
    /// What the party is.
    pub role: Role,
}

/// What a party may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Signs the offers that agents obey; it opens no connection.
    ConfigSigner,
    /// A site's agent (or VPN endpoint), named by its `TunnelEndpoint`.
    Endpoint(EndpointId),
    /// One gateway replica, named by its pod.
    Gateway(Name),
    /// A gateway replica that has no certificate of its own yet. It may only be *attached to* by the operator.
    GatewayBootstrap,
    /// The operator, as client of the gateways' control port.
    Operator,
}

impl Role {
    /// A closed set of labels for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ConfigSigner => "config-signer",
            Self::Endpoint(_) => "endpoint",
            Self::Gateway(_) => "gateway",
            Self::GatewayBootstrap => "gateway-bootstrap",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegionId(region) = &self.region;
        write!(f, "sallyport://{}.{}/{}", region.namespace, region.name, self.role.label())?;
        match &self.role {
            Role::Endpoint(endpoint) => write!(f, "/{endpoint}"),
            Role::Gateway(pod) => write!(f, "/{pod}"),
            Role::ConfigSigner | Role::GatewayBootstrap | Role::Operator => Ok(()),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        parse(text).ok_or_else(|| IdentityError { text: text.chars().take(200).collect() })
    }
}

fn parse(text: &str) -> Option<Identity> {
    let (region, path) = text.strip_prefix("sallyport://")?.split_once('/')?;
    let (namespace, name) = region.split_once('.')?;
    let region = RegionId::parse(namespace, name).ok()?;
    let role = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["config-signer"] => Role::ConfigSigner,
        ["endpoint", namespace, name] => Role::Endpoint(EndpointId::parse(namespace, name).ok()?),
        ["gateway", pod] => Role::Gateway(pod.parse().ok()?),
        ["gateway-bootstrap"] => Role::GatewayBootstrap,
        ["operator"] => Role::Operator,
        _ => return None,
    };
    Some(Identity { region, role })
}

/// The URI names no party of a Sallyport region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a Sallyport identity (sallyport://NAMESPACE.REGION/ROLE...)")]
pub struct IdentityError {
    text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?";

    fn role() -> impl Strategy<Value = Role> {
        prop_oneof![
            Just(Role::ConfigSigner),
            (NAME, NAME).prop_map(|(a, b)| Role::Endpoint(EndpointId::parse(&a, &b).unwrap())),
            NAME.prop_map(|pod| Role::Gateway(pod.parse().unwrap())),
            Just(Role::GatewayBootstrap),
            Just(Role::Operator),
        ]
    }

    proptest! {
        #[test]
        fn an_identity_round_trips(namespace in NAME, region in NAME, role in role()) {
            let identity = Identity { region: RegionId::parse(&namespace, &region).unwrap(), role };
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        }

        #[test]
        fn only_the_canonical_spelling_parses(text in "sallyport://[a-z./%-]{0,40}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }

    #[test]
    fn roles_do_not_leak_into_each_other() {
        for text in [
            "sallyport://a.b/operator/",
            "sallyport://a.b/endpoint/x",
            "sallyport://a.b/endpoint/x/y/z",
            "sallyport://a/operator",
            "sallyport://a.b.c/operator",
            "https://a.b/operator",
            "sallyport://a.b/gateway/../operator",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}

//! Names of objects, parsed once. A [`Name`] is a DNS-1123 label, so it can stand in a host name, a certificate's
//! URI, a metric label or a log field without quoting.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A DNS-1123 label: 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = text.as_bytes();
        let inner = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        if bytes.len() <= 63 && inner && edge(bytes.first().copied()) && edge(bytes.last().copied()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a DNS-1123 label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: use 1 to 63 lower-case letters, digits and hyphens, not at either end a hyphen")]
pub struct NameError {
    text: String,
}

/// A namespaced object, written `NAMESPACE/NAME`. Which kind it names is told by the type around it
/// ([`EndpointId`], [`DeviceId`], ...), so a site's name can never be used where an endpoint's is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId {
    /// The Kubernetes namespace.
    pub namespace: Name,
    /// The object's name in it.
    pub name: Name,
}

impl ObjectId {
    /// Both parts parsed; the error names the part that is wrong.
    pub fn parse(namespace: &str, name: &str) -> Result<Self, NameError> {
        Ok(Self { namespace: namespace.parse()?, name: name.parse()? })
    }
}

impl FromStr for ObjectId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) =
            text.split_once('/').ok_or_else(|| NameError { text: text.chars().take(80).collect() })?;
        Self::parse(namespace, name)
    }
}

impl TryFrom<String> for ObjectId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

macro_rules! object_ids {
    ($($(#[$doc:meta])* $id:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $id(pub ObjectId);

        impl $id {
            /// Both parts parsed; the error names the part that is wrong.
            pub fn parse(namespace: &str, name: &str) -> Result<Self, NameError> {
                ObjectId::parse(namespace, name).map(Self)
            }
        }

        impl FromStr for $id {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

object_ids! {
    /// A `Device`.
    DeviceId;
    /// A `TunnelEndpoint`.
    EndpointId;
    /// An `AccessPolicy`.
    PolicyId;
    /// A `DmzRegion`.
    RegionId;
    /// A `CustomerSite`.
    SiteId;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in ["", "-a", "a-", "A", "a.b", "a/b", "a\n", "ä", "a b", "${x}", &"a".repeat(64)] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_round_trips(namespace in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
            let id = ObjectId::parse(&namespace, &name).unwrap();
            prop_assert_eq!(id.to_string().parse::<ObjectId>().unwrap(), id);
        }

        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in ".{0,80}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }
}

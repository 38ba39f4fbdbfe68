//! Which log: the region's or a site's, and under which name it is known outside its gateway.

use std::fmt;
use std::str::FromStr;

use sallyport_core::name::{Name, RegionId, SiteId};
use serde::{Deserialize, Serialize};

use crate::hex::Incarnation;

/// A log of a gateway. Written `region` or `site/NS/SITE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// What concerns no single site.
    Region,
    /// What concerns this site: a customer is given this log whole, and nobody else is.
    Site(SiteId),
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match text.strip_prefix("site/") {
            None if text == "region" => Ok(Self::Region),
            None => Err(ScopeError::Scope),
            Some(site) => site.parse().map(Self::Site).map_err(|_| ScopeError::Scope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region => f.write_str("region"),
            Self::Site(site) => write!(f, "site/{site}"),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// One life of one gateway: whose logs they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keeper {
    /// The region.
    pub region: RegionId,
    /// The gateway's pod.
    pub gateway: Name,
    /// Which of its signing keys.
    pub incarnation: Incarnation,
}

impl Keeper {
    /// The origin of one of its logs.
    pub fn origin(&self, scope: Scope) -> Origin {
        Origin { keeper: self.clone(), scope }
    }
}

/// The name of a log everywhere: `sallyport.dev/NS/REGION/GATEWAY/INCARNATION/region` or `.../site/NS/SITE`. It is the
/// first line of the log's checkpoints and the name of the key that signs them (C2SP tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    /// Whose log.
    pub keeper: Keeper,
    /// Which of them.
    pub scope: Scope,
}

impl FromStr for Origin {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let mut parts = text.splitn(6, '/');
        let mut next = || parts.next().ok_or(ScopeError::Origin);
        if next()? != "sallyport.dev" {
            return Err(ScopeError::Origin);
        }
        let (namespace, region) = (next()?, next()?);
        let region = RegionId::parse(namespace, region).map_err(|_| ScopeError::Origin)?;
        let gateway = next()?.parse().map_err(|_| ScopeError::Origin)?;
        let incarnation = next()?.parse().map_err(|_| ScopeError::Origin)?;
        let scope = next()?.parse().map_err(|_| ScopeError::Origin)?;
        Ok(Self { keeper: Keeper { region, gateway, incarnation }, scope })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keeper { region, gateway, incarnation } = &self.keeper;
        write!(f, "sallyport.dev/{region}/{gateway}/{incarnation}/{}", self.scope)
    }
}

impl TryFrom<String> for Origin {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// The text names no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// See [`Origin`].
    #[error("an origin is sallyport.dev/NS/REGION/GATEWAY/INCARNATION/ and then region or site/NS/SITE")]
    Origin,
    /// See [`Scope`].
    #[error("a log is region or site/NS/SITE")]
    Scope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_reads_as_it_is_written() {
        for text in [
            "sallyport.dev/dmz/frankfurt/frankfurt-gateway-0/00ff12ab/region",
            "sallyport.dev/dmz/frankfurt/frankfurt-gateway-0/00ff12ab/site/lyon/hospital",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn no_other_text_is_an_origin() {
        for text in [
            "",
            "region",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab",
            "sallyport.dev/dmz/frankfurt/g/00FF12AB/region",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab/region/",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab/site/lyon",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab/site/lyon/hospital/x",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab/Site/lyon/hospital",
            "example.com/dmz/frankfurt/g/00ff12ab/region",
            "sallyport.dev/dmz/frankfurt/g/00ff12ab/region\n",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}

//! What a reader asks for, out of the query of the page.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use sallyport_audit::Subject;
use sallyport_control::wire::Records;
use sallyport_core::engineer::{Reason, UserId};
use sallyport_core::name::{DeviceId, SiteId};

use super::Kind;
use crate::inner::answer::Problem;

/// Records of one answer when nobody says how many.
const USUAL: u32 = 1000;
/// And at most.
const MOST: u32 = 10_000;
/// A cursor is an origin and a number.
const LONGEST_CURSOR: usize = 512;

/// What is asked, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whose records; none for the region's own.
    pub site: Option<SiteId>,
    /// From, inclusive.
    pub from: Timestamp,
    /// To, exclusive.
    pub to: Timestamp,
    /// Of which engineer.
    pub engineer: Option<UserId>,
    /// Of which device.
    pub device: Option<DeviceId>,
    /// Of which incident.
    pub incident: Option<String>,
    /// How many at most.
    limit: u32,
    /// Behind which record.
    after: String,
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name}: {why}")]
pub struct Wrong {
    name: String,
    why: String,
}

impl Wrong {
    fn new(name: &str, why: impl ToString) -> Self {
        Self { name: name.chars().take(40).collect(), why: why.to_string() }
    }
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalidRequest", wrong.to_string())
    }
}

impl Asked {
    /// Reads the query. Everything may be left out: that asks for the region's own records of all time until now.
    ///
    /// # Errors
    /// [`Wrong`] names the parameter; what is unknown or said twice is an error too, for a filter that is not applied
    /// would show more than was asked for.
    pub fn read(uri: &Uri, kind: Kind, now: Timestamp) -> Result<Self, Wrong> {
        let pairs: Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|error| Wrong::new("query", error))?;
        let mut given = BTreeMap::new();
        for (name, value) in pairs.0 {
            let known = match kind {
                Kind::Export => ["site", "from", "to"].as_slice(),
                Kind::Records => ["site", "from", "to", "engineer", "device", "incident", "limit", "after"].as_slice(),
            };
            if !known.contains(&name.as_str()) {
                return Err(Wrong::new(&name, format!("there is none of this name; there are {}", known.join(", "))));
            }
            if given.insert(name.clone(), value).is_some() {
                return Err(Wrong::new(&name, "say it once"));
            }
        }
        let mut given = Given(given);
        let incident: Option<Reason> = given.take("incident")?;
        let asked = Self {
            site: given.take("site")?,
            from: given.take("from")?.unwrap_or(Timestamp::UNIX_EPOCH),
            to: given.take("to")?.unwrap_or(now),
            engineer: given.take("engineer")?,
            device: given.take("device")?,
            incident: incident.map(String::from),
            limit: given.take("limit")?.unwrap_or(USUAL),
            after: given.take::<String>("after")?.unwrap_or_default(),
        };
        if asked.to <= asked.from {
            return Err(Wrong::new("to", format!("must be later than from, {}", asked.from)));
        }
        if !(1..=MOST).contains(&asked.limit) {
            return Err(Wrong::new("limit", format!("1 to {MOST}")));
        }
        if asked.after.len() > LONGEST_CURSOR {
            return Err(Wrong::new(
                "after",
                format!("at most {LONGEST_CURSOR} characters, as an answer before gave it"),
            ));
        }
        Ok(asked)
    }

    /// For the operator. It is told the engineer's subject, not the name.
    pub(super) fn records(&self) -> Records {
        Records {
            engineer: self.engineer.as_ref().map(|user| Subject::of(user).to_string()).unwrap_or_default(),
            device: self.device.as_ref().map(ToString::to_string).unwrap_or_default(),
            incident: self.incident.clone().unwrap_or_default(),
            limit: self.limit,
            after: self.after.clone(),
        }
    }
}

struct Given(BTreeMap<String, String>);

impl Given {
    fn take<T>(&mut self, name: &str) -> Result<Option<T>, Wrong>
    where
        T: FromStr,
        T::Err: ToString,
    {
        let parse = |value: String| value.parse().map_err(|error: T::Err| Wrong::new(name, error.to_string()));
        self.0.remove(name).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, query: &str) -> Result<Asked, String> {
        let uri = format!("/v1/audit/records?{query}").parse().unwrap();
        Asked::read(&uri, kind, "2026-11-24T12:00:00Z".parse().unwrap()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn everything_may_be_left_out() {
        let asked = read(Kind::Records, "").unwrap();
        assert_eq!((asked.site, asked.limit), (None, USUAL));
        assert_eq!((asked.from, asked.to), (Timestamp::UNIX_EPOCH, "2026-11-24T12:00:00Z".parse().unwrap()));
    }

    #[test]
    fn all_filters_are_read_and_the_engineer_is_not_named_to_the_operator() {
        let query = "site=lyon/hospital&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00%2B01:00\
                     &engineer=ada@vendor.example&device=lyon/ct&incident=INC%201&limit=10&after=x";
        let asked = read(Kind::Records, query).unwrap();
        assert_eq!(asked.to.to_string(), "2026-01-31T23:00:00Z");
        let records = asked.records();
        assert_eq!((records.device.as_str(), records.incident.as_str(), records.limit), ("lyon/ct", "INC 1", 10));
        assert_eq!(records.engineer, Subject::of(&"ada@vendor.example".parse().unwrap()).to_string());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let long = format!("after={}", "x".repeat(600));
        for (kind, query, name) in [
            (Kind::Records, "site=lyon", "site"),
            (Kind::Records, "from=yesterday", "from"),
            (Kind::Records, "to=1970-01-01T00:00:00Z", "to"),
            (Kind::Records, "limit=0", "limit"),
            (Kind::Records, "limit=10001", "limit"),
            (Kind::Records, "limit=-1", "limit"),
            (Kind::Records, "engineer=a%20b", "engineer"),
            (Kind::Records, "device=ct", "device"),
            (Kind::Records, "incident=", "incident"),
            (Kind::Records, "sites=a/b", "sites"),
            (Kind::Records, "limit=1&limit=2", "limit"),
            (Kind::Records, &long, "after"),
            (Kind::Export, "device=lyon/ct", "device"),
        ] {
            let wrong = read(kind, query).unwrap_err();
            assert!(wrong.starts_with(&format!("parameter {name}: ")), "{query}: {wrong}");
        }
    }
}

//! A question, parsed: from here on its site is a `SiteId`, of which only that site's paths can be made.

use jiff::Timestamp;
use sallyport_audit::export::Period;
use sallyport_audit::{Origin, Scope, Subject, Text};
use sallyport_control::wire;
use sallyport_core::name::{DeviceId, EndpointId, SiteId};
use wire::query::{By, What as Wire};

/// A question.
#[derive(Debug)]
pub(super) struct Asked {
    /// Whose logs.
    pub(super) scope: Scope,
    /// Of which time.
    pub(super) period: Period,
    /// For whom, for the export's own description.
    pub(super) by: Text,
    pub(super) what: What,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum What {
    Export,
    Records(Box<Filter>),
}

impl What {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Records(_) => "records",
        }
    }
}

/// Which records.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) engineer: Option<Subject>,
    pub(super) device: Option<String>,
    pub(super) incident: Option<String>,
    pub(super) limit: usize,
    pub(super) after: Option<Cursor>,
}

/// The record that was read last: `ORIGIN#N`, which is its `log` and its `n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) log: Origin,
    pub(super) n: u64,
}

/// As the control stream's contract says.
const MOST_RECORDS: u32 = 10_000;

/// Reads a question, or says what is wrong with it.
pub(super) fn parse(query: &wire::Query) -> Result<Asked, String> {
    let (by, endpoint) = match &query.by {
        Some(By::Auditor(user)) => (Text::clipped(user), false),
        Some(By::Endpoint(endpoint)) => {
            endpoint.parse::<EndpointId>().map_err(|_| "the endpoint is none".to_owned())?;
            (Text::clipped(endpoint), true)
        }
        None => return Err("it does not say who asks".to_owned()),
    };
    let scope = match query.site.as_str() {
        "" if endpoint => return Err("an endpoint reads its own site's records only".to_owned()),
        "" => Scope::Region,
        site => Scope::Site(site.parse::<SiteId>().map_err(|_| "the site is none; use NAMESPACE/NAME".to_owned())?),
    };
    let time = |ms| Timestamp::from_millisecond(ms).map_err(|_| "a time is none".to_owned());
    let period = Period { from: time(query.from_ms)?, to: time(query.to_ms)? };
    if period.to <= period.from {
        return Err("the end of the time is not behind its beginning".to_owned());
    }
    let what = match &query.what {
        None => return Err("it does not say what is asked for".to_owned()),
        Some(Wire::Export(_)) => What::Export,
        Some(Wire::Records(records)) => What::Records(Box::new(filter(records)?)),
    };
    Ok(Asked { scope, period, by, what })
}

fn filter(records: &wire::Records) -> Result<Filter, String> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if !(1..=MOST_RECORDS).contains(&records.limit) {
        return Err(format!("limit: use 1 to {MOST_RECORDS}"));
    }
    let engineer = given(&records.engineer).map(|text| text.parse::<Subject>());
    let device = given(&records.device);
    if let Some(device) = &device {
        device.parse::<DeviceId>().map_err(|_| "device: use NAMESPACE/NAME".to_owned())?;
    }
    Ok(Filter {
        engineer: engineer.transpose().map_err(|error| format!("engineer: {error}"))?,
        device,
        incident: given(&records.incident),
        limit: usize::try_from(records.limit).unwrap_or(usize::MAX),
        after: given(&records.after).map(|text| cursor(&text)).transpose()?,
    })
}

fn cursor(text: &str) -> Result<Cursor, String> {
    let parsed = text.rsplit_once('#').and_then(|(log, n)| Some(Cursor { log: log.parse().ok()?, n: n.parse().ok()? }));
    parsed.ok_or_else(|| "after: use the log and the number of the last record, as LOG#N".to_owned())
}

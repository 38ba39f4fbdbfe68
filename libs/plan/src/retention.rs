//! How long records are kept: the region's years, or the site's with their legal basis, in both directions; and for as
//! long as a hold stands, for ever (R96, decision 5 of the requirements).

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use sallyport_api::{CustomerSite, DmzRegion};

/// How long the records of a log are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Years, by the calendar, from the record.
    pub years: u8,
    /// Why not the region's, where the site says so.
    pub legal_basis: Option<String>,
    /// Why nothing is deleted at all, where a hold stands.
    pub held: Option<String>,
}

impl Retention {
    /// Records of before this time may be deleted; nothing under a hold, and nothing where the calendar ends.
    pub fn deletes_before(&self, now: Timestamp) -> Option<Timestamp> {
        if self.held.is_some() {
            return None;
        }
        let then = now.to_zoned(TimeZone::UTC).checked_sub(Span::new().years(i64::from(self.years)));
        then.ok().map(|then| then.timestamp())
    }
}

/// How long a site's records are kept; without a site, which may have gone before its records, as long as the region's
/// own. An override without its legal basis, which only an older definition lets in, never shortens.
pub fn of(site: Option<&CustomerSite>, region: &DmzRegion) -> Retention {
    // 0 would be "delete all": no definition allows it, and none of our writing should be able to mean it.
    let years = region.spec.audit.retention.years.max(1);
    let Some(audit) = site.map(|site| &site.spec.audit) else {
        return Retention { years, legal_basis: None, held: None };
    };
    let (years, legal_basis) = match &audit.retention {
        None => (years, None),
        Some(own) if own.legal_basis.trim().is_empty() => (own.years.max(years), None),
        Some(own) => (own.years.max(1), Some(own.legal_basis.clone())),
    };
    Retention { years, legal_basis, held: audit.legal_hold.as_ref().map(|hold| hold.reason.clone()) }
}

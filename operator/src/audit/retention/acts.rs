//! What somebody changed about how long records are kept goes into the log of whom it concerns. Changes that were made
//! while no operator ran are not seen here; the API server's own audit has them.

use sallyport_audit::event::{Act, AdministratorActed};
use sallyport_audit::{Event, Text};
use sallyport_core::name::SiteId;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::retention::Retention;

use super::{Records, Rules};

/// Years are by the calendar; a record tells days.
const DAYS: u32 = 365;

/// Records the differences.
pub(super) async fn record(records: &Records, before: &Rules, after: &Rules) {
    for (site, new) in after {
        let Some(old) = before.get(site) else { continue };
        for act in between(old, new) {
            let event = AdministratorActed { by: None, site: site.as_ref().and_then(id), act };
            if let Err(error) = records.write(Event::AdministratorActed(event), None).await {
                tracing::warn!(region = %records.key, reason = %error, "a change of what is kept is in no log");
            }
        }
    }
}

fn id(site: &ObjectKey) -> Option<SiteId> {
    SiteId::parse(&site.namespace, &site.name).ok()
}

fn between(old: &Retention, new: &Retention) -> Vec<Act> {
    let hold = match (&old.held, &new.held) {
        (None, Some(why)) => Some(Act::HoldSet { basis: Text::clipped(why) }),
        (Some(why), None) => Some(Act::HoldReleased { basis: Text::clipped(why) }),
        _ => None,
    };
    let retention = (old.years != new.years || old.legal_basis != new.legal_basis).then(|| Act::RetentionChanged {
        before_days: u32::from(old.years) * DAYS,
        after_days: u32::from(new.years) * DAYS,
        basis: Text::clipped(new.legal_basis.as_deref().unwrap_or("spec.audit.retention of the region")),
    });
    hold.into_iter().chain(retention).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_and_years_that_change_are_acts() {
        let plain = Retention { years: 6, legal_basis: None, held: None };
        let held = Retention { held: Some("case 4".into()), ..plain.clone() };
        let longer = Retention { years: 10, legal_basis: Some("law".into()), held: Some("case 4".into()) };
        assert_eq!(between(&plain, &plain), []);
        assert_eq!(between(&plain, &held), [Act::HoldSet { basis: "case 4".into() }]);
        assert_eq!(between(&held, &plain), [Act::HoldReleased { basis: "case 4".into() }]);
        let changed = Act::RetentionChanged { before_days: 2190, after_days: 3650, basis: "law".into() };
        assert_eq!(between(&held, &longer), [changed]);
    }
}

//! Status of a `CustomerSite`.

use jiff::Timestamp;
use sallyport_api::CustomerSite;
use sallyport_api::common::condition;
use sallyport_api::customer_site::{CustomerSiteStatus, SiteSummary};

use super::audit;
use super::conditions::{More, Standing, Verdict, conditions, leaving_or, suspended};
use crate::audit::facts::SiteAuditFacts;
use crate::enforcement::Progress;
use crate::problem::Problem;
use crate::tunnels_cut;

/// What is known of a site.
#[derive(Clone, Debug)]
pub struct SiteFacts {
    /// Whether it may attach.
    pub judged: Result<(), Problem>,
    /// While it is being deleted: what its finalizer waits for.
    pub leaving: Option<tunnels_cut::Decision>,
    /// Its endpoints.
    pub endpoints: u32,
    /// Those with a tunnel.
    pub connected: u32,
    /// Its devices.
    pub devices: u32,
    /// While `spec.suspended` is set: how far that is enforced.
    pub suspension: Option<Progress>,
    /// Its audit records; nothing while the operator has not heard of them: what status says stays.
    pub audit: Option<SiteAuditFacts>,
}

/// The status of a site.
pub fn site(site: &CustomerSite, facts: &SiteFacts, now: Timestamp) -> CustomerSiteStatus {
    let verdict = leaving_or(facts.leaving.as_ref(), &facts.judged, |()| {
        Verdict::new(Standing::Ready, "Admitted", "the site's endpoints and devices are in the region's configuration")
    });
    let mut more = vec![connected(facts), suspended(facts.suspension.as_ref(), CUT)];
    let nothing = SiteAuditFacts::default();
    more.extend(audit::delivered(site, facts.audit.as_ref().unwrap_or(&nothing)));
    let old = site.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    CustomerSiteStatus {
        observed_generation: site.metadata.generation,
        conditions: conditions(old, &verdict, more, site.metadata.generation, now),
        summary: Some(SiteSummary {
            connected: format!("{}/{}", facts.connected, facts.endpoints),
            devices: facts.devices,
        }),
        suspension: facts.suspension.as_ref().map(|progress| progress.status.clone()),
        audit: match &facts.audit {
            Some(facts) => Some(audit::site(site, facts)),
            None => site.status.as_ref().and_then(|status| status.audit.clone()),
        },
    }
}

fn connected(facts: &SiteFacts) -> More {
    let (reason, message) = match (facts.connected, facts.endpoints) {
        (_, 0) => ("NoEndpoint", "the site has no TunnelEndpoint".to_owned()),
        (0, _) => ("NoTunnel", "no endpoint of the site has a tunnel".to_owned()),
        (up, all) => ("TunnelUp", format!("{up} of {all} endpoints have a tunnel")),
    };
    More { type_: condition::CONNECTED, holds: facts.connected > 0, reason, message }
}

/// What a site's suspension means once it is enforced.
const CUT: &str = "spec.suspended is true: tunnels and sessions of the site are cut and none is accepted";

//! Status of an `AccessPolicy`.

use jiff::Timestamp;
use sallyport_api::AccessPolicy;
use sallyport_api::access_policy::AccessPolicyStatus;

use super::conditions::{Standing, Verdict, conditions};
use crate::problem::Problem;
use crate::region_config::Coverage;

/// The status of a policy.
pub fn policy(policy: &AccessPolicy, judged: &Result<Coverage, Problem>, now: Timestamp) -> AccessPolicyStatus {
    let verdict = match judged {
        Ok(Coverage { devices: 0, .. }) => Verdict::new(
            Standing::Ready,
            "CoversNothing",
            "the selectors select no device now; nobody reaches anything by this policy",
        ),
        Ok(coverage) => Verdict::new(
            Standing::Ready,
            "Admitted",
            format!("devices: {}, at sites: {}", coverage.devices, coverage.sites),
        ),
        Err(problem) => problem.into(),
    };
    let old = policy.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let coverage = judged.as_ref().ok();
    AccessPolicyStatus {
        observed_generation: policy.metadata.generation,
        conditions: conditions(old, &verdict, Vec::new(), policy.metadata.generation, now),
        sites: coverage.map(|c| c.sites),
        devices: coverage.map(|c| c.devices),
    }
}

//! `AccessPolicy`: it is in its region's configuration or its status says why not.

use sallyport_api::AccessPolicy;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::problem::{Problem, judge_policy};
use sallyport_plan::region_config::Coverage;
use sallyport_plan::status;

use super::{Again, now};
use crate::context::Context;
use crate::error::Error;
use crate::report;

/// One policy.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(policy) = ctx.world.policies.get(key) else { return Ok(None) }; // cache
    let judged = observe(ctx, &policy); // cache, pure
    let status = status::policy(&policy, &judged, now()); // pure
    report::status(ctx, &*policy, status).await // client
}

fn observe(ctx: &Context, policy: &AccessPolicy) -> Result<Coverage, Problem> {
    let (id, region) = judge_policy(policy, &ctx.world.catalogue())?;
    Ok(ctx.publisher.compiled(&region).and_then(|c| c.coverage.get(&id).copied()).unwrap_or_default())
}

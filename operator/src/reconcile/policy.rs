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
    let region = ObjectKey::new(&key.namespace, &policy.spec.region_ref.name);
    if ctx.is_anothers(&region) {
        return Ok(None);
    }
    let Some(judged) = observe(ctx, &policy) else { return Ok(None) }; // cache, pure
    let status = status::policy(&policy, &judged, now()); // pure
    report::status(ctx, &*policy, status).await // client
}

/// Nothing before its region has been compiled for the first time; the publisher wakes it then.
fn observe(ctx: &Context, policy: &AccessPolicy) -> Option<Result<Coverage, Problem>> {
    let (id, region) = match judge_policy(policy, &ctx.world.catalogue()) {
        Ok(judged) => judged,
        Err(problem) => return Some(Err(problem)),
    };
    let compiled = ctx.publisher.compiled(&region)?;
    compiled.coverage.get(&id).copied().map(Ok)
}

//! A certificate in a Secret: issued when it must be, left alone otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sallyport_core::name::RegionId;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::certificate::{Decision, Wanted, decide};
use sallyport_plan::labels::Owner;
use sallyport_plan::objects;
use sallyport_plan::secret_facts::{ISSUER, SecretFacts};
use sallyport_plan::status::{Issued, Trouble};
use serde_json::Value;

use crate::apply;
use crate::authorities::{Issuing, Signer};
use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;

/// What is to be in a Secret.
pub(super) struct Order<'a> {
    pub(super) kind: Kind,
    pub(super) secret: ObjectKey,
    pub(super) owner: &'a Owner,
    pub(super) labels: Value,
    pub(super) region: &'a RegionId,
    pub(super) profile: Profile,
    pub(super) lifetime: Duration,
    pub(super) signer: &'a Signer,
}

/// Brings the certificate about. Nothing is written while it is good.
pub(super) async fn bring_about(ctx: &Context, order: &Order<'_>, now: Timestamp) -> Result<Issued, Trouble> {
    let cached = ctx.world.secrets.get(&order.secret);
    if let Decision::Keep { renew_at } = judge(order, cached.as_deref(), now)? {
        return issued(order, cached.as_deref(), renew_at);
    }
    // The cache may be behind, and lacks what does not bear our labels: look before a new key is made.
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &order.secret.namespace);
    let what = format!("read Secret {}", order.secret);
    let live = found(api.get(&order.secret.name).await).map_err(|e| Trouble::from(Error::api(what)(e)))?;
    let facts = live.clone().map(SecretFacts::of);
    match judge(order, facts.as_ref(), now)? {
        Decision::Foreign => Err(apply::foreign(objects::Kind::Secret, &order.secret).into()),
        Decision::Keep { renew_at } if cached.is_some() => issued(order, facts.as_ref(), renew_at),
        Decision::Issue(why) => issue(ctx, order, why.label(), now).await,
        // The certificate is good, but the bundle beside it is old, or our labels are gone.
        Decision::Keep { .. } | Decision::Repair => repair(ctx, order, live, now).await,
    }
}

fn judge(order: &Order<'_>, found: Option<&SecretFacts>, now: Timestamp) -> Result<Decision, Trouble> {
    let Some(identity) = order.profile.identity(order.region) else {
        return Err(Trouble::Issue("the profile names nobody".to_owned()));
    };
    let issuing = issuing(order)?;
    let wanted = Wanted {
        owner_uid: &order.owner.uid,
        identity: &identity,
        issuer: &issuing.fingerprint,
        trust: &order.signer.trust,
        lifetime: order.lifetime.try_into().unwrap_or(jiff::SignedDuration::MAX),
    };
    Ok(decide(&wanted, found, now))
}

fn issuing<'a>(order: &Order<'a>) -> Result<&'a Issuing, Trouble> {
    order.signer.issuing().map_err(|error| Trouble::Issue(error.to_string()))
}

async fn issue(ctx: &Context, order: &Order<'_>, why: &str, now: Timestamp) -> Result<Issued, Trouble> {
    let profile = order.profile.common_name();
    let made = order.signer.issue(order.region, order.profile.clone(), order.lifetime, now);
    let result = if made.is_ok() { "issued" } else { "refused" };
    ctx.metrics.certificates.with_label_values(&[profile, result]).inc();
    let made = made.map_err(|error| Trouble::Issue(error.to_string()))?;
    tracing::info!(secret = %order.secret, serial = made.leaf.serial, reason = why, "issued the {profile} certificate");
    write(ctx, order, &made.leaf.pem, &made.key.to_pem()).await?;
    let validity =
        sallyport_pki::inspect::Validity { not_before: made.leaf.not_before, not_after: made.leaf.not_after };
    Ok(Issued {
        serial: made.leaf.serial.clone(),
        validity,
        renew_at: made.renew_at(),
        issuer_generation: issuing(order)?.number,
    })
}

async fn repair(ctx: &Context, order: &Order<'_>, live: Option<Secret>, now: Timestamp) -> Result<Issued, Trouble> {
    let data = live.and_then(|secret| secret.data).unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default();
    tracing::info!(secret = %order.secret, "writing the trust bundle beside the certificate");
    write(ctx, order, &text("tls.crt"), &text("tls.key")).await?;
    match judge(order, ctx.world.secrets.get(&order.secret).as_deref(), now)? {
        Decision::Keep { renew_at } => issued(order, ctx.world.secrets.get(&order.secret).as_deref(), renew_at),
        _ => Err(Trouble::Issue(format!("Secret {} changes while it is written", order.secret))),
    }
}

async fn write(ctx: &Context, order: &Order<'_>, certificate: &str, key: &str) -> Result<(), Trouble> {
    let texts = BTreeMap::from([("tls.crt", certificate), ("tls.key", key), ("ca.crt", order.signer.trust.as_str())]);
    let name = order.secret.name.clone();
    let mut child = objects::tls_secret(order.owner, &order.secret.namespace, name, order.labels.clone(), &texts);
    child.object["metadata"]["annotations"] = serde_json::json!({ ISSUER: issuing(order)?.fingerprint });
    apply::secret(ctx, order.kind, &order.secret.namespace, &child).await.map_err(Trouble::from)
}

fn issued(order: &Order<'_>, facts: Option<&SecretFacts>, renew_at: Timestamp) -> Result<Issued, Trouble> {
    let leaf = facts.and_then(|facts| facts.leaf.as_ref());
    let leaf = leaf.ok_or_else(|| Trouble::Issue(format!("Secret {} holds no certificate", order.secret)))?;
    Ok(Issued {
        serial: leaf.serial.clone(),
        validity: leaf.validity,
        renew_at,
        issuer_generation: issuing(order)?.number,
    })
}

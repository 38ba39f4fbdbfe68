//! Customers are sent the checkpoints of their logs, so that they can tell later whether what they are shown goes on from
//! them. Records are not sent.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sallyport_api::CustomerSite;
use sallyport_api::audit::Webhook;
use sallyport_audit::tlog::note::VerifierKey;
use sallyport_audit::{Keeper, Scope};
use sallyport_core::name::SiteId;
use sallyport_plan::audit::webhook;
use sallyport_plan::catalogue::{ObjectKey, region_key};
use serde::Serialize;

use super::chain;
use super::collect::state::State;
use super::collect::store;
use super::https::{Networks, Post};
use super::records::{Open, Records};
use crate::context::Shared;
use crate::error::found;
use crate::kinds::Kind;

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(10);
/// Waits after a delivery that failed.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);

/// What is sent.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivery<'a> {
    site: &'a SiteId,
    region: String,
    verifier_key: &'a VerifierKey,
    logs: Vec<DeliveredLog>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct DeliveredLog {
    origin: String,
    checkpoint: String,
}

/// What is known of one site's deliveries.
#[derive(Debug, Default)]
struct Sent {
    /// Sizes of the logs that were delivered last; nothing since the operator began.
    sizes: Option<BTreeMap<Keeper, u64>>,
    last: Option<Timestamp>,
    not_before: Option<Timestamp>,
    failures: u32,
}

impl Sent {
    /// Whether something is to be sent now: its time has come, something is new, and the last failure is long ago.
    fn is_due(&self, hook: &Webhook, sizes: &BTreeMap<Keeper, u64>, now: Timestamp) -> bool {
        let every = SignedDuration::from_mins(i64::from(hook.every_minutes));
        let due = self.last.is_none_or(|last| now.duration_since(last) >= every);
        let waits = self.not_before.is_some_and(|not_before| now < not_before);
        due && !waits && !sizes.is_empty() && self.sizes.as_ref() != Some(sizes)
    }

    fn delivered(&mut self, sizes: BTreeMap<Keeper, u64>, now: Timestamp) {
        *self = Self { sizes: Some(sizes), last: Some(now), not_before: None, failures: 0 };
    }

    fn failed(&mut self, now: Timestamp) {
        let wait = FIRST_WAIT.checked_mul(1 << self.failures.min(10)).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        self.failures += 1;
        self.not_before = now.checked_add(wait).ok();
    }
}

/// Delivers, until dropped.
pub(super) async fn run(ctx: &Shared, records: &Records, open: &Open) {
    let mut sent: BTreeMap<ObjectKey, Sent> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let sites = ctx.world.sites.snapshot();
        let ours: Vec<_> = sites.iter().filter(|(_, site)| region_key(site) == records.key).collect();
        sent.retain(|key, _| ours.iter().any(|(site, _)| *site == key));
        if ours.iter().all(|(_, site)| site.spec.audit.webhook.is_none()) {
            continue;
        }
        let states = records.states();
        for (key, site) in ours {
            let Ok(Some(hook)) = webhook(site) else { continue };
            // A former operator's delivery counts: status remembers when it was.
            let known = sent.entry(key.clone()).or_insert_with(|| Sent { last: told(site), ..Sent::default() });
            let Ok(id) = SiteId::parse(&key.namespace, &key.name) else { continue };
            let sizes = sizes(&states, &id);
            if known.is_due(hook, &sizes, Timestamp::now()) {
                one(ctx, records, open, (key, &id), hook, sizes, known).await;
            }
        }
    }
}

async fn one(
    ctx: &Shared,
    records: &Records,
    open: &Open,
    (key, id): (&ObjectKey, &SiteId),
    hook: &Webhook,
    sizes: BTreeMap<Keeper, u64>,
    sent: &mut Sent,
) {
    let result = deliver(ctx, records, open, key, id, hook, sizes.keys()).await;
    let now = Timestamp::now();
    let label = match result {
        Ok(()) => {
            tracing::info!(region = %records.key, site = %key, logs = sizes.len(), "delivered checkpoints");
            sent.delivered(sizes, now);
            records.delivered(key, |delivery| {
                delivery.last = Some(now);
                delivery.failed = None;
            });
            "ok"
        }
        Err(reason) => {
            tracing::warn!(region = %records.key, site = %key, reason, "checkpoints were not delivered");
            sent.failed(now);
            records.delivered(key, |delivery| delivery.failed = Some(reason));
            "failed"
        }
    };
    ctx.metrics.audit.deliveries.with_label_values(&[&*records.key.to_string(), label]).inc();
    ctx.wake(Kind::CustomerSite, key.clone());
}

fn told(site: &CustomerSite) -> Option<Timestamp> {
    site.status.as_ref()?.audit.as_ref()?.last_delivered.as_ref()?.parse().ok()
}

/// How far the site's logs are archived.
fn sizes(states: &BTreeMap<Keeper, State>, site: &SiteId) -> BTreeMap<Keeper, u64> {
    let scope = Scope::Site(site.clone());
    let size = |state: &State| state.journal.logs.get(&scope).map(|log| log.tree.size());
    states.iter().filter_map(|(keeper, state)| Some((keeper.clone(), size(state)?))).collect()
}

async fn deliver(
    ctx: &Shared,
    records: &Records,
    open: &Open,
    key: &ObjectKey,
    site: &SiteId,
    hook: &Webhook,
    keepers: impl Iterator<Item = &Keeper>,
) -> Result<(), String> {
    let mut logs = Vec::new();
    for keeper in keepers {
        let origin = keeper.origin(Scope::Site(site.clone()));
        let checkpoint = store::checkpoint(&open.archive, &origin).await.map_err(|error| chain(&error))?;
        let checkpoint = checkpoint.ok_or_else(|| format!("the archive has no checkpoint of {origin}"))?;
        logs.push(DeliveredLog { origin: origin.to_string(), checkpoint: checkpoint.to_string() });
    }
    let verifier_key = open.signer.verifier_key();
    let delivery = Delivery { site, region: records.id.to_string(), verifier_key, logs };
    let body = serde_json::to_vec(&delivery).map_err(|error| error.to_string())?;
    let headers = match &hook.secret_name {
        None => Vec::new(),
        Some(name) => vec![(SIGNATURE, signature(&secret(ctx, &key.namespace, name).await?, &body))],
    };
    let networks = if ctx.flags.webhook_private_networks { Networks::Any } else { Networks::Public };
    let post = Post {
        url: &hook.url,
        authorities: hook.ca_bundle.as_deref(),
        networks,
        content_type: "application/json",
        headers,
        body,
    };
    match post.send().await.map_err(|error| chain(&error))?.status {
        200..=299 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}

/// The header with the signature.
const SIGNATURE: &str = "sallyport-signature";

/// `sha256=` and the HMAC of the body in hex.
fn signature(secret: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(secret, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The key `hmac` of a Secret in the site's own namespace.
async fn secret(ctx: &Shared, namespace: &str, name: &str) -> Result<hmac::Key, String> {
    const ENTRY: &str = "hmac";
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let secret = found(api.get(name).await).map_err(|error| format!("read Secret {namespace}/{name}: {error}"))?;
    let secret = secret.ok_or_else(|| format!("Secret {namespace}/{name} does not exist; create it"))?;
    let bytes = secret.data.as_ref().and_then(|data| data.get(ENTRY)).filter(|bytes| !bytes.0.is_empty());
    let bytes = bytes.ok_or_else(|| format!("Secret {namespace}/{name} has no key {ENTRY:?}; add it"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes.0))
}

#[cfg(test)]
mod tests;

//! A certificate in a Secret: issued when it must be, left alone otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sallyport_core::name::RegionId;
use sallyport_pki::inspect::Validity;
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::certificate::{Decision, Takeover, Wanted, decide, renew_at_spread};
use sallyport_plan::labels::Owner;
use sallyport_plan::objects;
use sallyport_plan::secret_facts::{ISSUER, KEYSTORE, KEYSTORE_FILE, SecretFacts, first_certificate};
use sallyport_plan::status::{Issued, Trouble};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::keystore::Keystore;
use super::record::{Book, write_down};
use crate::apply;
use crate::authorities::{self, Issuing, Signer};
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
    /// When it follows another generation.
    pub(super) takeover: Takeover<'a>,
    /// A PKCS#12 file beside it.
    pub(super) keystore: Option<&'a Keystore>,
    /// Where it is written down before it is handed out; nothing for what never leaves the cluster.
    pub(super) book: Option<&'a Book>,
}

/// A certificate and its key, as they are written.
struct Content {
    certificate: String,
    key: Zeroizing<String>,
    issuer: String,
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
    let wanted_keystore = keystore_note(order, found.and_then(|found| found.leaf.as_ref()).map(|leaf| &*leaf.serial));
    let wanted = Wanted {
        owner_uid: &order.owner.uid,
        identity: &identity,
        issuer: &issuing(order)?.fingerprint,
        trust: &order.signer.trust,
        lifetime: order.lifetime.try_into().unwrap_or(jiff::SignedDuration::MAX),
        trusted: &order.signer.generations,
        takeover: order.takeover,
        keystore: wanted_keystore.as_deref(),
    };
    Ok(decide(&wanted, found, now))
}

fn issuing<'a>(order: &Order<'a>) -> Result<&'a Issuing, Trouble> {
    order.signer.issuing().map_err(|error| Trouble::Issue(error.to_string()))
}

/// From what the PKCS#12 file is made: another password, certificate or bundle makes another file.
fn keystore_note(order: &Order<'_>, serial: Option<&str>) -> Option<String> {
    order
        .keystore
        .map(|keystore| format!("{}.{}.{}", keystore.password_version, serial.unwrap_or_default(), order.signer.digest))
}

async fn issue(ctx: &Context, order: &Order<'_>, why: &str, now: Timestamp) -> Result<Issued, Trouble> {
    let made = match order.book.and_then(|book| unwritten(ctx, order, book)) {
        Some(made) => made,
        None => make(ctx, order, why, now).await?,
    };
    let content = Content {
        certificate: made.leaf.pem.clone(),
        key: made.key.to_pem(),
        issuer: issuing(order)?.fingerprint.clone(),
    };
    write(ctx, order, &content).await?;
    ctx.memory.written(&order.secret);
    let validity = Validity { not_before: made.leaf.not_before, not_after: made.leaf.not_after };
    Ok(Issued {
        serial: made.leaf.serial.clone(),
        renew_at: renew_at_spread(&validity, &made.leaf.serial),
        validity,
        issuer_generation: issuing(order)?.number,
    })
}

/// What was written down last and is not in the Secret yet, unless another generation signs by now.
fn unwritten(ctx: &Context, order: &Order<'_>, book: &Book) -> Option<Arc<authorities::Issued>> {
    let object = ctx.world.certificates.get(&book.certificate)?;
    let status = object.status.as_ref()?;
    let current = status.issuer_generation == Some(order.signer.issuing().ok()?.number);
    ctx.memory.unwritten(&order.secret, status.serial.as_deref()?).filter(|_| current)
}

async fn make(
    ctx: &Context,
    order: &Order<'_>,
    why: &str,
    now: Timestamp,
) -> Result<Arc<authorities::Issued>, Trouble> {
    let profile = order.profile.common_name();
    let made = order.signer.issue(order.region, order.profile.clone(), order.lifetime, now);
    let result = if made.is_ok() { "issued" } else { "refused" };
    ctx.metrics.certificates.with_label_values(&[profile, result]).inc();
    let made = Arc::new(made.map_err(|error| Trouble::Issue(error.to_string()))?);
    if let Some(book) = order.book {
        write_down(ctx, book, &made.leaf, issuing(order)?.number, now).await?;
        ctx.memory.keep_unwritten(&order.secret, made.clone());
    }
    tracing::info!(secret = %order.secret, serial = made.leaf.serial, reason = why, "issued the {profile} certificate");
    Ok(made)
}

async fn repair(ctx: &Context, order: &Order<'_>, live: Option<Secret>, now: Timestamp) -> Result<Issued, Trouble> {
    let issuer = live.clone().map(SecretFacts::of).and_then(|facts| facts.leaf).map(|leaf| leaf.issuer);
    let data = live.and_then(|secret| secret.data).unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).unwrap_or_default();
    tracing::info!(secret = %order.secret, "writing anew what is beside the certificate");
    let content = Content {
        certificate: text("tls.crt"),
        key: Zeroizing::new(text("tls.key")),
        issuer: issuer.unwrap_or_default(),
    };
    write(ctx, order, &content).await?;
    match judge(order, ctx.world.secrets.get(&order.secret).as_deref(), now)? {
        Decision::Keep { renew_at } => issued(order, ctx.world.secrets.get(&order.secret).as_deref(), renew_at),
        _ => Err(Trouble::Issue(format!("Secret {} changes while it is written", order.secret))),
    }
}

async fn write(ctx: &Context, order: &Order<'_>, content: &Content) -> Result<(), Trouble> {
    let mut annotations = json!({ ISSUER: content.issuer });
    let mut entries = BTreeMap::from([
        ("tls.crt", content.certificate.as_bytes()),
        ("tls.key", content.key.as_bytes()),
        ("ca.crt", order.signer.trust.as_bytes()),
    ]);
    let file;
    if let Some(keystore) = order.keystore {
        let leaf = first_certificate(&content.certificate).unwrap_or_default();
        file = keystore.file(&content.key, &leaf, &order.signer.trust)?;
        entries.insert(KEYSTORE_FILE, &file);
        let serial = sallyport_pki::inspect::serial_hex(&leaf).ok();
        annotations[KEYSTORE] = keystore_note(order, serial.as_deref()).unwrap_or_default().into();
    }
    let name = order.secret.name.clone();
    let mut child = objects::tls_secret(order.owner, &order.secret.namespace, name, order.labels.clone(), &entries);
    child.object["metadata"]["annotations"] = annotations;
    apply::secret(ctx, order.kind, &order.secret.namespace, &child).await.map_err(Trouble::from)
}

/// Takes the key out of a Secret, if it belongs to the owner and holds one.
pub(super) async fn empty(
    ctx: &Context,
    kind: Kind,
    secret: &ObjectKey,
    owner: &Owner,
    labels: Value,
) -> Result<(), Trouble> {
    ctx.memory.written(secret);
    let ours = |facts: &SecretFacts| sallyport_plan::labels::is_controlled_by(&facts.metadata, &owner.uid);
    if !ctx.world.secrets.get(secret).is_some_and(|facts| ours(&facts) && facts.holds_key) {
        return Ok(());
    }
    tracing::info!(%secret, "taking the key of a revoked certificate out of its Secret");
    // A Secret of this type has both entries, be they empty.
    let nothing: BTreeMap<&str, &[u8]> = BTreeMap::from([("tls.crt", &[][..]), ("tls.key", &[][..])]);
    let child = objects::tls_secret(owner, &secret.namespace, secret.name.clone(), labels, &nothing);
    apply::secret(ctx, kind, &secret.namespace, &child).await.map_err(Trouble::from)
}

fn issued(order: &Order<'_>, facts: Option<&SecretFacts>, renew_at: Timestamp) -> Result<Issued, Trouble> {
    let leaf = facts.and_then(|facts| facts.leaf.as_ref());
    let leaf = leaf.ok_or_else(|| Trouble::Issue(format!("Secret {} holds no certificate", order.secret)))?;
    let generation = order.signer.generations.get(&leaf.issuer).copied();
    Ok(Issued {
        serial: leaf.serial.clone(),
        validity: leaf.validity,
        renew_at,
        issuer_generation: generation.unwrap_or(issuing(order)?.number),
    })
}

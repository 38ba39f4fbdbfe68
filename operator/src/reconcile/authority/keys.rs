//! The keys of an authority: read from its Secret, made once, destroyed when their generation is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::KeyAlgorithm as Algorithm;
use sallyport_api::common::SecretKeyRef;
use sallyport_pki::authority::{Authority, AuthoritySubject};
use sallyport_pki::key::KeyAlgorithm;
use sallyport_pki::rotation::{Action, Made, Stage, State};
use sallyport_plan::authority::keys::{self, Stored, StoredKey, TokenKey};
use sallyport_plan::authority::{restored, wish};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::status::Trouble;
use sallyport_plan::{labels, names, objects};
use serde_json::{Value, json};

use super::turn::{Turn, clock, leads};
use crate::authorities::serial;
use crate::context::Context;
use crate::custody::ring::Ring;
use crate::custody::{CustodyError, Pin, Place, blocking};
use crate::error::{Error, found};
use crate::kinds::Kind;
use crate::{apply, intake};

/// All generations that are stored. Read again only when the Secret has changed, or when a key could not be reached.
pub(super) async fn ring(ctx: &Context, key: &ObjectKey, object: &CertificateAuthority) -> Result<Arc<Ring>, Error> {
    let secret_key = secret_key(key);
    let cached = ctx.world.secrets.get(&secret_key).and_then(|facts| facts.metadata.resource_version.clone());
    if let Some(ring) = ctx.authorities.ring(key).filter(|ring| cached.is_some() && ring.version == cached) {
        return Ok(ring);
    }
    let ring = match live(ctx, key).await? {
        None => Ring::default(),
        Some(secret) => load(ctx, key, object, &secret).await?,
    };
    Ok(ctx.authorities.keep_ring(key, ring))
}

/// Adds generations whose certificate somebody put into the Secret without a key.
pub(super) fn with_certificates(state: &State, ring: &Ring, now: Timestamp) -> State {
    let alone = ring.generations.iter().filter(|(_, kept)| !kept.has_key && !kept.certificate.is_empty());
    let alone: BTreeMap<_, _> = alone
        .map(|(number, kept)| {
            let certificate = sallyport_pki::pem::certificate(&kept.certificate);
            (*number, Stored { certificate, key: None, made: None })
        })
        .collect();
    restored::with_certificates(state, alone.iter().map(|(number, stored)| (*number, stored)), now)
}

/// Does what the machine says about keys. Whether anything changed.
pub(super) async fn follow(ctx: &Context, key: &ObjectKey, turn: &Turn, actions: &[Action]) -> Result<bool, Error> {
    let mut changed = false;
    for action in actions {
        if let Action::MakeKey { number, cause } = action {
            tracing::info!(authority = %key, generation = number, ?cause, "making a key");
            make(ctx, key, &turn.object, *number).await?;
            changed = true;
        }
    }
    // A token that is gone keeps no other key from being destroyed.
    let mut failed = None;
    for number in to_erase(turn, actions) {
        match erase(ctx, key, &turn.object, number).await {
            Ok(erased) => changed |= erased,
            Err(error) if error.is_conflict() => return Err(error),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    match failed {
        Some(error) if !changed => Err(error),
        _ => Ok(changed),
    }
}

/// What the machine destroys, and what else is stored of a generation that is removed: a certificate without a key.
fn to_erase(turn: &Turn, actions: &[Action]) -> Vec<u32> {
    let destroyed = |number: u32| actions.contains(&Action::DestroyKey { number });
    let removed = |number: u32| {
        let state = turn.state.as_ref().and_then(|state| state.generation(number));
        state.is_some_and(|g| g.stage == Stage::Removed)
    };
    turn.ring.generations.keys().copied().filter(|number| destroyed(*number) || removed(*number)).collect()
}

/// Makes a generation's key and certificate, and stores them in one write. They mean nothing before the state names them.
async fn make(ctx: &Context, key: &ObjectKey, object: &CertificateAuthority, number: u32) -> Result<(), Error> {
    leads(ctx)?;
    let secret = live(ctx, key).await?;
    if secret.as_ref().is_some_and(|secret| keys::read(secret).contains_key(&number)) {
        ctx.authorities.forget_ring(key);
        return Ok(());
    }
    let place = place(ctx, key, object, number).await?;
    let stored = create(ctx, object, number, &place)?;
    leads(ctx)?;
    let written = match secret {
        None => {
            let body = objects::authority::secret(&key.name, &key.namespace, number, &stored);
            let body: Secret = serde_json::from_value(body).map_err(issue_failed)?;
            let parameters =
                PostParams { field_manager: Some(Kind::CertificateAuthority.manager()), ..PostParams::default() };
            ctx.metrics.writes.with_label_values(&["Secret", "create"]).inc();
            let created = api(ctx, key).create(&parameters, &body).await;
            created.map_err(Error::api(format!("create Secret {}", secret_key(key))))?
        }
        Some(secret) => patch(ctx, key, &secret, keys::addition(number, &stored)).await?,
    };
    ctx.world.secrets.put(intake::secret(written));
    ctx.authorities.forget_ring(key);
    Ok(())
}

fn create(ctx: &Context, object: &CertificateAuthority, number: u32, place: &Place) -> Result<Stored, Error> {
    let spec = &object.spec;
    let subject = AuthoritySubject {
        common_name: spec.subject.common_name.clone(),
        organization: spec.subject.organization.clone(),
    };
    let algorithm = match spec.key_algorithm {
        Algorithm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
        Algorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
    };
    let (private, stored) = ctx.custody.make(place, algorithm).map_err(custody_failed)?;
    let lifetime = spec.lifetime.length();
    let made = blocking(|| Authority::create(number, &subject, private, lifetime, serial(), clock()));
    let made = made.map_err(issue_failed)?;
    tracing::info!(generation = number, fingerprint = made.fingerprint(), "made a generation");
    Ok(Stored {
        certificate: made.certificate_pem(),
        key: Some(stored),
        made: Some(Made {
            made_for: wish::made_for(spec),
            request: spec.rotate_request.as_ref().map(|request| request.id.clone()),
        }),
    })
}

/// Destroys a generation's key, first where it is, then in the Secret.
async fn erase(ctx: &Context, key: &ObjectKey, object: &CertificateAuthority, number: u32) -> Result<bool, Error> {
    leads(ctx)?;
    let Some(secret) = live(ctx, key).await? else { return Ok(false) };
    let Some(removal) = keys::removal(number, &secret) else { return Ok(false) };
    if let Some(stored @ StoredKey::Token(at)) = keys::read(&secret).get(&number).and_then(|stored| stored.key.as_ref())
    {
        let pin = pin(ctx, key, pin_ref(at, object)).await?;
        ctx.custody.destroy(stored, pin.as_ref()).map_err(|error| not_destroyed(key, number, &error))?;
    }
    let written = patch(ctx, key, &secret, removal).await?;
    tracing::info!(authority = %key, generation = number, "destroyed the key of a removed generation");
    ctx.world.secrets.put(intake::secret(written));
    ctx.authorities.forget_ring(key);
    Ok(true)
}

async fn place(ctx: &Context, key: &ObjectKey, object: &CertificateAuthority, number: u32) -> Result<Place, Error> {
    let Some(custody) = &object.spec.custody else { return Ok(Place::Secret) };
    let token = &custody.pkcs11;
    let at = TokenKey {
        token: token.token_label.clone(),
        key: keys::token_label(&key.namespace, &key.name, number),
        pin_ref: token.pin_ref.clone(),
    };
    let missing = || custody_failed(CustodyError::NoPin(token.pin_ref.clone()));
    let pin = pin(ctx, key, &token.pin_ref).await?.ok_or_else(missing)?;
    Ok(Place::Token { at, pin })
}

async fn load(ctx: &Context, key: &ObjectKey, object: &CertificateAuthority, secret: &Secret) -> Result<Ring, Error> {
    let stored = keys::read(secret);
    let mut pins = BTreeMap::new();
    for stored in stored.values() {
        if let Some(StoredKey::Token(at)) = &stored.key
            && let Some(pin) = pin(ctx, key, pin_ref(at, object)).await?
        {
            pins.insert(at.key.clone(), pin);
        }
    }
    let pins = std::cell::RefCell::new(pins);
    let take = |stored: &StoredKey| match stored {
        StoredKey::Pem(_) => None,
        StoredKey::Token(at) => pins.borrow_mut().remove(&at.key),
    };
    let version = secret.metadata.resource_version.clone();
    let mut ring = Ring::load(version, &stored, &ctx.custody, take);
    if !ring.unreachable.is_empty() {
        // It is looked for again at the next turn, whether the Secret changes or not.
        ring.version = None;
    }
    Ok(ring)
}

/// Where the PIN of a token is now: as the object says, if it still speaks of that token.
fn pin_ref<'a>(at: &'a TokenKey, object: &'a CertificateAuthority) -> &'a SecretKeyRef {
    let custody = object.spec.custody.as_ref().map(|custody| &custody.pkcs11);
    custody.filter(|token| token.token_label == at.token).map_or(&at.pin_ref, |token| &token.pin_ref)
}

async fn pin(ctx: &Context, key: &ObjectKey, reference: &SecretKeyRef) -> Result<Option<Pin>, Error> {
    let what = format!("read Secret {}/{}", key.namespace, reference.name);
    let secret = found(api(ctx, key).get(&reference.name).await).map_err(Error::api(what))?;
    let text = secret.and_then(|secret| secret.data?.remove(&reference.key));
    Ok(text.and_then(|bytes| Some(Pin::new(std::str::from_utf8(&bytes.0).ok()?))))
}

/// The Secret, as it is. One that is not ours is an error.
async fn live(ctx: &Context, key: &ObjectKey) -> Result<Option<Secret>, Error> {
    let secret_key = secret_key(key);
    let found = found(api(ctx, key).get(&secret_key.name).await);
    let Some(secret) = found.map_err(Error::api(format!("read Secret {secret_key}")))? else { return Ok(None) };
    let is = |label: &str, value: &str| {
        secret.metadata.labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|found| found == value)
    };
    if is(labels::MANAGED_BY, labels::OPERATOR) && is(labels::AUTHORITY, &labels::value(&key.name)) {
        Ok(Some(secret))
    } else {
        Err(apply::foreign(objects::Kind::Secret, &secret_key))
    }
}

/// A merge that the API server refuses if anybody wrote in between.
async fn patch(ctx: &Context, key: &ObjectKey, secret: &Secret, data: Value) -> Result<Secret, Error> {
    let body = json!({ "metadata": { "resourceVersion": secret.metadata.resource_version }, "data": data });
    let parameters =
        PatchParams { field_manager: Some(Kind::CertificateAuthority.manager()), ..PatchParams::default() };
    ctx.metrics.writes.with_label_values(&["Secret", "apply"]).inc();
    let secret_key = secret_key(key);
    let patched = api(ctx, key).patch(&secret_key.name, &parameters, &Patch::Merge(&body)).await;
    patched.map_err(Error::api(format!("change Secret {secret_key}")))
}

fn secret_key(key: &ObjectKey) -> ObjectKey {
    ObjectKey::new(&key.namespace, names::authority(&key.name))
}

fn api(ctx: &Context, key: &ObjectKey) -> Api<Secret> {
    Api::namespaced(ctx.client.clone(), &key.namespace)
}

fn issue_failed(error: impl std::fmt::Display) -> Error {
    Error::Trouble(Trouble::Issue(error.to_string()))
}

fn not_destroyed(key: &ObjectKey, number: u32, error: &CustodyError) -> Error {
    let secret = secret_key(key);
    Error::Trouble(Trouble::Token(format!(
        "the key of generation {number}, which is removed, cannot be destroyed: {error}. When the token is gone for good, \
         take generation-{number}.pkcs11 out of Secret {secret}"
    )))
}

fn custody_failed(error: CustodyError) -> Error {
    Error::Trouble(match error {
        CustodyError::Key(error) => Trouble::Issue(error.to_string()),
        error => Trouble::Token(error.to_string()),
    })
}

//! `CertificateAuthority`: its first generation is made once, read ever after, and published.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::KeyAlgorithm as Algorithm;
use sallyport_pki::authority::{Authority, AuthoritySubject};
use sallyport_pki::generation::Generation;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_plan::authority::{Decision, decide};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::labels::Owner;
use sallyport_plan::secret_facts::SecretFacts;
use sallyport_plan::status::{self, Trouble};
use sallyport_plan::{names, objects};
use zeroize::Zeroizing;

use super::certificate::ready_to_write;
use super::{Again, after_trouble, handled_elsewhere, now, until};
use crate::authorities::{Issuing, Signer, serial};
use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;
use crate::{apply, report, wake};

/// The number of the generation that is made here; the rotation machine will make the others.
const FIRST: u32 = 1;

/// One certificate authority.
pub async fn reconcile(ctx: &Context, key: &ObjectKey) -> Result<Again, Error> {
    let Some(authority) = ctx.world.authorities.get(key) else { return Ok(gone(ctx, key)) }; // cache
    if authority.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let state = bring_about(ctx, key, &authority).await; // client
    if handled_elsewhere(&*authority, &state) {
        return Ok(None);
    }
    let status = status::authority(&authority, &state, now()); // pure
    let again = report::status(ctx, &*authority, status).await?; // client
    match state {
        Ok(generation) if generation.not_after > now() => Ok(Some(until(generation.not_after, now()))),
        Ok(_) => Ok(again),
        Err(trouble) => after_trouble(again, trouble),
    }
}

fn gone(ctx: &Context, key: &ObjectKey) -> Again {
    if ctx.authorities.remove(key) {
        wake::users_of_authority(ctx, key);
    }
    None
}

async fn bring_about(ctx: &Context, key: &ObjectKey, authority: &CertificateAuthority) -> Result<Generation, Trouble> {
    if !ctx.for_regions.contains(&key.namespace) {
        return Err(Trouble::NamespaceNotForRegions(key.namespace.clone()));
    }
    ready_to_write(ctx, &key.namespace)?;
    let signer = match signer(ctx, key, authority).await {
        Ok(signer) => signer,
        Err(trouble) => {
            // A key that is gone or wrong signs nothing more, whatever is still in memory.
            if matches!(trouble, Trouble::AuthorityLost(_) | Trouble::AuthorityDamaged(_)) {
                gone(ctx, key);
            }
            return Err(trouble);
        }
    };
    publish(ctx, key, authority, &signer).await?;
    signer.issuing().map(|i| i.authority.generation()).map_err(|e| Trouble::Issue(e.to_string()))
}

/// The key as it is in its Secret, read again only when the Secret has changed.
async fn signer(ctx: &Context, key: &ObjectKey, authority: &CertificateAuthority) -> Result<Arc<Signer>, Trouble> {
    let secret_key = ObjectKey::new(&key.namespace, names::authority(&key.name));
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let what = format!("read Secret {secret_key}");
    let live = found(api.get(&secret_key.name).await).map_err(|e| Trouble::from(Error::api(what)(e)))?;
    let loaded = live.as_ref().and_then(load);
    let facts = live.clone().map(SecretFacts::of);
    let fingerprint = loaded.as_ref().map(Authority::fingerprint);
    let published = ObjectKey::new(&key.namespace, names::authority_trust(&key.name));
    let published = ctx.world.child(objects::Kind::ConfigMap, &published).is_some();
    match (decide(authority, facts.as_ref(), fingerprint.as_deref(), published), loaded) {
        (Decision::Create, _) => create(ctx, key, authority, &api).await,
        (Decision::Foreign, _) => Err(apply::foreign(objects::Kind::Secret, &secret_key).into()),
        (Decision::Lost, _) => Err(Trouble::AuthorityLost(secret_key)),
        (Decision::Use, Some(loaded)) => Ok(keep(ctx, key, loaded, live)),
        (Decision::Damaged | Decision::Use, _) => Err(Trouble::AuthorityDamaged(secret_key)),
    }
}

fn load(secret: &Secret) -> Option<Authority> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| std::str::from_utf8(&data.get(key)?.0).ok();
    let key = PrivateKey::from_pem(text("tls.key")?).ok()?;
    Authority::load(FIRST, text("tls.crt")?, Box::new(key)).ok()
}

/// The first generation. `create`, so that of two operators one fails and reads what the other made.
async fn create(
    ctx: &Context,
    key: &ObjectKey,
    authority: &CertificateAuthority,
    api: &Api<Secret>,
) -> Result<Arc<Signer>, Trouble> {
    let (made, private) = make(authority, now()).map_err(Trouble::Issue)?;
    let certificate = made.certificate_pem();
    let texts = BTreeMap::from([("tls.crt", certificate.as_str()), ("tls.key", private.as_str())]);
    let child = objects::authority::key(&key.name, &key.namespace, &texts);
    let secret = serde_json::from_value(child.object).map_err(|e| Trouble::Issue(e.to_string()))?;
    let parameters = PostParams { field_manager: Some(Kind::CertificateAuthority.manager()), ..PostParams::default() };
    ctx.metrics.writes.with_label_values(&["Secret", "create"]).inc();
    let what = format!("create Secret {}/{}", key.namespace, child.name);
    let created = api.create(&parameters, &secret).await.map_err(|e| Trouble::from(Error::api(what)(e)))?;
    tracing::info!(authority = %key, generation = FIRST, fingerprint = made.fingerprint(), "made the first generation");
    Ok(keep(ctx, key, made, Some(created)))
}

/// The generation, and its key as PEM for the Secret.
fn make(authority: &CertificateAuthority, now: Timestamp) -> Result<(Authority, Zeroizing<String>), String> {
    let spec = &authority.spec;
    let subject = AuthoritySubject {
        common_name: spec.subject.common_name.clone(),
        organization: spec.subject.organization.clone(),
    };
    let algorithm = match spec.key_algorithm {
        Algorithm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
        Algorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
    };
    let key = PrivateKey::generate(algorithm).map_err(|e| e.to_string())?;
    let pem = key.to_pem();
    let lifetime = spec.lifetime.length();
    let made = Authority::create(FIRST, &subject, Box::new(key), lifetime, serial(), now).map_err(|e| e.to_string())?;
    Ok((made, pem))
}

fn keep(ctx: &Context, key: &ObjectKey, authority: Authority, secret: Option<Secret>) -> Arc<Signer> {
    if let Some(secret) = secret {
        ctx.world.secrets.put(crate::intake::secret(secret));
    }
    let (bundle, issuing) = (authority.bundle(), Issuing::of(Arc::new(authority)));
    let signer = Signer {
        trust: bundle.to_pem(),
        digest: bundle.digest(),
        sequence: 1,
        generations: BTreeMap::from([(issuing.fingerprint.clone(), issuing.number)]),
        renew_within: std::time::Duration::from_secs(86_400),
        lists: Vec::new(),
        version: 0,
        issuing: Some(issuing),
    };
    if ctx.authorities.put(key, signer.clone()) {
        wake::users_of_authority(ctx, key);
    }
    Arc::new(signer)
}

/// The ConfigMap with the trust bundle.
async fn publish(
    ctx: &Context,
    key: &ObjectKey,
    authority: &CertificateAuthority,
    signer: &Signer,
) -> Result<(), Trouble> {
    let owner = Owner {
        kind: "CertificateAuthority",
        name: key.name.clone(),
        uid: authority.metadata.uid.clone().unwrap_or_default(),
    };
    let labels = objects::authority::labels(&key.name);
    let name = names::authority_trust(&key.name);
    let child = objects::authority::trust(&owner, &key.namespace, name, &signer.trust, labels);
    apply::child(ctx, Kind::CertificateAuthority, &key.namespace, &owner, &child).await.map_err(Trouble::from)
}

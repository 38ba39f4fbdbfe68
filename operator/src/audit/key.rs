//! The region's audit key: made once, kept in a Secret without an owner, so that it outlives the region's object. It
//! signs every archived checkpoint, and a customer keeps its public half for years: another key would look as if somebody
//! had forged the records. So one that is lost is never made anew before a person has said so.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use sallyport_api::DmzRegion;
use sallyport_audit::tlog::note::{KeyName, Signer, SigningKey, VerifierKey};
use sallyport_core::name::RegionId;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::labels;
use serde_json::json;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{Error, found};
use crate::kinds::Kind;
use crate::{intake, live};

/// The Secret's type: nothing else takes it for something of its own.
const TYPE: &str = "sallyport.dev/audit-key";
/// The entry with the key, PKCS#8 in DER.
const ENTRY: &str = "key";

/// The region's signer, from its Secret or made now.
///
/// # Errors
/// See [`KeyError`].
pub(super) async fn bring_about(ctx: &Context, key: &ObjectKey, id: &RegionId) -> Result<Arc<Signer>, KeyError> {
    let secret_key = secret_key(key);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &key.namespace);
    // Past the caches: what is decided here is decided once.
    let region = live::read::<DmzRegion>(ctx, key).await?.ok_or(KeyError::NoRegion)?;
    let mark = region.status.and_then(|status| status.audit).and_then(|audit| audit.verifier_key);
    let what = format!("read Secret {secret_key}");
    let name = key_name(id)?;
    if let Some(secret) = found(api.get(&secret_key.name).await).map_err(Error::api(what))? {
        return read(&secret, &secret_key, name, mark.as_deref());
    }
    if mark.is_some() {
        return Err(KeyError::Lost { secret: secret_key, region: key.clone() });
    }
    let signing = SigningKey::generate().map_err(|error| KeyError::Make(error.to_string()))?;
    let der = signing.to_pkcs8().map_err(|error| KeyError::Make(error.to_string()))?;
    if !ctx.fence.holds() {
        return Err(KeyError::NotLeading);
    }
    let body = secret(key, der)?;
    let parameters = PostParams { field_manager: Some(Kind::DmzRegion.manager()), ..PostParams::default() };
    ctx.metrics.writes.with_label_values(&["Secret", "create"]).inc();
    // Created, never applied: whoever was first stays.
    let created = api.create(&parameters, &body).await;
    let created = created.map_err(Error::api(format!("create Secret {secret_key}")))?;
    let signer = read(&created, &secret_key, name, None)?;
    tracing::info!(region = %key, verifier_key = %signer.verifier_key(), "made the region's audit key");
    ctx.world.secrets.put(intake::secret(created));
    Ok(signer)
}

/// `sallyport.dev/NS/REGION`.
pub(crate) fn key_name(id: &RegionId) -> Result<KeyName, KeyError> {
    KeyName::new(format!("sallyport.dev/{id}")).map_err(|error| KeyError::Make(error.to_string()))
}

fn secret_key(region: &ObjectKey) -> ObjectKey {
    ObjectKey::new(&region.namespace, format!("{}-audit", region.name))
}

fn secret(region: &ObjectKey, der: Zeroizing<Vec<u8>>) -> Result<Secret, KeyError> {
    let secret_key = secret_key(region);
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE,
        "metadata": {
            "name": secret_key.name, "namespace": secret_key.namespace, "labels": labels::of_region(&region.name),
        },
        "data": { ENTRY: ByteString(der.to_vec()) },
    });
    serde_json::from_value(body).map_err(|error| KeyError::Make(error.to_string()))
}

/// The signer of a Secret, if it is ours and holds the key that `mark` says.
fn read(secret: &Secret, key: &ObjectKey, name: KeyName, mark: Option<&str>) -> Result<Arc<Signer>, KeyError> {
    let unreadable = |why: &str| KeyError::Unreadable { secret: key.clone(), why: why.to_owned() };
    if secret.type_.as_deref() != Some(TYPE) {
        return Err(KeyError::Foreign(key.clone()));
    }
    let der = secret.data.as_ref().and_then(|data| data.get(ENTRY)).ok_or_else(|| unreadable("it has no key"))?;
    let signing = SigningKey::from_pkcs8(&der.0).map_err(|error| unreadable(&error.to_string()))?;
    let signer = Signer::new(name, signing);
    let told = mark.map(str::parse::<VerifierKey>).transpose();
    let told = told.map_err(|error| unreadable(&format!("status.audit.verifierKey: {error}")))?;
    match told {
        Some(told) if told != *signer.verifier_key() => Err(KeyError::Another { secret: key.clone(), told }),
        _ => Ok(Arc::new(signer)),
    }
}

/// Why a region has no audit key. Nothing is collected then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The Secret holds another key than status says.
    #[error(
        "Secret {secret} holds another audit key than the one in status.audit.verifierKey ({told}), by which customers check their records: put the former Secret back"
    )]
    Another {
        /// The Secret.
        secret: ObjectKey,
        /// What status says.
        told: VerifierKey,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
    /// Somebody else's Secret.
    #[error("Secret {0} is not the operator's; rename or delete it")]
    Foreign(ObjectKey),
    /// It was there and is gone.
    #[error(
        "Secret {secret} with the region's audit key is gone: restore it from a backup. If it is lost for good, remove status.audit.verifierKey of DmzRegion {region}, and a new one is made, which every customer must be given"
    )]
    Lost {
        /// The Secret.
        secret: ObjectKey,
        /// The region.
        region: ObjectKey,
    },
    /// The crypto library.
    #[error("the region's audit key cannot be made: {0}")]
    Make(String),
    /// The region is gone.
    #[error("the region is gone")]
    NoRegion,
    /// Another operator may lead by now.
    #[error("this operator does not lead any more")]
    NotLeading,
    /// It is damaged.
    #[error("Secret {secret} holds no audit key that can be used ({why}): restore it from a backup")]
    Unreadable {
        /// The Secret.
        secret: ObjectKey,
        /// How.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (Secret, SigningKey, ObjectKey) {
        let signing = SigningKey::generate().unwrap();
        let region = ObjectKey::new("dmz", "eu");
        (secret(&region, signing.to_pkcs8().unwrap()).unwrap(), signing, secret_key(&region))
    }

    fn name() -> KeyName {
        key_name(&RegionId::parse("dmz", "eu").unwrap()).unwrap()
    }

    #[test]
    fn the_key_is_read_as_it_was_made_and_only_the_one_that_customers_have() {
        let (secret, signing, key) = made();
        assert_eq!((secret.metadata.name.as_deref(), name().as_str()), (Some("eu-audit"), "sallyport.dev/dmz/eu"));
        let signer = read(&secret, &key, name(), None).unwrap();
        assert_eq!(*signer.verifier_key().public_key(), signing.public_key());
        let told = signer.verifier_key().to_string();
        read(&secret, &key, name(), Some(&told)).unwrap();
        let (another, _, _) = made();
        assert!(matches!(read(&another, &key, name(), Some(&told)), Err(KeyError::Another { .. })));
    }

    #[test]
    fn what_is_not_ours_or_no_key_is_refused() {
        let (secret, _, key) = made();
        let foreign = Secret { type_: Some("Opaque".into()), ..secret.clone() };
        assert!(matches!(read(&foreign, &key, name(), None), Err(KeyError::Foreign(_))));
        let empty = Secret { data: None, ..secret.clone() };
        assert!(matches!(read(&empty, &key, name(), None), Err(KeyError::Unreadable { .. })));
        let mut damaged = secret.clone();
        damaged.data.as_mut().unwrap().get_mut(ENTRY).unwrap().0.truncate(10);
        assert!(matches!(read(&damaged, &key, name(), None), Err(KeyError::Unreadable { .. })));
        assert!(matches!(read(&secret, &key, name(), Some("x")), Err(KeyError::Unreadable { .. })));
    }
}

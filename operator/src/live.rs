//! Reading an object past the cache, for who knows that the cache is behind: its own write met a conflict.

use kube::Api;
use sallyport_plan::catalogue::ObjectKey;

use crate::context::Context;
use crate::error::{Error, found};
use crate::intake;
use crate::kinds::Ours;

/// The object as the API server has it; the cache has it too from then on. Nothing: it is gone.
pub async fn read<K: Ours>(ctx: &Context, key: &ObjectKey) -> Result<Option<K>, Error> {
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let what = format!("read {} {key}", K::KIND.label());
    let mut live = found(api.get(&key.name).await).map_err(Error::api(what))?;
    if let Some(live) = &mut live {
        intake::strip(live.meta_mut());
        K::cache(&ctx.world).put(live.clone());
    }
    Ok(live)
}

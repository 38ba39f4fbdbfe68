//! `trust update`: an authority's published bundle into the trust file of an engineer's context.
//!
//! It reads the cluster, so it is for the platform team. The inner door has no page with the bundle; an engineer without a
//! kubeconfig is handed the file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use sallyport_api::CertificateAuthority;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_runtime::files;
use serde_json::json;

use super::client::Cluster;
use super::refusal::Refusal;
use crate::config;
use crate::failure::Failure;
use crate::output::Output;

/// A certificate is public.
const MODE: u32 = 0o644;

pub(crate) async fn update(
    cluster: &Cluster,
    authority: &str,
    context: Option<String>,
    config: Option<PathBuf>,
    output: &Output,
) -> Result<(), Failure> {
    let path = config::trust_file(config.as_deref(), context)?;
    let object: CertificateAuthority = cluster.get(&cluster.namespace, authority).await?;
    let status = object.status.unwrap_or_default();
    let unfit = |why: String| Refusal::Unfit {
        object: format!("CertificateAuthority {}/{authority}", cluster.namespace),
        why,
        remedy: format!("look at sallyportctl ca status {authority} --namespace {}", cluster.namespace),
    };
    let name =
        status.trust_bundle.ok_or_else(|| unfit("no trust bundle is published yet (status.trustBundle)".to_owned()))?;
    let published: ConfigMap = cluster.get(&cluster.namespace, &name).await?;
    let pem = published.data.unwrap_or_default().remove("ca.crt").unwrap_or_default();
    let bundle = TrustBundle::from_pem(&pem).map_err(|error| unfit(format!("ca.crt of ConfigMap {name}: {error}")))?;
    if bundle.is_empty() {
        return Err(unfit(format!("ca.crt of ConfigMap {name} is empty")).into());
    }

    let known: BTreeSet<&str> = status.generations.iter().map(|generation| generation.fingerprint.as_str()).collect();
    let new = fingerprints(&bundle);
    let old = if path.exists() { fingerprints(&files::read_trust_bundle(&path)?) } else { BTreeSet::new() };
    if let Some(foreign) = old.iter().find(|print| !known.contains(print.as_str()) && !new.contains(*print)) {
        let authority = format!("{}/{authority}", cluster.namespace);
        return Err(Refusal::ForeignTrust { path, authority, fingerprint: foreign.clone() }.into());
    }
    let (added, removed): (Vec<_>, Vec<_>) = (new.difference(&old).collect(), old.difference(&new).collect());
    if !added.is_empty() || !removed.is_empty() {
        files::write_atomic(&path, bundle.to_pem().as_bytes(), MODE)?;
    }
    output.answer(&json!({ "file": path, "added": added, "removed": removed }), || {
        let lines =
            added.iter().map(|print| format!("  + {print}")).chain(removed.iter().map(|print| format!("  - {print}")));
        let lines: Vec<String> = lines.collect();
        match lines.is_empty() {
            true => format!("{} holds the current bundle", path.display()),
            false => format!("{} written:\n{}", path.display(), lines.join("\n")),
        }
    })
}

fn fingerprints(bundle: &TrustBundle) -> BTreeSet<String> {
    bundle.certificates().map(|certificate| inspect::fingerprint(&certificate)).collect()
}

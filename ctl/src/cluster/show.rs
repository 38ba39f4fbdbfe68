//! `ca status` and `ca history`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt as _;
use sallyport_api::{CertificateAuthority, DmzRegion};
use serde_json::json;

use super::authority::{Facts, report, text};
use super::client::Cluster;
use super::refusal::Refusal;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn status(cluster: &Cluster, name: Option<&str>, output: &Output) -> Result<(), Failure> {
    let namespace = &cluster.namespace;
    let mut authorities = match name {
        Some(name) => vec![cluster.get::<CertificateAuthority>(namespace, name).await?],
        None => cluster.list(namespace).await?,
    };
    authorities.sort_by_key(CertificateAuthority::name_any);
    let regions: Vec<DmzRegion> = cluster.list(namespace).await?;
    let mut facts = Vec::new();
    for authority in authorities {
        facts.push(gather(cluster, authority, &regions).await?);
    }
    let now = Timestamp::now();
    let reports: Vec<_> = facts.iter().map(|facts| report::of(facts, now)).collect();
    output.answer(&json!({ "authorities": reports }), || {
        if reports.is_empty() {
            return format!(
                "There is no CertificateAuthority in namespace {namespace}; choose another with --namespace."
            );
        }
        reports.iter().map(|report| text::status(report, now)).collect::<Vec<_>>().join("\n\n\n")
    })
}

pub(crate) async fn history(cluster: &Cluster, name: &str, output: &Output) -> Result<(), Failure> {
    let authority: CertificateAuthority = cluster.get(&cluster.namespace, name).await?;
    let history = authority.status.map(|status| status.history).unwrap_or_default();
    output.answer(&json!({ "history": history }), || match history.is_empty() {
        true => "Nothing has happened yet.".to_owned(),
        false => text::history(&history),
    })
}

/// Only the namespaces that the authority's regions admit are read, so rights in those are enough.
async fn gather(cluster: &Cluster, authority: CertificateAuthority, regions: &[DmzRegion]) -> Result<Facts, Refusal> {
    let ours = regions.iter().filter(|region| region.spec.certificate_authority_ref.name == authority.name_any());
    let ours: Vec<DmzRegion> = ours.cloned().collect();
    let admitted = ours.iter().filter_map(|region| region.spec.allowed_sites.as_ref()).flat_map(|a| &a.namespaces);
    let namespaces: BTreeSet<&String> = admitted.chain([&cluster.namespace]).collect();
    let (mut sites, mut endpoints, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
    for namespace in namespaces {
        sites.extend(cluster.list(namespace).await?);
        endpoints.extend(cluster.list(namespace).await?);
        certificates.extend(cluster.list(namespace).await?);
    }
    Ok(Facts { authority, regions: ours, sites, endpoints, certificates })
}

//! The samples that people copy from, read with the same types as the operator reads objects.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use sallyport_api::{
    AccessPolicy, CertificateAuthority, CustomerSite, Device, DmzRegion, TunnelCertificate, TunnelEndpoint,
};
use serde::Deserialize;
use serde_json::Value;

#[test]
fn every_sample_is_an_object_of_its_kind_and_no_kind_is_without_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/samples");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for document in serde_yaml::Deserializer::from_str(&fs::read_to_string(&path).unwrap()) {
            let object = Value::deserialize(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_owned();
            parse(&kind, &object).unwrap_or_else(|error| panic!("{}: {kind}: {error}", path.display()));
            seen.insert(kind);
        }
    }
    let kinds = sallyport_api::crd::all().into_iter().map(|crd| crd.spec.names.kind).collect::<BTreeSet<_>>();
    assert_eq!(kinds.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn parse(kind: &str, object: &Value) -> Result<(), serde_json::Error> {
    match kind {
        "AccessPolicy" => AccessPolicy::deserialize(object).map(drop),
        "CertificateAuthority" => CertificateAuthority::deserialize(object).map(drop),
        "CustomerSite" => CustomerSite::deserialize(object).map(drop),
        "Device" => Device::deserialize(object).map(drop),
        "DmzRegion" => DmzRegion::deserialize(object).map(drop),
        "Namespace" => Ok(()),
        "TunnelCertificate" => TunnelCertificate::deserialize(object).map(drop),
        "TunnelEndpoint" => TunnelEndpoint::deserialize(object).map(drop),
        other => panic!("a sample of kind {other}, which nobody reads"),
    }
}

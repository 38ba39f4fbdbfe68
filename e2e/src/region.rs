//! One region for the end-to-end tests, made once and left to the next test: what a test changes, it changes in a site
//! of its own.

use std::time::Duration;

use sallyport_testkit::EngineersCa;

use crate::engineer::Engineer;
use crate::kubectl::{apply, get, kubectl, wait_condition};

/// Namespace of the region.
pub const NAMESPACE: &str = "e2e-dmz";
/// Namespace of the sites.
pub const SITES: &str = "e2e-sites";
/// Name of the region.
pub const NAME: &str = "test";
/// What agents dial.
pub const OUTER: &str = "test.dmz.sallyport.example";
/// What engineers dial.
pub const INNER: &str = "test.service.sallyport.example";

/// The region with an authority for engineers.
pub struct Region {
    engineers: EngineersCa,
    /// Address of a node.
    pub node: String,
    /// Node port of the outer door.
    pub outer: u16,
    /// Node port of the inner door.
    pub inner: u16,
}

impl Region {
    /// Makes it, or finds it, with a new authority for engineers, and waits until it is ready.
    pub fn ready() -> Self {
        let engineers = EngineersCa::new();
        let authorities = engineers.bundle().to_pem();
        let authorities: String = authorities.lines().map(|line| format!("    {line}\n")).collect();
        apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: engineers, namespace: {NAMESPACE} }}\ndata:\n  ca.crt: |\n{authorities}"
        ));
        apply(include_str!("../manifests/region.yaml"));
        wait_condition((NAMESPACE, "dmz", NAME), "Ready", "True", Duration::from_secs(120));
        let port = |door: &str| {
            let service = get(NAMESPACE, "service", &format!("{NAME}-{door}"));
            u16::try_from(service["spec"]["ports"][0]["nodePort"].as_u64().expect("a node port")).expect("a port")
        };
        let node = kubectl(&[
            "get",
            "nodes",
            "--output",
            "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}",
        ]);
        Self { engineers, node, outer: port("outer"), inner: port("inner") }
    }

    /// An engineer of these groups.
    pub fn engineer(&self, mail: &str, groups: &[&str]) -> Engineer {
        Engineer::new(self, &self.engineers.engineer(mail, groups))
    }

    /// An engineer whose connections all go to one gateway, past the balancer, which would spread them.
    pub fn engineer_at(&self, mail: &str, groups: &[&str], gateway: &str) -> Engineer {
        let address = get(NAMESPACE, "pod", gateway)["status"]["podIP"].as_str().expect("an address").to_owned();
        Engineer::at(self, &self.engineers.engineer(mail, groups), &format!("{address}:8444"))
    }

    /// The gateways' names.
    pub fn gateways(&self) -> Vec<String> {
        vec![format!("{NAME}-gateway-0"), format!("{NAME}-gateway-1")]
    }

    /// The region's trust bundle.
    pub fn trust(&self) -> String {
        get(NAMESPACE, "configmap", &format!("{NAME}-trust"))["data"]["ca.crt"].as_str().expect("a bundle").to_owned()
    }
}

//! Names of what a region and a certificate authority are made of, as `docs/design/contracts.md` promises them.

/// The StatefulSet, ServiceAccount, PodDisruptionBudget and NetworkPolicy of a region.
pub fn gateway(region: &str) -> String {
    format!("{region}-gateway")
}

/// One replica's pod.
pub fn pod(region: &str, ordinal: u8) -> String {
    format!("{region}-gateway-{ordinal}")
}

/// The headless Service.
pub fn headless(region: &str) -> String {
    format!("{region}-gateways")
}

/// The Service in front of the outer doors.
pub fn outer(region: &str) -> String {
    format!("{region}-outer")
}

/// The Service in front of the inner doors.
pub fn inner(region: &str) -> String {
    format!("{region}-inner")
}

/// The Secret with the bootstrap certificate.
pub fn bootstrap(region: &str) -> String {
    format!("{region}-gateway-bootstrap")
}

/// The ConfigMap with the trust bundle of a region.
pub fn trust(region: &str) -> String {
    format!("{region}-trust")
}

/// The Secret with the key that signs a region's archived checkpoints and exports.
pub fn audit_key(region: &str) -> String {
    format!("{region}-audit")
}

/// The Secret with the key of a certificate authority.
pub fn authority(name: &str) -> String {
    format!("{name}-ca")
}

/// The ConfigMap with the trust bundle of a certificate authority.
pub fn authority_trust(name: &str) -> String {
    format!("{name}-ca-trust")
}

/// The `ClusterTrustBundle` of a certificate authority. No signer is named in it, so its name has no colon.
pub fn cluster_trust_bundle(namespace: &str, name: &str) -> String {
    format!("sallyport.{namespace}.{name}")
}

/// The host name of the headless Service.
pub fn headless_host(region: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", headless(region))
}

/// The host name of one replica.
pub fn pod_host(pod: &str, region: &str, namespace: &str) -> String {
    format!("{pod}.{}", headless_host(region, namespace))
}

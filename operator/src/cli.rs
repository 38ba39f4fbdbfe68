//! Flags. Each can be given as an environment variable; `--help` shows which.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::audit::archive::{LocationError, LockWish, Wish};

/// Builds and keeps regions, their private CA and what their gateways enforce.
#[derive(Debug, Parser)]
#[command(name = "sallyport-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until it is told to stop.
    Run(Box<Run>),
    /// Print the version.
    Version,
}

/// Settings of a running operator.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Image of gateways of regions that name none. A region takes it when it is created and then keeps it.
    #[arg(long, env = "SALLYPORT_GATEWAY_IMAGE")]
    pub gateway_image: String,
    /// Namespaces in which it makes gateways and keeps keys. Default: its own.
    #[arg(long, alias = "namespaces-regions", env = "SALLYPORT_REGION_NAMESPACES", value_delimiter = ',')]
    pub region_namespaces: Vec<String>,
    /// Namespaces in which it writes the Secrets of TunnelCertificates, besides those of regions.
    #[arg(long, alias = "namespaces-sites", env = "SALLYPORT_SITE_NAMESPACES", value_delimiter = ',')]
    pub site_namespaces: Vec<String>,
    /// Namespace in which it runs; gateways accept its control stream from there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sallyport-system")]
    pub operator_namespace: String,
    /// Name by which it holds the lease.
    #[arg(long, env = "POD_NAME", default_value = "sallyport-operator")]
    pub pod_name: String,
    /// Namespace of Prometheus; gateways accept scrapes from there.
    #[arg(long, env = "SALLYPORT_MONITORING_NAMESPACE")]
    pub monitoring_namespace: Option<String>,
    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, env = "SALLYPORT_ADMIN_ADDRESS", default_value = "0.0.0.0:9464")]
    pub admin_address: SocketAddr,
    /// Lease that decides which replica works, in the operator's namespace.
    #[arg(long, env = "SALLYPORT_LEASE_NAME", default_value = "sallyport-operator")]
    pub lease_name: String,
    /// PKCS#11 module (a shared library) for keys of CAs that are kept in a token (spec.custody.pkcs11).
    #[arg(long, env = "SALLYPORT_PKCS11_MODULE")]
    pub pkcs11_module: Option<PathBuf>,
    /// Where audit records are kept: file:///PATH or s3://BUCKET/PREFIX (credentials and endpoint from the environment,
    /// AWS_*). Without one they stay on the gateways' volumes.
    #[arg(long, env = "SALLYPORT_ARCHIVE")]
    pub archive: Option<String>,
    /// Where persons' keys of audit records are kept; never under an Object Lock, because an erasure destroys them.
    /// Default: the archive itself, if that is file://; required for s3://.
    #[arg(long, env = "SALLYPORT_ARCHIVE_KEYS")]
    pub archive_keys: Option<String>,
    /// Take an s3:// archive that has no Object Lock in compliance mode with a default retention.
    #[arg(long, env = "SALLYPORT_ARCHIVE_WITHOUT_LOCK")]
    pub archive_without_lock: bool,
    /// Let sites' webhooks lead into private networks.
    #[arg(long, env = "SALLYPORT_WEBHOOK_PRIVATE_NETWORKS")]
    pub webhook_private_networks: bool,
    /// json or text.
    #[arg(long, env = "SALLYPORT_LOG_FORMAT", default_value = "json")]
    pub log_format: String,
    /// A level, or directives such as info,sallyport_operator=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,
}

impl Run {
    /// Namespaces in which it makes gateways and keeps keys.
    pub fn for_regions(&self) -> BTreeSet<String> {
        let named = named(&self.region_namespaces);
        if named.is_empty() { BTreeSet::from([self.operator_namespace.clone()]) } else { named }
    }

    /// Where audit records are kept; nothing without an archive.
    ///
    /// # Errors
    /// See [`LocationError`].
    pub fn archive(&self) -> Result<Option<Wish>, LocationError> {
        let lock = if self.archive_without_lock { LockWish::NotNeeded } else { LockWish::Required };
        Wish::of(self.archive.as_deref(), self.archive_keys.as_deref(), lock)
    }

    /// Namespaces in which it writes Secrets.
    pub fn for_secrets(&self) -> BTreeSet<String> {
        let mut all = self.for_regions();
        all.extend(named(&self.site_namespaces));
        all
    }
}

/// A chart writes an empty list as an empty value.
fn named(namespaces: &[String]) -> BTreeSet<String> {
    namespaces.iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_consistent_and_empty_lists_mean_the_default() {
        Cli::command().debug_assert();
        let args = [
            "x",
            "run",
            "--gateway-image=g",
            "--region-namespaces=",
            "--site-namespaces=a,b",
            "--operator-namespace=o",
        ];
        let Command::Run(run) = Cli::parse_from(args).command else { panic!("not run") };
        assert_eq!(run.for_regions(), BTreeSet::from(["o".to_owned()]));
        assert_eq!(run.for_secrets().into_iter().collect::<Vec<_>>(), ["a", "b", "o"]);
    }
}

//! `certificate revoke`.

use std::time::Duration;

use sallyport_api::TunnelCertificate;
use sallyport_api::common::Enforcement;
use sallyport_api::tunnel_certificate::{RevocationReason, Revoked};
use serde_json::json;

use super::client::Cluster;
use super::wait::{self, Awaited};
use crate::failure::Failure;
use crate::output::{self, Output};

const MANAGER: &str = "sallyportctl-revoke";

pub(crate) async fn run(
    cluster: &Cluster,
    name: &str,
    reason: RevocationReason,
    note: Option<String>,
    within: Option<Duration>,
    output: &Output,
) -> Result<(), Failure> {
    let namespace = cluster.namespace.as_str();
    let read: TunnelCertificate = cluster.get(namespace, name).await?;
    if read.spec.revoked.is_some() {
        output::say(&format!("note: TunnelCertificate {namespace}/{name} was revoked before; its reason is replaced"));
    }
    let revoked = Revoked { reason, note };
    let written: TunnelCertificate = cluster.apply(MANAGER, &read, &json!({ "revoked": revoked })).await?;
    let mut answer = json!({ "certificate": format!("{namespace}/{name}"), "revoked": revoked });
    let Some(within) = within else {
        return output
            .answer(&answer, || format!("TunnelCertificate {namespace}/{name} is revoked; its tunnels are being cut"));
    };
    if written.status.as_ref().is_none_or(|status| status.serial.is_none() && status.earlier.is_empty()) {
        output::say("note: nothing was ever issued for it, as far as its status says");
    }
    let awaited = Awaited { namespace, name, within };
    let see = |seen: &TunnelCertificate| {
        Ok(enforced(seen.status.as_ref().and_then(|status| status.revocation.as_ref())).cloned())
    };
    let state = || "a gateway has not said that it cut (status.revocation.enforced is missing)".to_owned();
    let enforcement = wait::until(cluster, awaited, see, state).await?;
    answer["revocation"] = json!(enforcement);
    output.answer(&answer, || {
        format!("TunnelCertificate {namespace}/{name} is revoked; every gateway had cut {}", measured(&enforcement))
    })
}

/// Once the last gateway had cut.
pub(crate) fn enforced(enforcement: Option<&Enforcement>) -> Option<&Enforcement> {
    enforcement.filter(|enforcement| enforcement.enforced.is_some())
}

/// The operator's measurement, in words.
pub(crate) fn measured(enforcement: &Enforcement) -> String {
    let at = enforcement.enforced.as_deref().map(super::authority::text::time).unwrap_or_default();
    match enforcement.milliseconds {
        Some(milliseconds) => format!("{milliseconds} ms after the operator saw it, at {at}"),
        None => format!("at {at}"),
    }
}

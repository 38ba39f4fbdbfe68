//! `suspend` and `resume`: the field `spec.suspended` of a site or a device.

use kube::ResourceExt as _;
use sallyport_api::common::condition::SUSPENDED;
use sallyport_api::common::{Condition, Enforcement};
use sallyport_api::{CustomerSite, Device};
use serde_json::json;

use super::client::{Cluster, Kind};
use super::owned;
use super::revoke::{enforced, measured};
use super::wait::{self, Awaited};
use crate::cli::platform::{Target, TargetKind};
use crate::failure::Failure;
use crate::output::{self, Output};

const MANAGER: &str = "sallyportctl-suspend";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Allowed,
    Suspended,
}

pub(crate) async fn run(cluster: &Cluster, target: &Target, access: Access, output: &Output) -> Result<(), Failure> {
    match target.kind {
        TargetKind::Device => change::<Device>(cluster, target, access, output).await,
        TargetKind::Site => change::<CustomerSite>(cluster, target, access, output).await,
    }
}

async fn change<K: Suspendable>(
    cluster: &Cluster,
    target: &Target,
    access: Access,
    output: &Output,
) -> Result<(), Failure> {
    let (namespace, name) = (cluster.namespace.as_str(), target.name.as_str());
    let object = format!("{} {namespace}/{name}", K::kind(&()));
    let read: K = cluster.get(namespace, name).await?;
    let written: K = cluster.apply(MANAGER, &read, &json!({ "suspended": access == Access::Suspended })).await?;
    let others = owned::others(written.managed_fields(), MANAGER, "suspended");
    if !others.is_empty() {
        output::say(&format!(
            "note: {} wrote spec.suspended of {object} too and may take this back",
            others.join(", ")
        ));
    }
    let mut answer = json!({ "object": object, "suspended": access == Access::Suspended });
    let Some(within) = target.wait.within() else {
        return output.answer(&answer, || match access {
            Access::Allowed => format!("{object} is resumed"),
            Access::Suspended => format!("{object} is suspended; its tunnels and sessions are being cut"),
        });
    };
    let generation = written.meta().generation;
    let see = |seen: &K| {
        let fresh = seen.observed() >= generation;
        Ok(match access {
            _ if !fresh => None,
            Access::Suspended => enforced(seen.suspension()).map(|enforcement| Some(enforcement.clone())),
            Access::Allowed => (!seen.is_suspended()).then_some(None),
        })
    };
    let state = || match access {
        Access::Allowed => "the operator has not looked at it (status.observedGeneration)".to_owned(),
        Access::Suspended => "a gateway has not said that it cut (status.suspension.enforced is missing)".to_owned(),
    };
    let enforcement = wait::until(cluster, Awaited { namespace, name, within }, see, state).await?;
    answer["suspension"] = json!(enforcement);
    output.answer(&answer, || match &enforcement {
        Some(enforcement) => format!("{object} is suspended; every gateway had cut {}", measured(enforcement)),
        None => format!("{object} is resumed, and the operator has seen it"),
    })
}

/// A kind with the field.
trait Suspendable: Kind {
    /// The generation that its status speaks about.
    fn observed(&self) -> Option<i64>;
    fn suspension(&self) -> Option<&Enforcement>;
    fn conditions(&self) -> &[Condition];

    fn is_suspended(&self) -> bool {
        self.conditions().iter().any(|condition| condition.type_ == SUSPENDED && condition.status == "True")
    }
}

impl Suspendable for CustomerSite {
    fn observed(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn suspension(&self) -> Option<&Enforcement> {
        self.status.as_ref()?.suspension.as_ref()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Suspendable for Device {
    fn observed(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn suspension(&self) -> Option<&Enforcement> {
        self.status.as_ref()?.suspension.as_ref()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

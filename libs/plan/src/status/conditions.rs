//! Conditions, the same way on every kind: `Ready` always; `Reconciling` or `Stalled` only while true, as kstatus
//! wants; others as the kind says.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sallyport_api::common::{Condition, condition};

use crate::enforcement::Progress;
use crate::problem::Problem;
use crate::tunnels_cut;

/// The longest message the API server takes in a condition.
const MAX_MESSAGE: usize = 32_768 / 8;

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does what its spec asks for.
    Ready,
    /// It will without anybody's doing.
    Reconciling,
    /// It will not until somebody changes something.
    Stalled,
}

/// How an object stands, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How.
    pub standing: Standing,
    /// CamelCase, of a closed set.
    pub reason: &'static str,
    /// For a person: what is missing and what to do.
    pub message: String,
}

impl Verdict {
    /// From its parts.
    pub fn new(standing: Standing, reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing, reason, message: message.into() }
    }
}

impl From<&Problem> for Verdict {
    fn from(problem: &Problem) -> Self {
        Self::new(Standing::Stalled, problem.reason(), problem.to_string())
    }
}

/// An object with a finalizer that waits, or not, or has a problem, or is fine.
pub(super) fn leaving_or<T>(
    leaving: Option<&tunnels_cut::Decision>,
    judged: &Result<T, Problem>,
    fine: impl FnOnce(&T) -> Verdict,
) -> Verdict {
    match (leaving, judged) {
        (Some(decision), _) => Verdict::new(Standing::Reconciling, "CuttingTunnels", decision.message()),
        (None, Err(problem)) => problem.into(),
        (None, Ok(judged)) => fine(judged),
    }
}

/// A condition beside the ones every kind has.
pub(super) struct More {
    pub(super) type_: &'static str,
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The condition `Suspended`: true only once it is enforced, so that whoever waits for it may rely on it.
pub(super) fn suspended(progress: Option<&Progress>, cut: &str) -> More {
    let (holds, reason, message) = match progress {
        None => (false, "NotSuspended", "spec.suspended is false".to_owned()),
        Some(Progress { waits_for: Some(waits_for), .. }) => (false, "Enforcing", waits_for.clone()),
        Some(Progress { waits_for: None, .. }) => (true, "Suspended", cut.to_owned()),
    };
    More { type_: condition::SUSPENDED, holds, reason, message }
}

/// The conditions of an object, sorted by type. A transition time is kept for as long as the status stays.
pub(super) fn conditions(
    old: &[Condition],
    verdict: &Verdict,
    more: Vec<More>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let holds = |holds| if holds { "True" } else { "False" };
    let mut wanted =
        vec![(condition::READY, verdict.standing == Standing::Ready, verdict.reason, verdict.message.clone())];
    match verdict.standing {
        Standing::Ready => {}
        Standing::Reconciling => wanted.push((condition::RECONCILING, true, verdict.reason, verdict.message.clone())),
        Standing::Stalled => wanted.push((condition::STALLED, true, verdict.reason, verdict.message.clone())),
    }
    wanted.extend(more.into_iter().map(|m| (m.type_, m.holds, m.reason, m.message)));
    wanted.sort_by_key(|(type_, ..)| *type_);
    wanted
        .into_iter()
        .map(|(type_, is, reason, message)| {
            let before = old.iter().find(|c| c.type_ == type_ && c.status == holds(is));
            Condition {
                type_: type_.to_owned(),
                status: holds(is).to_owned(),
                reason: reason.to_owned(),
                message: message.chars().take(MAX_MESSAGE).collect(),
                observed_generation: generation,
                last_transition_time: before
                    .map_or_else(|| Time(whole_second(now)), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A status with conditions.
pub trait Conditioned {
    /// Its conditions.
    fn conditions(&self) -> &[Condition];
}

macro_rules! conditioned {
    ($($status:ty),+ $(,)?) => {$(
        impl Conditioned for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }
    )+};
}

conditioned!(
    sallyport_api::access_policy::AccessPolicyStatus,
    sallyport_api::certificate_authority::CertificateAuthorityStatus,
    sallyport_api::customer_site::CustomerSiteStatus,
    sallyport_api::device::DeviceStatus,
    sallyport_api::dmz_region::DmzRegionStatus,
    sallyport_api::tunnel_certificate::TunnelCertificateStatus,
    sallyport_api::tunnel_endpoint::TunnelEndpointStatus,
);

/// Whether the status must be written.
pub fn needs_write<S: PartialEq>(old: Option<&S>, new: &S) -> bool {
    old != Some(new)
}

/// Whether another operator speaks for an object that this one may not handle: two releases with namespaces of their own
/// must not write over each other for ever.
pub fn is_anothers<S: Conditioned>(old: Option<&S>) -> bool {
    let ready = old.and_then(|old| old.conditions().iter().find(|c| c.type_ == condition::READY));
    ready.is_some_and(|ready| ready.reason != super::trouble::NAMESPACE_NOT_PERMITTED)
}

/// The new `Ready` condition, if it is another than before: worth an Event.
pub fn ready_changed<'a, S: Conditioned>(old: Option<&S>, new: &'a S) -> Option<&'a Condition> {
    let ready = new.conditions().iter().find(|c| c.type_ == condition::READY)?;
    let before = old.and_then(|old| old.conditions().iter().find(|c| c.type_ == condition::READY));
    let same = before.is_some_and(|b| b.status == ready.status && b.reason == ready.reason);
    (!same).then_some(ready)
}

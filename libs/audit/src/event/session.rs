//! Sessions: what was asked, decided, begun and ended (R40, R47, R94, R95, R100).

use sallyport_core::access::Denied;
use sallyport_core::engineer::Reason;
use sallyport_core::name::{DeviceId, EndpointId, Name, PolicyId, SiteId};
use sallyport_core::session::EndReason;

use super::kind::{kind, words};
use crate::text::Text;

kind! {
    /// An engineer was refused (R100).
    SessionDenied<P> {
        /// Who asked.
        by: P,
        /// Whose device; absent when this region has no such device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// For which device.
        device: DeviceId,
        /// For which of its services.
        service: Name,
        /// For which incident, as the engineer says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Reason>,
        /// Why not.
        reason: Denial,
    }
}

kind! {
    /// No byte passes any more (R40, R47).
    SessionEnded {
        /// Which session.
        session: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which of its services.
        service: Name,
        /// Why.
        reason: EndReason,
        /// What the decision says now, when it was withdrawn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        denial: Option<Denial>,
        /// What was seen, where the reason does not say it all. Names no person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Text>,
        /// From the device to the engineer.
        bytes_in: u64,
        /// From the engineer to the device.
        bytes_out: u64,
        /// Whether both legs were seen closed with no byte after the end (NIST SP 800-53 MA-4(7)).
        verified: bool,
    }
}

kind! {
    /// An engineer asked, and somebody at the site must say yes before anything begins (R44, R45).
    SessionRequested<P> {
        /// Who asks, and why.
        by: P,
        /// Which session it would be.
        session: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which of its services.
        service: Name,
        /// For which incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Reason>,
    }
}

kind! {
    /// A session may pass bytes once this record is durable, never before (invariant I3; R40, R94, R95, R100).
    SessionStarted<P> {
        /// Who, with the groups that may have decided, and why, as the customer reads it.
        by: P,
        /// Its id.
        session: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which of its services.
        service: Name,
        /// Through which endpoint.
        endpoint: EndpointId,
        /// Which policy allowed it.
        policy: PolicyId,
        /// For which incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Reason>,
        /// By which approval, where one was needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Text>,
        /// How long it may be, in seconds.
        max_seconds: u64,
    }
}

kind! {
    /// Nobody at the site answered in time, so the request is over (R45).
    SessionUnanswered {
        /// Which session it would have been.
        session: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which of its services.
        service: Name,
        /// For how long it was waited, in seconds.
        waited_seconds: u64,
    }
}

words! {
    /// Why a session was denied: the label of [`Denied`], without its text, which names people.
    Denial {
        /// R45, R48: somebody at the site would have to say yes.
        ApprovalRequired,
        /// The engineer's certificate ended.
        CertificateExpired,
        /// R139: the device is suspended.
        DeviceSuspended,
        /// R92: no policy names the engineer for this device.
        NoPolicyForDevice,
        /// R92: no policy names the engineer at all.
        NoPolicyForEngineer,
        /// R93: policies name the engineer and the device, but not this service.
        NoPolicyForService,
        /// R139: suspended by the vendor or the customer.
        SiteSuspended,
        /// No such device in this region's configuration.
        UnknownDevice,
        /// The device declares no such service.
        UnknownService,
    }
}

impl From<&Denied> for Denial {
    fn from(denied: &Denied) -> Self {
        match denied {
            Denied::ApprovalRequired { .. } => Self::ApprovalRequired,
            Denied::CertificateExpired { .. } => Self::CertificateExpired,
            Denied::DeviceSuspended { .. } => Self::DeviceSuspended,
            Denied::NoPolicyForDevice { .. } => Self::NoPolicyForDevice,
            Denied::NoPolicyForEngineer { .. } => Self::NoPolicyForEngineer,
            Denied::NoPolicyForService { .. } => Self::NoPolicyForService,
            Denied::SiteSuspended { .. } => Self::SiteSuspended,
            Denied::UnknownDevice { .. } => Self::UnknownDevice,
            Denied::UnknownService { .. } => Self::UnknownService,
        }
    }
}

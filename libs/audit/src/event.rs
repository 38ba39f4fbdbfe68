//! What is recorded. Closed: a reader knows every kind there is. Kinds that later parts make (approvals, transfers,
//! mail) stand here already, so that a log, an export and their readers need not change with them.
//!
//! `P` is how the event's person stands in it: [`crate::Person`] where it is made, [`crate::Sealed`] in a log,
//! [`crate::Shown`] for a reader. Each kind has at most one.

mod administration;
mod approval;
mod audit;
mod certificate;
mod configuration;
mod gateway;
mod kind;
mod mail;
mod session;
mod transfer;
mod tunnel;

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::scope::Scope;

pub use administration::*;
pub use approval::*;
pub use audit::*;
pub use certificate::*;
pub use configuration::*;
pub use gateway::*;
pub use mail::*;
pub use session::*;
pub use transfer::*;
pub use tunnel::*;

/// In which log a kind stands: `region`, `site` (it always has one), `either` (where a site is known, it is the site's).
macro_rules! scope {
    (region $event:ident) => {{
        let _ = $event;
        Scope::Region
    }};
    (site $event:ident) => {
        Scope::Site($event.site.clone())
    };
    (either $event:ident) => {
        $event.site.clone().map_or(Scope::Region, Scope::Site)
    };
}

/// The table of all kinds: struct, word, log. What is made of it has one arm for each, and no other.
macro_rules! events {
    ($($kind:ident$(<$person:ident>)? $word:literal $scope:ident;)+) => {
        /// Something that happened.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[allow(clippy::large_enum_variant, reason = "held one at a time, on its way to a log or to a reader")]
        pub enum Event<P> {
            $(
                #[doc = concat!("See [`", stringify!($kind), "`].")]
                #[serde(rename = $word)]
                $kind($kind$(<$person>)?),
            )+
        }

        /// The words of all kinds, as [`Event::label`] says them.
        pub const KINDS: &[&str] = &[$($word),+];

        impl<P> Event<P> {
            /// The kind as written, for logs and filters.
            pub fn label(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $word,)+
                }
            }

            /// The log to which it belongs: a site's where it concerns one, else the region's.
            pub fn scope(&self) -> Scope {
                match self {
                    $(Self::$kind(event) => scope!($scope event),)+
                }
            }

            /// Its person, if it has one.
            pub fn person(&self) -> Option<&P> {
                match self {
                    $(Self::$kind(event) => event.person(),)+
                }
            }

            /// The same event with its person in another form.
            ///
            /// # Errors
            /// What `map` says.
            pub fn try_map<Q, E>(self, map: impl FnOnce(P) -> Result<Q, E>) -> Result<Event<Q>, E> {
                match self {
                    $(Self::$kind(event) => event.try_map(map).map(Event::$kind),)+
                }
            }
        }
    };
}

events! {
    AdministratorActed<P> "administratorActed" either;
    ApprovalAsked<P> "approvalAsked" site;
    ApprovalGiven<P> "approvalGiven" site;
    ApprovalRefused<P> "approvalRefused" site;
    ApprovalTimedOut "approvalTimedOut" site;
    ApprovalWithdrawn<P> "approvalWithdrawn" site;
    AuditDeleted "auditDeleted" either;
    AuditErased "auditErased" either;
    AuditExported<P> "auditExported" either;
    AuditRead<P> "auditRead" either;
    AuditRefused<P> "auditRefused" either;
    CapacityAlarm "capacityAlarm" region;
    CertificateRevoked "certificateRevoked" either;
    ClockStepped "clockStepped" region;
    CloneSeen "cloneSeen" site;
    CodeRefused<P> "codeRefused" site;
    CodeShown<P> "codeShown" site;
    CodeUsed<P> "codeUsed" site;
    ConfigurationApplied "configurationApplied" region;
    DeviceResumed "deviceResumed" site;
    DeviceSuspended "deviceSuspended" site;
    Enrolled "enrolled" either;
    EnrolmentRefused "enrolmentRefused" either;
    GatewayStarted "gatewayStarted" region;
    GatewayStopped "gatewayStopped" region;
    IncarnationBegan "incarnationBegan" region;
    LevelChanged<P> "levelChanged" site;
    LogDegraded "logDegraded" region;
    LogRecovered "logRecovered" region;
    LogSealed "logSealed" region;
    LogSetAside "logSetAside" region;
    MailAccepted<P> "mailAccepted" site;
    MailDelivered "mailDelivered" site;
    MailFailed "mailFailed" site;
    MailRefused<P> "mailRefused" site;
    Renewed "renewed" either;
    SessionDenied<P> "sessionDenied" either;
    SessionEnded "sessionEnded" site;
    SessionRequested<P> "sessionRequested" site;
    SessionStarted<P> "sessionStarted" site;
    SessionUnanswered "sessionUnanswered" site;
    SiteConfigured "siteConfigured" site;
    SiteResumed "siteResumed" site;
    SiteSuspended "siteSuspended" site;
    TransferEnded "transferEnded" site;
    TransferRefused<P> "transferRefused" site;
    TransferStarted<P> "transferStarted" site;
    TrustApplied "trustApplied" region;
    TunnelDown "tunnelDown" either;
    TunnelRefused "tunnelRefused" either;
    TunnelRenewed "tunnelRenewed" either;
    TunnelUp "tunnelUp" either;
}

impl<P> Event<P> {
    /// The same event with its person in another form.
    pub fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Event<Q> {
        match self.try_map(|person| Ok::<_, Infallible>(map(person))) {
            Ok(event) => event,
            Err(never) => match never {},
        }
    }
}

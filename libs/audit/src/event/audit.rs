//! What was done with the records themselves: reading, exporting, erasing, deleting (R96, R97). A reading is recorded
//! before it is answered, in the log of the site that was read.

use jiff::Timestamp;
use sallyport_core::name::{DeviceId, EndpointId, SiteId};

use super::kind::{kind, words};
use crate::hex::Subject;
use crate::scope::Origin;
use crate::text::Text;

kind! {
    /// Records were deleted after their time (R96). Their hashes stay.
    AuditDeleted {
        /// Whose records; absent for a region's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Of which log.
        log: Origin,
        /// Index of the first.
        first: u64,
        /// Index of the last.
        last: u64,
        /// By which law or contract they were kept so long and no longer.
        basis: Text,
    }
}

kind! {
    /// A person's keys were destroyed.
    AuditErased {
        /// Whose records; absent for the whole region.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// Whose keys.
        subject: Subject,
        /// By which law or contract.
        basis: Text,
        /// How many keys.
        keys: u64,
    }
}

kind! {
    /// Records left as an export (R97).
    AuditExported<P> {
        /// To whom; absent when a site asked for its own, see `endpoint`.
        by: Option<P>,
        /// Whose records; absent for a region's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// The site's endpoint that asked at the outer door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<EndpointId>,
        /// From when.
        first: Timestamp,
        /// Until when.
        last: Timestamp,
    }
}

kind! {
    /// Records were read (R97).
    AuditRead<P> {
        /// By whom; absent when a site read its own, see `endpoint`.
        by: Option<P>,
        /// Whose records; absent for a region's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// The site's endpoint that asked at the outer door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<EndpointId>,
        /// From when.
        first: Timestamp,
        /// Until when.
        last: Timestamp,
        /// Of which engineer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engineer: Option<Subject>,
        /// Of which device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// Of which incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Text>,
    }
}

kind! {
    /// Somebody wanted to read records and may not.
    AuditRefused<P> {
        /// Who; absent when it was a site, see `endpoint`.
        by: Option<P>,
        /// Whose records; absent for a region's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// The endpoint that asked at the outer door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<EndpointId>,
        /// Why not.
        reason: ReadRefusal,
    }
}

words! {
    /// Why records were not shown.
    ReadRefusal {
        /// The certificate ended.
        CertificateExpired,
        /// The region names neither them nor a group of theirs.
        NotAnAuditor,
        /// An endpoint asked for what is not its site's.
        NotItsSite,
    }
}

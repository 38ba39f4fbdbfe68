//! File transfers between a site and the vendor (R47, R83, R84, R116, R120). What is in a file is never recorded.

use sallyport_core::engineer::Reason;
use sallyport_core::name::{DeviceId, SiteId};

use super::kind::{kind, words};
use crate::hex::Digest;
use crate::text::Text;

kind! {
    /// A transfer is over (R47).
    TransferEnded {
        /// Which.
        transfer: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which way.
        direction: Direction,
        /// What kind of data (R120).
        class: DataClass,
        /// How it ended.
        outcome: Outcome,
        /// Bytes that were carried.
        bytes: u64,
        /// SHA-256 of the whole file; absent when it did not come whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Digest>,
    }
}

kind! {
    /// A transfer was asked for and not allowed.
    TransferRefused<P> {
        /// Who asked.
        by: P,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which way.
        direction: Direction,
        /// What kind of data (R120).
        class: DataClass,
        /// Why not.
        reason: TransferRefusal,
    }
}

kind! {
    /// A transfer may carry bytes once this record is durable (R47; R83 for the head office; R84, R116 for patient data).
    TransferStarted<P> {
        /// Who, and why.
        by: P,
        /// Its id.
        transfer: Text,
        /// In which session; absent for one without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Text>,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Which way.
        direction: Direction,
        /// What kind of data (R120).
        class: DataClass,
        /// For which incident.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<Reason>,
        /// By which approval, where one was needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<Text>,
    }
}

words! {
    /// What kind of data a transfer carries: the five classes of R120, and patient data (R84), which needs a consent of
    /// its own (R116). The class is recorded, the data never.
    DataClass {
        /// Anything else that was expressly agreed.
        Agreed,
        /// Configuration, versions, licences, network, service history.
        Configuration,
        /// Reagents and consumables.
        Consumables,
        /// Data of patients.
        PatientData,
        /// Status, logs, quality control.
        Status,
        /// Usage.
        Usage,
    }
}

words! {
    /// Which way a file goes.
    Direction {
        /// From the device to the vendor.
        FromDevice,
        /// From the vendor on to the head office (R83).
        ToHeadOffice,
        /// From the vendor to the device.
        ToDevice,
    }
}

words! {
    /// How a transfer ended.
    Outcome {
        /// Ended before it was whole.
        Aborted,
        /// Whole.
        Completed,
        /// What came was not what was announced.
        DigestMismatch,
    }
}

words! {
    /// Why a transfer was refused.
    TransferRefusal {
        /// R116: nobody consented to patient data.
        ConsentMissing,
        /// The policy does not allow this class of data.
        ClassNotAllowed,
        /// The policy does not allow this direction.
        DirectionNotAllowed,
        /// Somebody at the site said no.
        RefusedBySite,
        /// It is larger than allowed.
        TooLarge,
    }
}

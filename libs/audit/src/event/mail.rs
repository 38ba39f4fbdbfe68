//! Mail from devices, one way (invariant I11). The domain of a recipient stands in the clear, the address is personal.
//! One record for each recipient. Nothing of a mail's subject or body is recorded.

use sallyport_core::name::{DeviceId, SiteId};

use super::kind::{kind, words};
use crate::text::Text;

kind! {
    /// A mail was taken from a device and will be delivered.
    MailAccepted<P> {
        /// The recipient; the address is the user id.
        to: P,
        /// Its id.
        mail: Text,
        /// Whose device.
        site: SiteId,
        /// From which device.
        device: DeviceId,
        /// The recipient's domain.
        domain: Text,
        /// Its size.
        bytes: u64,
    }
}

kind! {
    /// The recipient's server has it.
    MailDelivered {
        /// Which mail.
        mail: Text,
        /// Whose device.
        site: SiteId,
        /// The recipient's domain.
        domain: Text,
        /// Tries that it took.
        tries: u32,
    }
}

kind! {
    /// It was given up.
    MailFailed {
        /// Which mail.
        mail: Text,
        /// Whose device.
        site: SiteId,
        /// The recipient's domain.
        domain: Text,
        /// Tries that were made.
        tries: u32,
        /// The last answer's code (RFC 5321); absent when nothing answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    }
}

kind! {
    /// A mail was not taken.
    MailRefused<P> {
        /// The recipient; absent when there was none that could be read.
        to: Option<P>,
        /// Whose device.
        site: SiteId,
        /// From which device; absent when the sender is no known device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// The recipient's domain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        domain: Option<Text>,
        /// Why not.
        reason: MailRefusal,
    }
}

words! {
    /// Why a mail was refused.
    MailRefusal {
        /// It is no mail.
        Malformed,
        /// The whitelist does not name the recipient.
        RecipientNotAllowed,
        /// The whitelist does not name the sender.
        SenderNotAllowed,
        /// The site or the device is suspended.
        Suspended,
        /// It is larger than allowed.
        TooLarge,
        /// More than allowed in this time.
        TooMany,
    }
}

//! What people at the site allow: approvals, access levels and one-time codes (R11, R14-R19, R45, R48, R116).

use jiff::Timestamp;
use sallyport_core::level::AccessLevel;
use sallyport_core::name::{DeviceId, SiteId};

use super::kind::{kind, words};
use crate::text::Text;

kind! {
    /// The site is asked for an approval (R45, R48; R116 for patient data).
    ApprovalAsked<P> {
        /// Who wants it, and why.
        by: P,
        /// Its id.
        approval: Text,
        /// Who is asked.
        site: SiteId,
        /// For which device.
        device: DeviceId,
        /// For what.
        purpose: Purpose,
        /// For which session or transfer.
        subject: Text,
        /// Until when it can be answered.
        until: Timestamp,
    }
}

kind! {
    /// Somebody at the site said yes.
    ApprovalGiven<P> {
        /// Who.
        by: P,
        /// Which.
        approval: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// For what.
        purpose: Purpose,
        /// How they said it.
        means: Means,
    }
}

kind! {
    /// Somebody at the site said no.
    ApprovalRefused<P> {
        /// Who.
        by: P,
        /// Which.
        approval: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// For what.
        purpose: Purpose,
    }
}

kind! {
    /// Nobody answered in time.
    ApprovalTimedOut {
        /// Which.
        approval: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// For what.
        purpose: Purpose,
    }
}

kind! {
    /// An approval that was given counts no more.
    ApprovalWithdrawn<P> {
        /// By whom; absent when the request was taken back or its session ended.
        by: Option<P>,
        /// Which.
        approval: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// For what.
        purpose: Purpose,
    }
}

kind! {
    /// A one-time code was wrong, old or used before.
    CodeRefused<P> {
        /// Who gave it.
        by: P,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// What was wrong.
        reason: CodeProblem,
    }
}

kind! {
    /// A one-time code was shown to somebody at the site. The code itself is not recorded.
    CodeShown<P> {
        /// To whom.
        by: P,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
        /// Until when it can be used.
        until: Timestamp,
    }
}

kind! {
    /// A one-time code was used: it counts as the site's approval.
    CodeUsed<P> {
        /// By whom.
        by: P,
        /// Which approval came of it.
        approval: Text,
        /// Whose device.
        site: SiteId,
        /// Which device.
        device: DeviceId,
    }
}

kind! {
    /// The customer allows more or less without being asked (R11, R14-R19).
    LevelChanged<P> {
        /// By whom; absent when it came with the configuration or ran out.
        by: Option<P>,
        /// Of which site.
        site: SiteId,
        /// Of which device; absent for the whole site.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// What it was.
        before: AccessLevel,
        /// What it is.
        after: AccessLevel,
        /// When it falls back; absent when it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    }
}

words! {
    /// What a one-time code can have against it.
    CodeProblem {
        /// Its time was over.
        Expired,
        /// It was used before.
        Used,
        /// No such code.
        Wrong,
    }
}

words! {
    /// How an approval was given.
    Means {
        /// Through a one-time code that the engineer was told.
        Code,
        /// At the site console.
        Console,
    }
}

words! {
    /// What an approval is for.
    Purpose {
        /// R116: patient data, in a second consent of its own.
        PatientData,
        /// A session.
        Session,
        /// A file transfer.
        Transfer,
    }
}

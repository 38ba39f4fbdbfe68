//! Acts of administrators on the audit itself, as the operator saw them in objects (R96, R97).

use sallyport_core::name::{Name, SiteId};
use serde::{Deserialize, Serialize};

use super::kind::kind;
use crate::hex::{Incarnation, Subject};
use crate::text::Text;

kind! {
    /// An administrator did something that concerns the records.
    AdministratorActed<P> {
        /// Who; absent when the object does not tell.
        by: Option<P>,
        /// Whose records; absent for the whole region.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<SiteId>,
        /// What.
        act: Act,
    }
}

/// What administrators can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Act {
    /// Who may read the records was changed.
    AuditorsChanged {
        /// Users named now.
        users: u64,
        /// Groups named now.
        groups: u64,
    },
    /// A log is not collected any more, because what came did not fit what is archived.
    CollectionRefused {
        /// Of which gateway.
        gateway: Name,
        /// Which of its incarnations.
        incarnation: Incarnation,
        /// What did not fit.
        why: Text,
    },
    /// Somebody wants a person's data erased.
    EraseRequested {
        /// Whose.
        subject: Subject,
        /// By which law or contract.
        basis: Text,
    },
    /// A person looked at a fork and lets collection go on.
    ForkAccepted {
        /// Of which gateway.
        gateway: Name,
        /// Which of its incarnations.
        incarnation: Incarnation,
    },
    /// Deletion goes on.
    HoldReleased {
        /// Why.
        basis: Text,
    },
    /// Deletion is suspended.
    HoldSet {
        /// Why.
        basis: Text,
    },
    /// Records are kept longer or shorter (R96).
    RetentionChanged {
        /// Days before.
        before_days: u32,
        /// Days from now on.
        after_days: u32,
        /// By which law or contract.
        basis: Text,
    },
}

//! What keeps the operator from doing what a spec asks for, apart from the spec's own problems. One variant per cause,
//! each with its remedy.

use crate::catalogue::ObjectKey;
use crate::problem::Problem;
use crate::status::{Standing, Verdict};

/// The reason of an object in a namespace that the operator may not handle.
pub(super) const NAMESPACE_NOT_PERMITTED: &str = "NamespaceNotPermitted";

/// What keeps the operator from doing its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The API server refused a request for another reason than a missing right.
    #[error("{what}: {why}")]
    Api {
        /// What was tried.
        what: String,
        /// What the API server said.
        why: String,
    },
    /// The key in the Secret is not what status remembers, or cannot be read.
    #[error(
        "Secret {0} holds no usable key of this authority; restore it from the backup, the operator never makes a second root"
    )]
    AuthorityDamaged(ObjectKey),
    /// The CA certificate has ended.
    #[error("the CA certificate ended at {0}; nothing can be issued any more")]
    AuthorityExpired(jiff::Timestamp),
    /// The Secret with the key is gone.
    #[error(
        "Secret {0}, which held the key that every site trusts, is gone; restore it from the backup, the operator never makes a second root"
    )]
    AuthorityLost(ObjectKey),
    /// The certificate authority does not exist.
    #[error("spec.certificateAuthorityRef: CertificateAuthority {0} does not exist; create it or correct the name")]
    AuthorityMissing(ObjectKey),
    /// The certificate authority cannot sign.
    #[error("CertificateAuthority {0} is not ready; see its conditions")]
    AuthorityNotReady(ObjectKey),
    /// Objects of the wanted names exist and are not the operator's.
    #[error("{0} exists and was not made by the operator; it is left as it is: delete or rename it")]
    ForeignObject(String),
    /// No certificate can be issued.
    #[error("no certificate can be issued: {0}")]
    Issue(String),
    /// The namespace is none in which the operator may keep regions or authorities.
    #[error(
        "namespace {0:?} is not among those in which the operator may make gateways and keep keys; add it to the chart's value namespaces.regions"
    )]
    NamespaceNotForRegions(String),
    /// The namespace is none in which the operator may write Secrets.
    #[error(
        "namespace {0:?} is not among those in which the operator may write Secrets; add it to the chart's value namespaces.sites"
    )]
    NamespaceNotForSites(String),
    /// The API server refused a request because of a missing right.
    #[error("{what}: the operator's ServiceAccount may not ({why}); add the right, or update the chart")]
    NotPermitted {
        /// What was tried.
        what: String,
        /// What the API server said.
        why: String,
    },
    /// A referenced object, or the spec itself, has a problem.
    #[error(transparent)]
    Spec(#[from] Problem),
    /// The operator has just begun.
    #[error("the operator is reading {0}")]
    Starting(String),
}

impl Trouble {
    /// The reason of the condition; a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { .. } => "ApiError",
            Self::AuthorityDamaged(_) => "AuthorityDamaged",
            Self::AuthorityExpired(_) => "AuthorityExpired",
            Self::AuthorityLost(_) => "AuthorityLost",
            Self::AuthorityMissing(_) => "AuthorityNotFound",
            Self::AuthorityNotReady(_) => "AuthorityNotReady",
            Self::ForeignObject(_) => "ForeignObject",
            Self::Issue(_) => "IssueFailed",
            Self::NamespaceNotForRegions(_) | Self::NamespaceNotForSites(_) => NAMESPACE_NOT_PERMITTED,
            Self::NotPermitted { .. } => "NotPermitted",
            Self::Spec(problem) => problem.reason(),
            Self::Starting(_) => "Starting",
        }
    }

    /// Whether the object is in a namespace that this operator may not handle; another may.
    pub fn is_out_of_scope(&self) -> bool {
        matches!(self, Self::NamespaceNotForRegions(_) | Self::NamespaceNotForSites(_))
    }

    /// Whether it goes away without anybody's doing.
    fn standing(&self) -> Standing {
        match self {
            Self::Api { .. } | Self::AuthorityNotReady(_) | Self::Issue(_) | Self::Starting(_) => Standing::Reconciling,
            _ => Standing::Stalled,
        }
    }
}

impl From<&Trouble> for Verdict {
    fn from(trouble: &Trouble) -> Self {
        Self::new(trouble.standing(), trouble.reason(), trouble.to_string())
    }
}

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
        "Secret {0} holds no usable key of the generation that signs; restore it from the backup, or replace the generation with `sallyportctl ca rotate`: the operator never makes another root by itself"
    )]
    AuthorityDamaged(ObjectKey),
    /// The CA certificate has ended.
    #[error("the CA certificate ended at {0}; nothing can be issued any more")]
    AuthorityExpired(jiff::Timestamp),
    /// The Secret with the key is gone.
    #[error(
        "Secret {0}, which held the key that every site trusts, is gone; restore it from the backup, or replace the generation with `sallyportctl ca rotate`: the operator never makes another root by itself"
    )]
    AuthorityLost(ObjectKey),
    /// The certificate authority does not exist.
    #[error("spec.certificateAuthorityRef: CertificateAuthority {0} does not exist; create it or correct the name")]
    AuthorityMissing(ObjectKey),
    /// Whose key is lost or cannot be reached, or a person has to decide first.
    #[error(
        "CertificateAuthority {authority} vouches for nobody new: {why}. What it vouched for stands, and can be revoked; see its conditions"
    )]
    AuthorityCannotSign {
        /// The authority.
        authority: ObjectKey,
        /// Which key is missing, or what is to be decided.
        why: String,
    },
    /// The certificate authority cannot sign.
    #[error("CertificateAuthority {0} is not ready; see its conditions")]
    AuthorityNotReady(ObjectKey),
    /// The published bundle trusts what neither status nor Secret knows.
    #[error(
        "ConfigMap {config_map} trusts CA certificates that neither status nor Secret {secret} knows ({fingerprints}): an older backup was restored, or somebody wrote the ConfigMap. Nothing is published until that is decided: to go on trusting one, add it to the Secret as generation-N.crt; to drop it and everybody who holds a certificate of it, delete the ConfigMap"
    )]
    AuthorityRestored {
        /// The ConfigMap.
        config_map: ObjectKey,
        /// The Secret.
        secret: ObjectKey,
        /// Which, by SHA-256.
        fingerprints: String,
    },
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
    /// The password of the PKCS#12 file cannot be used.
    #[error("spec.pkcs12.passwordRef: {0}")]
    Password(String),
    /// The revocation lists do not fit into the ConfigMap.
    #[error(
        "the revocation lists and the bundle take {bytes} bytes, and a ConfigMap holds {most}; gateways have them all, ConfigMap {config_map} has those of before. Rotate: the list of a generation ends with it"
    )]
    RevocationListFull {
        /// The ConfigMap.
        config_map: ObjectKey,
        /// How much it would be.
        bytes: usize,
        /// How much fits.
        most: usize,
    },
    /// Another object wants the same Secret, and was first.
    #[error(
        "spec.secretName: Secret {secret} belongs to TunnelCertificate {by:?}, which was there first; choose another name"
    )]
    SecretClaimed {
        /// The Secret.
        secret: ObjectKey,
        /// Whose it is.
        by: String,
    },
    /// A referenced object, or the spec itself, has a problem.
    #[error(transparent)]
    Spec(#[from] Problem),
    /// The operator has just begun.
    #[error("the operator is reading {0}")]
    Starting(String),
    /// The stored state cannot be read.
    #[error("{0}; the operator does nothing before that is put right: restore the status from the backup")]
    StatusUnreadable(String),
    /// The key is in a token, and the token does not serve.
    #[error("spec.custody.pkcs11: {0}")]
    Token(String),
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
            Self::AuthorityCannotSign { .. } | Self::AuthorityNotReady(_) => "AuthorityNotReady",
            Self::AuthorityRestored { .. } => "AuthorityRestored",
            Self::ForeignObject(_) => "ForeignObject",
            Self::Issue(_) => "IssueFailed",
            Self::NamespaceNotForRegions(_) | Self::NamespaceNotForSites(_) => NAMESPACE_NOT_PERMITTED,
            Self::NotPermitted { .. } => "NotPermitted",
            Self::Password(_) => "PasswordNotUsable",
            Self::RevocationListFull { .. } => "RevocationListFull",
            Self::SecretClaimed { .. } => "SecretClaimed",
            Self::Spec(problem) => problem.reason(),
            Self::Starting(_) => "Starting",
            Self::StatusUnreadable(_) => "StatusUnreadable",
            Self::Token(_) => "TokenNotUsable",
        }
    }

    /// Whether the object is in a namespace that this operator may not handle; another may.
    pub fn is_out_of_scope(&self) -> bool {
        matches!(self, Self::NamespaceNotForRegions(_) | Self::NamespaceNotForSites(_))
    }

    /// Whether it goes away without anybody's doing.
    fn standing(&self) -> Standing {
        match self {
            Self::Api { .. }
            | Self::AuthorityCannotSign { .. }
            | Self::AuthorityNotReady(_)
            | Self::Issue(_)
            | Self::Starting(_)
            | Self::Token(_) => Standing::Reconciling,
            _ => Standing::Stalled,
        }
    }
}

impl From<&Trouble> for Verdict {
    fn from(trouble: &Trouble) -> Self {
        Self::new(trouble.standing(), trouble.reason(), trouble.to_string())
    }
}

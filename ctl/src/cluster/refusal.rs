//! What a cluster can say no with.

use std::path::PathBuf;

/// Why the cluster did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Somebody wrote at the same time.
    #[error("{what}: somebody else wrote it at the same time: {message}")]
    Conflict {
        /// What was tried.
        what: String,
        /// The API server's words.
        message: String,
    },
    /// A right is missing.
    #[error("{what}: the API server forbids it: {message}")]
    Forbidden {
        /// What was tried.
        what: String,
        /// The right, such as `patch certificateauthorities.sallyport.dev in namespace dmz-frankfurt`.
        right: String,
        /// The API server's words.
        message: String,
    },
    /// No kubeconfig, or it cannot be used.
    #[error("no cluster is known: {why}")]
    Kubeconfig {
        /// Why.
        why: String,
    },
    /// The API server does not serve the kind.
    #[error("{what}: this cluster does not know the kind {kind}")]
    NoSuchKind {
        /// What was tried.
        what: String,
        /// Which kind.
        kind: String,
    },
    /// There is no object of this name.
    #[error("there is no {kind} {name} in namespace {namespace}")]
    NotFound {
        /// Which kind.
        kind: String,
        /// In which namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Plural, for the remedy.
        plural: String,
    },
    /// The API server found the object invalid.
    #[error("{what}: the API server refuses it: {message}")]
    Refused {
        /// What was tried.
        what: String,
        /// The API server's words, which name the field.
        message: String,
    },
    /// The API server does not know the caller.
    #[error("{what}: the API server does not accept your credentials: {message}")]
    Unauthenticated {
        /// What was tried.
        what: String,
        /// The API server's words.
        message: String,
    },
    /// Nothing answers, or nothing that makes sense.
    #[error("{what}: no answer from the API server {server}: {why}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// Its address.
        server: String,
        /// Why.
        why: String,
    },
    /// The trust file is not this authority's alone.
    #[error("{} holds a certificate that is none of CertificateAuthority {authority}'s generations: {fingerprint}", path.display())]
    ForeignTrust {
        /// The file.
        path: PathBuf,
        /// Namespace and name.
        authority: String,
        /// SHA-256 of the certificate.
        fingerprint: String,
    },
    /// The objects are not as the command needs them.
    #[error("{object}: {why}")]
    Unfit {
        /// Kind, namespace and name.
        object: String,
        /// What is wrong, with the field.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// It went another way than what was asked for.
    #[error("{object}: {why}")]
    Overtaken {
        /// Kind, namespace and name.
        object: String,
        /// What happened instead.
        why: String,
    },
    /// It goes on, and nobody waits any more.
    #[error("{object}: not done after {after}: {state}")]
    NotYet {
        /// Kind, namespace and name.
        object: String,
        /// How long was waited.
        after: String,
        /// Where it stands.
        state: String,
        /// How to look on.
        look: String,
    },
}

impl Refusal {
    /// See the help: part of the interface, scripts rely on it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Kubeconfig { .. } | Self::Refused { .. } => 2,
            Self::Forbidden { .. } | Self::Unauthenticated { .. } => 3,
            Self::Unreachable { .. } => 5,
            Self::Overtaken { .. } => 6,
            Self::NotYet { .. } => 7,
            Self::Conflict { .. }
            | Self::ForeignTrust { .. }
            | Self::NoSuchKind { .. }
            | Self::NotFound { .. }
            | Self::Unfit { .. } => 1,
        }
    }

    /// What the reader can do.
    pub(crate) fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Conflict { .. } => "run the command again".to_owned(),
            Self::Forbidden { right, .. } => format!(
                "you need the right to {right}; the chart's ClusterRoles region-editor, site-editor and viewer have them \
                 (ask the platform team for a RoleBinding), or choose another --context"
            ),
            Self::Kubeconfig { .. } => {
                "name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context".to_owned()
            }
            Self::NoSuchKind { .. } => {
                "choose the cluster where Sallyport is installed with --context, or install its chart".to_owned()
            }
            Self::NotFound { plural, namespace, .. } => format!(
                "kubectl get {plural} --namespace {namespace} lists those that there are; choose another namespace with \
                 --namespace"
            ),
            Self::Refused { .. } => return None,
            Self::Unauthenticated { .. } => {
                "renew the credentials of the kubeconfig's user, or choose another --context".to_owned()
            }
            Self::Unreachable { .. } => {
                "check the server of the kubeconfig's context (kubectl cluster-info), and your network".to_owned()
            }
            Self::ForeignTrust { .. } => {
                "the file is not only this region's: choose the region's authority with --from-cluster, or give the \
                 context a file of its own with sallyportctl config set --trust"
                    .to_owned()
            }
            Self::Unfit { remedy, .. } => remedy.clone(),
            Self::Overtaken { .. } => return None,
            Self::NotYet { look, .. } => format!("it goes on without you; {look}"),
        })
    }
}

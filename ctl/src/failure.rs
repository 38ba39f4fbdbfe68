//! What can go wrong, with the exit code and what to do about it.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use sallyport_runtime::files::FileError;
use sallyport_runtime::tls::{HandshakeFailure, TlsError};

use crate::cluster::refusal::Refusal;
use crate::output;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The gateway understood and said something else than yes.
    #[error("{message}")]
    Answer {
        /// HTTP status.
        status: u16,
        /// The API's code, see docs/design/contracts.md.
        code: String,
        /// The gateway's words.
        message: String,
    },
    /// The certificate of the engineer is over.
    #[error("your certificate {} expired at {at}", path.display())]
    CertificateExpired {
        /// Which file.
        path: PathBuf,
        /// When.
        at: String,
    },
    /// The Kubernetes API, or what its objects say.
    #[error(transparent)]
    Cluster(#[from] Refusal),
    /// A file of the engineer's.
    #[error(transparent)]
    File(#[from] FileError),
    /// The TLS handshake.
    #[error("TLS with {server} failed: {source}")]
    Handshake {
        /// With whom.
        server: String,
        /// Why.
        source: HandshakeFailure,
    },
    /// Something on this machine.
    #[error("{what}")]
    Local {
        /// What could not be done.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// No visible device has this name.
    #[error("none of the devices that a policy lets you reach is called {name}")]
    NoSuchDevice {
        /// What was asked for.
        name: String,
    },
    /// A witness did not cosign everything.
    #[error("{refused} of the checkpoints in {} were not cosigned", path.display())]
    NotCosigned {
        /// Of which file or folder.
        path: PathBuf,
        /// How many.
        refused: u64,
    },
    /// An export does not hold.
    #[error("{} does not hold: {faults} {}", folder.display(), if *faults == 1 { "fault" } else { "faults" })]
    NotVerified {
        /// The export.
        folder: PathBuf,
        /// How many faults were told.
        faults: u64,
    },
    /// Nothing answers.
    #[error("cannot reach {address}")]
    Unreachable {
        /// What was dialled.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The gateway's answer is not of its API.
    #[error("{server} answers {what}, which is not a Sallyport gateway's answer")]
    Unexpected {
        /// Who.
        server: String,
        /// What came.
        what: String,
    },
    /// The command line or the configuration.
    #[error("{0}")]
    Usage(String),
    /// The session is over, and not because the engineer ended it here.
    #[error("session {id} was ended: {why}")]
    SessionEnded {
        /// Which.
        id: String,
        /// In words.
        why: String,
    },
    /// Certificate, key or trust cannot be used.
    #[error("certificate, key or trust cannot be used: {0}")]
    Tls(#[from] TlsError),
}

impl Failure {
    /// See the help: part of the interface, scripts rely on it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Answer { code, .. } if code == "deviceNotConnected" || code == "refusedBySite" => 4,
            Self::Answer { code, .. } if code == "sessionEnded" => 6,
            Self::Answer { status: 403, .. } | Self::NoSuchDevice { .. } => 3,
            Self::Answer { status: 422, .. } | Self::Usage(_) => 2,
            Self::Answer { .. } | Self::Local { .. } => 1,
            Self::Cluster(refusal) => refusal.exit_code(),
            Self::CertificateExpired { .. }
            | Self::File(_)
            | Self::Handshake { .. }
            | Self::Tls(_)
            | Self::Unexpected { .. }
            | Self::Unreachable { .. } => 5,
            Self::SessionEnded { .. } => 6,
            Self::NotCosigned { .. } | Self::NotVerified { .. } => 8,
        }
    }

    /// What the reader can do.
    fn remedy(&self) -> Option<Cow<'static, str>> {
        let fixed = match self {
            Self::Cluster(refusal) => return refusal.remedy().map(Cow::Owned),
            Self::Answer { code, .. } => match code.as_str() {
                "archiveUnreachable" | "noOperator" | "notNow" => {
                    "try again in a minute; if it stays so, tell the platform team that the audit archive does not answer"
                }
                "approvalRequired" => {
                    "choose a service that needs no approval; except for laboratory devices, the customer can also widen \
                     the device's access ceiling"
                }
                "auditUnavailable" | "gatewayUnreachable" => "try again; if it stays so, tell the platform team",
                "certificateExpired" => "renew your certificate",
                "deviceNotConnected" => "ask the site whether its agent runs and may reach the Internet on port 443",
                "draining" => "try again; another gateway takes over",
                "noArchive" => "this region keeps no archive of its records; ask the platform team",
                "refusedBySite" => "the site's agent cannot reach the device, or its own allow-list forbids it",
                "tooManyReadings" => "wait a minute; each reading is recorded, so they are few",
                "unknownSession" => "sallyportctl sessions lists yours",
                "unknownSite" => "check --site NAMESPACE/NAME; ask the platform team what the site is called",
                _ => return None,
            },
            Self::CertificateExpired { .. } => "renew your certificate, or choose another with --certificate",
            Self::Handshake { source, .. } => match source {
                HandshakeFailure::RefusedByPeer(_) => {
                    "the region does not know the authority of your certificate, or it is not for client use; \
                     choose another with --certificate, or ask the platform team"
                }
                // A region that was made anew has an authority of the same name and another key: "bad signature".
                HandshakeFailure::BadSignature(_) | HandshakeFailure::UnknownIssuer(_) => {
                    "take the region's current certificate authority for --trust (ask the platform team)"
                }
                HandshakeFailure::WrongCertificate(_) => {
                    "--server must be the name that the region's certificate carries; use --address for another way to it"
                }
                HandshakeFailure::Closed(_) => {
                    "try again; if it stays so, check --server and --address, and ask the platform team whether the \
                     region is up"
                }
                _ => "check --server and --address, and that nothing between you and the region terminates TLS",
            },
            Self::NotCosigned { .. } => {
                "what is not the successor of what was seen before may be evidence: keep it, and ask the vendor for the \
                 proof (an export's folder holds it)"
            }
            Self::NotVerified { .. } => {
                "keep it as it is and fetch it again; if that does not hold either, ask the vendor to explain each fault"
            }
            Self::NoSuchDevice { .. } => "sallyportctl devices lists them; ask the platform team for an AccessPolicy",
            Self::Tls(_) => {
                "--certificate and --key must belong together (PEM, ECDSA), and --trust hold the region's CA"
            }
            Self::Unexpected { .. } => "check --server and --address",
            Self::Unreachable { .. } => {
                "check --server and --address, and that you are in the vendor's network: the inner door is not on the Internet"
            }
            Self::File(_) | Self::Local { .. } | Self::SessionEnded { .. } | Self::Usage(_) => return None,
        };
        Some(Cow::Borrowed(fixed))
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        output::say(&format!("error: {}", self.chain()));
        if let Some(remedy) = self.remedy() {
            output::say(&format!("  remedy: {remedy}"));
        }
        ExitCode::from(self.exit_code())
    }

    /// The message with its causes, each once.
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

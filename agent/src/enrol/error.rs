//! Why nothing was enrolled, in the words of who stands in front of the machine.

use std::path::PathBuf;

use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_pki::bundle::BundleError;
use sallyport_pki::key::KeyError;
use sallyport_runtime::files::FileError;
use sallyport_runtime::tls::TlsError;

use super::{Fingerprint, advice};
use crate::est::EstError;
use crate::issued::IssuedError;
use crate::pair::NotWritable;
use crate::pending::Pending;

/// Why nothing was enrolled, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The gateway's CA certificates are none.
    #[error("the gateway's CA certificates cannot be used; tell the vendor")]
    Authority(#[source] BundleError),
    /// The gateway's certificate is not valid by this clock.
    #[error("the gateway's certificate is not valid now: {}", advice::clock(*now, *theirs))]
    Clock {
        /// Our clock.
        now: Timestamp,
        /// Its clock, if it told.
        theirs: Option<Timestamp>,
    },
    /// The gateway, or the way to it.
    #[error("{}", advice::on(error))]
    Est {
        /// What failed, with its causes in the message.
        error: EstError,
    },
    /// A file in the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// The gateway has no such CA.
    #[error("{}", advice::fingerprint(wanted, found))]
    Fingerprint {
        /// What was asked for.
        wanted: Fingerprint,
        /// What the gateway has.
        found: Vec<String>,
    },
    /// The gateway that answered was certified by somebody else.
    #[error(
        "the server has the CA certificate {wanted}, but showed another one's: {shown} ({error}). A firewall or proxy that opens TLS stands between, or the region is changing its CA: ask the vendor for the fingerprint of the CA that issues now"
    )]
    ForeignServer {
        /// What it showed.
        shown: String,
        /// The CA that was asked for.
        wanted: Fingerprint,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// Not what was asked for.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// What was asked for, but not to be used now.
    #[error(
        "{error}. The certificate is kept in {path}: when that is put right, give the same command again, which does not send the token a second time", path = path.display()
    )]
    Kept {
        /// Why.
        error: IssuedError,
        /// Where.
        path: PathBuf,
    },
    /// The crypto library.
    #[error("no key could be made")]
    Key(#[from] KeyError),
    /// The result could not be kept, so nothing was asked.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// Another endpoint lives here.
    #[error(
        "{path} is the certificate of endpoint {present}, valid until {until}; to make this agent endpoint {endpoint} instead, add --replace", path = path.display()
    )]
    Occupied {
        /// The certificate's file.
        path: PathBuf,
        /// Whose it is.
        present: Box<EndpointId>,
        /// Its end.
        until: Timestamp,
        /// Who was to be enrolled.
        endpoint: Box<EndpointId>,
    },
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl EnrolError {
    pub(super) fn of_issued(error: IssuedError, pending: &Pending) -> Self {
        match error.may_pass() && pending.is_stored() {
            true => Self::Kept { error, path: pending.path().to_owned() },
            false => Self::Issued(error),
        }
    }
}

impl From<EstError> for EnrolError {
    fn from(error: EstError) -> Self {
        Self::Est { error }
    }
}

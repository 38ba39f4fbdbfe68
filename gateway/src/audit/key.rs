//! The key that signs this gateway's checkpoints. It is made when a journal begins and stays on the volume; a gateway that
//! has another has another incarnation, and thereby other logs.

use std::io;
use std::path::Path;

use sallyport_audit::PublicKey;
use sallyport_audit::tlog::note::SigningKey;
use sallyport_runtime::files;

/// The key of the volume.
pub(super) enum Kept {
    /// The one that is there.
    Known(SigningKey),
    /// There is one that cannot be read. It is overwritten: nothing can be signed by it any more.
    Lost,
    /// There is none.
    Missing,
}

/// Reads the key.
pub(super) fn read(path: &Path) -> io::Result<Kept> {
    match std::fs::read(path).map(zeroize::Zeroizing::new) {
        Ok(der) => Ok(SigningKey::from_pkcs8(&der).map_or_else(
            |error| {
                tracing::error!(path = %path.display(), %error, "audit key is unreadable; a new incarnation begins");
                Kept::Lost
            },
            Kept::Known,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::Missing),
        Err(error) => Err(error),
    }
}

/// Makes a key, durable before it is used.
pub(super) fn make(path: &Path) -> io::Result<SigningKey> {
    let key = SigningKey::generate().map_err(io::Error::other)?;
    files::write_atomic(path, &key.to_pkcs8().map_err(io::Error::other)?, 0o600).map_err(io::Error::other)?;
    Ok(key)
}

pub(super) fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.public_key())
}

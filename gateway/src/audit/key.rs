//! The key that signs this gateway's checkpoints. It is made at the first start and stays on the volume; a gateway that
//! has another has another incarnation, and thereby other logs.

use std::io;
use std::path::Path;

use sallyport_audit::PublicKey;
use sallyport_audit::event::NewIncarnation;
use sallyport_audit::tlog::note::SigningKey;
use sallyport_runtime::files;

/// The key of the volume.
pub(super) enum Kept {
    /// The one that was there.
    Same(SigningKey),
    /// A new one, and why.
    New(SigningKey, NewIncarnation),
}

/// Reads the key, or makes one where there is none that can be read. A key that cannot be read is overwritten: nothing
/// can be signed by it any more.
pub(super) fn open(path: &Path) -> io::Result<Kept> {
    match std::fs::read(path) {
        Ok(der) => match SigningKey::from_pkcs8(&der) {
            Ok(key) => Ok(Kept::Same(key)),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "audit key is unreadable; a new incarnation begins");
                Ok(Kept::New(make(path)?, NewIncarnation::KeyLost))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::New(make(path)?, NewIncarnation::First)),
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

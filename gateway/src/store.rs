//! The configuration in force, and its copy on the gateway's volume, from which a gateway starts when the operator is
//! gone (invariant I9).

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use sallyport_control::update::Collector;
use sallyport_control::{digest, wire};
use sallyport_core::config::RegionConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::kept::{Kept, NotKept};

/// A configuration with its number. Generation 0 is "none yet": it allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Rises with every configuration.
    pub generation: u64,
    /// What is allowed.
    pub config: Arc<RegionConfig>,
}

impl InForce {
    /// What the operator compares to know whether anything has to be sent.
    pub fn digest(&self) -> String {
        if self.generation == 0 { String::new() } else { digest::of(&self.config) }
    }
}

/// Holds the configuration in force; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Kept<InForce>);

/// Why a configuration could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[error("configuration {path}: {why}")]
pub struct StoreError {
    path: String,
    why: String,
}

impl Store {
    /// Starts from the last configuration on the volume, or from none. A copy that cannot be read is an error in the
    /// log and no configuration, never a part of one.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join("configuration.pb");
        let in_force = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes).unwrap_or_else(|why| {
                tracing::error!(path = %path.display(), why, "last configuration is unreadable; waiting for the operator");
                InForce::default()
            }),
            Err(_) => InForce::default(),
        };
        Self(Kept::new(path, in_force))
    }

    /// The configuration in force now.
    pub fn current(&self) -> InForce {
        self.0.current()
    }

    /// To be told of every change.
    pub fn watch(&self) -> watch::Receiver<InForce> {
        self.0.watch()
    }

    /// Writes the configuration to the volume, then puts it in force, unless the operator that sent it is superseded by
    /// then.
    ///
    /// # Errors
    /// See [`StoreError`]; the one before is then still in force.
    pub async fn put(&self, next: InForce, superseded: &CancellationToken) -> Result<(), StoreError> {
        let bytes = digest::encode(next.generation, &next.config);
        let put = self.0.put(next, bytes, superseded, |_| Ok::<_, Infallible>(()));
        put.await.map_err(|why| {
            let why = match why {
                NotKept::Refused(never) => match never {},
                NotKept::Superseded => "the operator that sent it was superseded by another".to_owned(),
                NotKept::Write(why) => why,
            };
            StoreError { path: self.0.path(), why }
        })
    }
}

fn read(bytes: &[u8]) -> Result<InForce, String> {
    let update = wire::Update::decode(bytes).map_err(|error| error.to_string())?;
    let whole = Collector::default().take(update, &RegionConfig::default()).map_err(|error| error.to_string())?;
    let (generation, config) = whole.ok_or("it is not complete")?;
    Ok(InForce { generation, config: Arc::new(config) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gateway_starts_from_its_last_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        assert_eq!((store.current().generation, store.current().digest().as_str()), (0, ""));
        let mut config = RegionConfig::default();
        config.settings.outer_host = "outer.example".to_owned();
        store.put(InForce { generation: 7, config: Arc::new(config) }, &CancellationToken::new()).await.unwrap();
        let again = Store::open(folder.path());
        assert_eq!(again.current().generation, 7);
        assert_eq!(again.current().config.settings.outer_host, "outer.example");
        assert_eq!(again.current().digest(), store.current().digest());
    }

    #[test]
    fn a_damaged_copy_is_no_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("configuration.pb"), b"garbage").unwrap();
        assert_eq!(Store::open(folder.path()).current().generation, 0);
    }
}

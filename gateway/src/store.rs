//! The configuration in force, and its copy on the gateway's volume, from which a gateway starts when the operator is
//! gone (invariant I9).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use sallyport_control::update::Collector;
use sallyport_control::{digest, wire};
use sallyport_core::config::RegionConfig;
use sallyport_runtime::files;
use tokio::sync::watch;

/// A configuration with its number. Generation 0 is "none yet": it allows nothing.
#[derive(Clone, Debug, Default)]
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
pub struct Store {
    path: PathBuf,
    in_force: watch::Sender<InForce>,
}

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
        Self { path, in_force: watch::Sender::new(in_force) }
    }

    /// The configuration in force now.
    pub fn current(&self) -> InForce {
        self.in_force.borrow().clone()
    }

    /// To be told of every change.
    pub fn watch(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Writes the configuration to the volume, then puts it in force.
    pub async fn put(&self, next: InForce) -> Result<(), StoreError> {
        let bytes = digest::encode(next.generation, &next.config);
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || files::write_atomic(&path, &bytes, 0o600)).await;
        let failed = |why: String| StoreError { path: self.path.display().to_string(), why };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(error) => return Err(failed(error.to_string())),
        }
        self.in_force.send_replace(next);
        Ok(())
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
        store.put(InForce { generation: 7, config: Arc::new(config) }).await.unwrap();
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

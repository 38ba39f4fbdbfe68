//! A value in force with its copy on the volume: written, then used, one after the other.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sallyport_runtime::files;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Holds the value in force; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    path: PathBuf,
    in_force: watch::Sender<T>,
    /// Held from the look at what is in force to the moment when the next is: whoever put last is in force, on the
    /// volume as in memory.
    turn: Arc<Mutex<()>>,
}

/// Why a value was not put in force.
#[derive(Debug)]
pub(crate) enum NotKept<E> {
    /// What is in force does not allow it.
    Refused(E),
    /// Another operator is in charge by now.
    Superseded,
    /// It could not be written.
    Write(String),
}

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    pub(crate) fn new(path: PathBuf, first: T) -> Self {
        Self { path, in_force: watch::Sender::new(first), turn: Arc::default() }
    }

    pub(crate) fn current(&self) -> T {
        self.in_force.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<T> {
        self.in_force.subscribe()
    }

    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes the next one to the volume, then puts it in force, if `may` says so of the one that is in force then and
    /// `superseded` is not cancelled. All of it happens in one turn that ends even when nobody waits for it any more: a
    /// stream that is dropped in the middle leaves either what was or what is next, and what comes after finds that.
    pub(crate) async fn put<E: Send + 'static>(
        &self,
        next: T,
        bytes: Vec<u8>,
        superseded: &CancellationToken,
        may: impl FnOnce(&T) -> Result<(), E> + Send + 'static,
    ) -> Result<(), NotKept<E>> {
        let (kept, superseded) = (self.clone(), superseded.clone());
        let put = tokio::task::spawn_blocking(move || {
            let _turn = kept.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if superseded.is_cancelled() {
                return Err(NotKept::Superseded);
            }
            may(&kept.in_force.borrow()).map_err(NotKept::Refused)?;
            files::write_atomic(&kept.path, &bytes, 0o600).map_err(|error| NotKept::Write(error.to_string()))?;
            kept.in_force.send_replace(next);
            Ok(())
        });
        put.await.map_err(|error| NotKept::Write(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: &u32) -> Result<(), ()> {
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_superseded_stream_still_writes_does_not_land_after_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        let kept = Kept::new(path.clone(), 0);
        let superseded = CancellationToken::new();
        let turn = kept.turn.clone();
        let late = {
            // The disk is slow: the older one waits for its turn while its operator is superseded.
            let _turn = turn.lock().unwrap();
            let (kept, of_old) = (kept.clone(), superseded.clone());
            let late = tokio::spawn(async move { kept.put(1, b"1".to_vec(), &of_old, any).await });
            superseded.cancel();
            late
        };
        kept.put(2, b"2".to_vec(), &CancellationToken::new(), any).await.unwrap();
        assert!(matches!(late.await.unwrap(), Err(NotKept::Superseded)));
        assert_eq!((kept.current(), std::fs::read(&path).unwrap()), (2, b"2".to_vec()));
    }

    #[tokio::test]
    async fn what_is_in_force_is_asked_and_a_failed_write_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let here = CancellationToken::new();
        let kept = Kept::new(folder.path().join("value"), 5);
        let refused = kept.put(4, Vec::new(), &here, |five| if *five == 5 { Err("lower") } else { Ok(()) }).await;
        assert!(matches!(refused, Err(NotKept::Refused("lower"))));
        let lost = Kept::new(folder.path().join("no/such/folder/value"), 5);
        assert!(matches!(lost.put(6, Vec::new(), &here, any).await, Err(NotKept::Write(_))));
        assert_eq!((kept.current(), lost.current()), (5, 5));
    }
}

//! A store that dies after so many writes: every one of them, and reading, fails from then on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is written is in memory, and outlives the death.
#[derive(Clone, Debug)]
pub(super) struct Mortal {
    inner: Arc<InMemory>,
    left: Arc<AtomicUsize>,
}

impl Mortal {
    /// Dies after so many writes.
    pub(super) fn new(writes: usize) -> Self {
        Self { inner: Arc::new(InMemory::new()), left: Arc::new(AtomicUsize::new(writes)) }
    }

    /// What was written, in a store that does not die.
    pub(super) fn survivors(&self) -> Arc<InMemory> {
        self.inner.clone()
    }

    /// It lives again, and does not die any more.
    pub(super) fn revive(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    pub(super) fn has_died(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn lives(&self) -> Result<()> {
        if self.has_died() { Err(dead()) } else { Ok(()) }
    }

    fn write(&self) -> Result<()> {
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).map(drop).map_err(|_| dead())
    }
}

fn dead() -> Error {
    Error::Generic { store: "mortal", source: "it has died".into() }
}

impl fmt::Display for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mortal")
    }
}

#[tonic::async_trait]
impl ObjectStore for Mortal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.write()?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.write()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.lives()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let counted = locations.map(move |location| {
            this.write()?;
            location
        });
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.lives() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lives()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write()?;
        self.inner.copy_opts(from, to, options).await
    }
}

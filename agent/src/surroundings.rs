//! What the agent takes from its host besides files and sockets: the clock and name resolution. A test gives its own.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

/// Addresses of a name, in the order to try.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The clock and the resolver.
#[derive(Clone)]
pub struct Surroundings {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    resolve: Arc<dyn Fn(String) -> Resolving + Send + Sync>,
}

impl Surroundings {
    /// The host's own.
    pub fn real() -> Self {
        Self::new(Timestamp::now, |name| {
            Box::pin(async move {
                let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
                Ok(addresses.map(|address| address.ip()).collect())
            })
        })
    }

    /// Others.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        resolve: impl Fn(String) -> Resolving + Send + Sync + 'static,
    ) -> Self {
        Self { now: Arc::new(now), resolve: Arc::new(resolve) }
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// What a name resolves to, here and now.
    pub fn resolve(&self, name: &str) -> Resolving {
        (self.resolve)(name.to_owned())
    }
}

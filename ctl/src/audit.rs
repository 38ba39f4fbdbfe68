//! The audit's commands that need no cluster: reading and fetching records at the inner door, checking an export with
//! nothing but a key, and being a witness.
//!
//! ```text
//!  inner door ─▶ records (lines) | export ─▶ unpack ─┐
//!                                                    ├─▶ verify (folder, key) ─▶ verdict
//!                              a folder from anybody ┘
//!  witness ─▶ keeper (key, memory on disk) ◀─ server (HTTP) | once (files)
//! ```

mod export;
mod folder;
mod records;
mod unpack;
mod verdict;
mod verify;
mod witness;

use sallyport_audit::Subject;

use crate::cli::Options;
use crate::cli::audit::Audit;
use crate::failure::Failure;
use crate::output::Output;
use crate::{cluster, settings};

pub(crate) async fn run(command: Audit, options: &Options) -> Result<(), Failure> {
    match command {
        Audit::Cluster(command) => Box::pin(cluster::audit(command)).await,
        Audit::Export(wish) => export::run(&mut settings::door(options)?, wish, options.output).await,
        Audit::Records(wish) => records::run(&mut settings::door(options)?, &wish, options.output).await,
        Audit::Subject { user } => Output::new(options.output).line(&Subject::of(&user).to_string()),
        Audit::Verify(wish) => {
            let output = wish.output.unwrap_or(options.output);
            blocking(move || verify::run(&wish, &Output::new(output))).await
        }
        Audit::Witness(wish) => witness::run(wish).await,
    }
}

/// Work that reads many files, off the threads that serve connections.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::Local {
        what: "cannot work on the files".to_owned(),
        source: std::io::Error::other(error),
    })?
}

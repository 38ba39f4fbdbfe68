//! The operator: from objects to running gateways and back to status.
//!
//! ```text
//!  sources ─ watch ─▶ world (caches) ─ wake ─▶ queues ─▶ reconcile: observe ─ plan ─ apply ─ report
//!                        └─ mark ─▶ control: publisher ─▶ one stream per gateway ─▶ links ─ wake ─▶ queues
//! ```
//!
//! What is decided is in `sallyport-plan`; what is here reads, writes, listens and waits. Only the holder of the lease
//! does any of it. A converged cluster sees no write but the lease.

pub mod apply;
pub mod audit;
pub mod authorities;
pub mod cache;
pub mod claims;
pub mod cli;
pub mod context;
pub mod control;
pub mod custody;
pub mod error;
pub mod intake;
pub mod kinds;
pub mod lease;
pub mod limits;
pub mod live;
pub mod memory;
pub mod metrics;
pub mod queue;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod sources;
pub mod wake;
pub mod watch;
pub mod world;

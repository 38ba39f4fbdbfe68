//! What the tests against a cluster share: kubectl, a region, hospital sites in network namespaces, engineers with the
//! real CLI. Everything is driven through what users use: YAML, `kubectl`, `sallyport-agent`, `sallyportctl`, `ssh`.
//!
//! Its helpers panic instead of returning errors: in a test, that is the report.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a panic is how a test helper reports")]

pub mod api_server;
pub mod authority;
pub mod cut;
pub mod engineer;
pub mod fault_proxy;
pub mod fleet;
pub mod kubectl;
pub mod lab;
pub mod operators;
pub mod region;
pub mod run;
pub mod site;
pub mod traffic;
pub mod wait;

pub use engineer::Engineer;
pub use kubectl::{apply, delete, get, kubectl, refused};
pub use region::Region;
pub use run::{output, run};
pub use site::Site;
pub use wait::eventually;

//! What tests share: throw-away CAs, a device that echoes, golden files, waiting on a condition. Development only; no
//! binary links it.
//!
//! Its helpers panic instead of returning errors: in a test, that is the report.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a panic is how a test helper reports")]

pub mod ca;
pub mod device;
pub mod engineers;
pub mod golden;
pub mod wait;

pub use ca::{Ca, Credential};
pub use device::EchoDevice;
pub use engineers::EngineersCa;
pub use wait::{eventually, eventually_some};

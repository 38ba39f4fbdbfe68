//! The gateway: the only process that both sides reach, and the only one that joins them.
//!
//! ```text
//!  agent ──▶ outer ── tunnels ──┐                      ┌── inner ◀── engineer
//!                               ├─ passage (Permit) ───┤
//!  operator ──▶ control ── store┘     audit            └── peers ◀─▶ other replicas
//! ```
//!
//! - It holds no Kubernetes credential and links no Kubernetes client; the operator dials it.
//! - It starts from its own volume when the operator is gone ([`store`], [`trust`], [`control::certificates`]).
//! - A byte passes only through [`passage`], which is built from a [`passage::Permit`], which is granted only against
//!   a durable audit record.

pub mod audit;
pub mod certificate;
pub mod connections;
pub mod control;
pub mod doors;
pub mod drain;
pub mod enrolments;
pub mod gateway;
pub mod inner;
mod kept;
pub mod metrics;
pub mod outer;
pub mod passage;
pub mod peers;
pub mod place;
pub mod places;
pub mod queries;
pub mod readings;
pub mod renewal;
pub mod run;
pub mod sessions;
pub mod socket;
pub mod store;
pub mod trust;
pub mod tunnels;

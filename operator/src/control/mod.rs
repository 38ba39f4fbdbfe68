//! What gateways are told, and what they say.
//!
//! ```text
//!  objects ─ mark ─▶ publisher ─ compile, sign ─▶ Published ─┐
//!  CA ────── mark ─▶ publisher ─ sign ─▶ Told (trust) ───────┴─ watch ─▶ gateway (one task per replica) ─ gRPC ─▶ gateway
//!                                                                          └─ links ─ wake ─▶ status of objects
//! ```

pub mod config_signer;
pub mod dial;
mod enrolment;
pub mod gateway;
pub mod links;
pub mod offers;
pub mod publisher;
pub mod region;
mod requests;
mod stream;
pub mod trust;

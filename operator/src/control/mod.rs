//! What gateways are told, and what they say.
//!
//! ```text
//!  objects ─ mark ─▶ publisher ─ compile, sign ─▶ Published ─ watch ─▶ gateway (one task per replica) ─ gRPC ─▶ gateway
//!                                                                        └─ links ─ wake ─▶ status of objects
//! ```

pub mod dial;
pub mod gateway;
pub mod links;
pub mod offers;
pub mod publisher;
mod requests;
mod stream;

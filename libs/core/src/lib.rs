//! What Sallyport *means*, without IO: names, identities, levels, the configuration a gateway enforces, the access
//! decision and the session machine.
//!
//! Nothing here reads a clock, draws a random number, opens a file or a socket; `now` is an argument. The same
//! arguments give the same answer on the operator, the gateway, the agent and in a test.
//!
//! ```text
//!  name ── identity ─┐
//!  address ─ offer ──┼─ config ── access::decide ── Authorised ──▶ (gateway) Permit ──▶ passage
//!  level ────────────┘                                 session (states of one service session)
//! ```

pub mod access;
pub mod address;
pub mod config;
pub mod engineer;
pub mod identity;
pub mod level;
pub mod name;
pub mod offer;
pub mod session;

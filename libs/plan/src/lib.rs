//! What the operator decides, without doing it: which objects a region needs, whether they are as they should be, what
//! its gateways must enforce, who gets a certificate and when it is renewed, what is revoked, when a finalizer may go, and
//! what a status says.
//!
//! ```text
//!  catalogue (all objects) ─┬─ judge ──────────▶ problem ─────┐
//!                           └─ region_config ─▶ gateways      ├─▶ status
//!  region ── objects ── drift ─▶ API server                   │
//!  authority, certificate, enrolment, tunnels_cut: decisions ─┤
//!  issuance ─▶ status ─▶ revocation ─▶ lists                  │
//!  what gateways acknowledged ── enforcement ─────────────────┤
//!  what was collected ── audit::facts ────────────────────────┘
//! ```
//!
//! No clock, randomness, files, sockets or client: `now` is an argument.

pub mod audit;
pub mod authority;
pub mod catalogue;
pub mod certificate;
pub mod drift;
pub mod enforcement;
pub mod enrolment;
pub mod issuance;
pub mod labels;
pub mod names;
pub mod objects;
pub mod problem;
pub mod region_config;
pub mod retention;
pub mod revocation;
pub mod secret_facts;
pub mod status;
pub mod tunnels_cut;

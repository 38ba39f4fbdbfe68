//! The agent of one site: dials the gateway, receives a signed offer, and connects what the offer and the site's own
//! allow-list both allow. It listens to nobody but its own host (metrics), and forwards nothing undeclared.
//!
//! ```text
//!  enrol ─▶ key and certificate (pair) ◀─ renew
//!                       │      trust ◀─ announcement (signed) ──────────────────────┐
//!                       ▼        ▼                                                  │
//!  config ─▶ material (certificate, key, trust) ─▶ dial ─▶ slot 0, slot 1 ── tunnel ─┐
//!                                                   ▲         (backoff)              ▼
//!                                                check                            handler
//!                                                             offer (signed) ──────┤
//!                                                             allow (local file) ──┴─▶ connect ─▶ device
//! ```
//!
//! Randomness, the clock and name resolution come in through [`surroundings::Surroundings`].

pub mod allow;
pub mod backoff;
pub mod check;
pub mod cli;
pub mod config;
pub mod connect;
pub mod dial;
pub mod enrol;
pub mod est;
pub mod handler;
pub mod issued;
pub mod material;
pub mod metrics;
pub mod offer;
pub mod pair;
pub mod passing;
pub mod pending;
pub mod renew;
pub mod run;
pub mod slot;
pub mod surroundings;
pub mod trust;

//! What every process shares: TLS from one constant table, accepting connections, the admin port, metrics, telemetry,
//! shutdown, files.
//!
//! It knows certificates and identities but no sessions, tunnels or objects.
//!
//! ```text
//!  listen ─ TCP ─▶ tls::Door ─ handshake ─▶ tls::peer_identity | peer_engineer ─▶ (a binary's own code)
//!  admin ─ /metrics ◀─ metrics;  /readyz ◀─ admin::Readiness
//! ```

pub mod admin;
pub mod dial;
pub mod files;
pub mod listen;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

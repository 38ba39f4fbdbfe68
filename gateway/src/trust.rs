//! Whom this region's parties trust, and which certificates are revoked: one value, so that a door never knows an
//! authority without what it has revoked. An authority whose list is missing or has ended lets nobody in.
//!
//! ```text
//!  operator ──▶ Trust::parse ──▶ TrustStore (volume) ──▶ doors, then enforcement, then TrustAck
//! ```

mod alarm;
mod parsed;
mod store;

pub use alarm::watch_lists;
pub use parsed::{List, ListState, Trust, TrustRefused};
pub use store::{TrustError, TrustStore};

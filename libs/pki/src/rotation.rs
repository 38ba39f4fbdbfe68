//! The rotation machine: which CA generation is trusted, which signs, which goes, and who is waited for. No IO.
//!
//! ```text
//!             everybody live trusts it    at once          nobody live holds one of its certificates
//!  (key made) ──▶ NotYetTrusted ──▶ Trusted ──▶ Issuing ──▶ PhasingOut ──▶ Removed (key destroyed)
//!                     └── an emergency overtakes it, or its key is gone ───────▲
//! ```
//!
//! [`step`] takes the state as it is stored, what is known of the world, and the time. It makes at most one transition,
//! and says what is to be done and when to ask again. The driver stores the state *before* it does anything that
//! follows from it, guarded by a resource version; so a crash between any two writes loses nothing, and of two
//! operators one is refused. What is published and who signs follow from the stored state alone
//! ([`State::bundle`], [`State::issuing`]).

mod begin;
mod change;
mod facts;
mod peers;
mod phase_out;
mod state;
mod step;
mod take_over;
mod view;
mod wake;

pub use facts::{Facts, Held, Made, Peer, Request, Wish};
pub use state::{Cause, Entry, GenerationState, GivenUp, Stage, State};
pub use step::{Action, Blocker, Step, Waiting, step};

#[cfg(test)]
mod tests;

//! The rotation machine against a world that it does not control.
//!
//! ```text
//!  actions ──▶ World (peers, clock, stores) ◀── Operator (reads, steps, writes; crashes, is late, knows old things)
//!                 │ after every action
//!                 ▼
//!            properties: eight sentences, each a function
//! ```
//!
//! `sound` shows that the machine keeps them; `broken` shows that each of them can fail, by machines and operators that do
//! one thing wrong; `found` replays sequences that failed once.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod actions;
mod broken;
mod crashes;
mod found;
mod operator;
mod properties;
mod sound;
mod world;

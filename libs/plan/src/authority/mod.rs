//! What the operator decides about a certificate authority, around the rotation machine
//! ([`sallyport_pki::rotation`]): what is stored, what is known of its peers, what is published, what is revoked.
//!
//! ```text
//!  status ── stored ──▶ State ─┐
//!  Secret ── keys ───▶ keys  ──┤
//!  ConfigMap ─ published ──────┼─▶ rotation::step ─▶ State ─ stored ─▶ status
//!  objects ── peers ─▶ Facts ──┤
//!  spec ───── wish ────────────┘
//!  TunnelCertificates, ConfigMap ── lists ─▶ what is on each revocation list, and when it is signed anew
//!                                   denied ─▶ what belongs on one that nobody can sign
//! ```
//!
//! A root is never made twice by itself: an authority whose key was there and is gone waits until somebody restores it
//! or asks for a rotation, because every site trusts it and none would trust another.

pub mod denied;
pub mod keys;
pub mod lists;
pub mod peers;
pub mod published;
pub mod reach;
pub mod restored;
pub mod stored;
pub mod wish;

//! The private CA without IO: keys, certificate profiles, issuing, trust bundles, reading certificates, signed documents.
//!
//! ```text
//!  key ─┬─ csr ──(public key only)──┐
//!       └─ authority ── profile ────┴──▶ Leaf          who may be issued what
//!  bundle ── (chain check) ─┬─ signed                  what a peer's certificate or document proves
//!                           └─ inspect ──▶ Identity, Engineer
//! ```
//!
//! Time and serial numbers are arguments. The one exception: key generation and ECDSA signing draw from the operating
//! system's random source inside the crypto library, because a key or nonce from a caller's generator would be worse.
//! What a certificate says comes from a [`profile::Profile`] and our policy, never from the request: of a CSR only the
//! public key is used.

pub mod announcement;
pub mod authority;
pub mod bundle;
pub mod csr;
pub mod est;
pub mod generation;
pub mod inspect;
pub mod key;
pub mod pem;
pub mod pkcs12;
pub mod profile;
pub mod renewal;
pub mod revocation;
pub mod rotation;
pub mod signed;

mod hex;

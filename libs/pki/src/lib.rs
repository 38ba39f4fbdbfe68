//! The private CA without IO: keys, certificate profiles, issuing, trust bundles, reading certificates, signed documents.
//!
//! ```text
//!  key ─┬─ csr ──(public key only)──┐
//!       └─ authority ── profile ────┴──▶ Leaf, list    who may be issued what, and what counts no more
//!  bundle ── (chain check) ─┬─ signed ── announcement  what a peer's certificate or document proves
//!                           ├─ inspect ──▶ Identity, Engineer
//!                           ├─ revocation              what a CA's list says
//!                           ├─ renewal                 who holds the key of a new certificate
//!                           └─ reenrol                 who wants the next certificate, and for which key
//!  est, pkcs12                                         how certificates travel to other implementations
//!  rotation                                            which generation is trusted, signs, goes
//! ```
//!
//! Time and serial numbers are arguments. The one exception: key generation, ECDSA signing and PKCS#12 salts draw from the operating
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
pub mod reenrol;
pub mod renewal;
pub mod revocation;
pub mod rotation;
pub mod signed;

mod hex;

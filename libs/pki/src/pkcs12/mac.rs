//! The MAC over the whole file, with a key derived as RFC 7292 appendix B.2 says.

use aws_lc_rs::{hmac, rand};
use sha2::{Digest, Sha256};
use yasna::DERWriter;
use zeroize::Zeroizing;

use super::{KeystoreError, oid};

/// Below the encryption's: this derivation is the older and slower one, and some readers refuse more.
const ITERATIONS: u32 = 10_000;
/// What the derived bytes are for: 3 is a MAC key (appendix B.3).
const FOR_MAC: u8 = 3;
/// SHA-256's block.
const BLOCK_BYTES: usize = 64;
/// id-sha256 (RFC 5754 section 2.2).
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

pub(super) struct Mac {
    salt: [u8; 16],
    digest: Vec<u8>,
}

impl Mac {
    pub(super) fn over(contents: &[u8], password: &str) -> Result<Self, KeystoreError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| KeystoreError::Encrypt)?;
        let key = derive(password, &salt, ITERATIONS);
        let digest = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), contents);
        Ok(Self { salt, digest: digest.as_ref().to_vec() })
    }

    /// `MacData`.
    pub(super) fn write(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), SHA256);
                    writer.next().write_null();
                });
                writer.next().write_bytes(&self.digest);
            });
            writer.next().write_bytes(&self.salt);
            writer.next().write_u32(ITERATIONS);
        });
    }
}

/// As many bytes as one digest, so the last step of the appendix, which mixes the blocks, has nothing to do.
fn derive(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    // Big-endian UTF-16 with a final zero (appendix B.1).
    let password: Zeroizing<Vec<u8>> =
        Zeroizing::new(password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect());
    let mut hash = Sha256::new();
    hash.update([FOR_MAC; BLOCK_BYTES]);
    for part in [salt, &password] {
        let length = part.len().next_multiple_of(BLOCK_BYTES);
        let repeated: Zeroizing<Vec<u8>> = Zeroizing::new(part.iter().copied().cycle().take(length).collect());
        hash.update(&*repeated);
    }
    let mut derived: [u8; 32] = hash.finalize().into();
    for _ in 1..iterations {
        derived = Sha256::digest(derived).into();
    }
    Zeroizing::new(derived)
}

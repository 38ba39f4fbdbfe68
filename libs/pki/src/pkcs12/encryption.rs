//! PBES2 (RFC 8018 section 6.2): a key from a password, and encryption with it.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, AES_256_KEY_LEN, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::{pbkdf2, rand};
use yasna::DERWriter;
use zeroize::Zeroizing;

use super::{KeystoreError, oid};

/// How often the password is hashed: about 20 ms on a server, so a second or two on a router's small processor. openssl's
/// own default is 2048. It is for passwords that a human chose; a random one needs none of it.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(50_000).expect("not zero");

/// PBES2, PBKDF2, hmacWithSHA256, aes256-CBC-PAD (RFC 8018 appendix C).
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_WITH_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const AES256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];

const BLOCK_BYTES: usize = 16;

pub(super) struct Encrypted {
    salt: [u8; 16],
    vector: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
}

pub(super) fn encrypt(plaintext: &[u8], password: &str) -> Result<Encrypted, KeystoreError> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| KeystoreError::Encrypt)?;
    let mut derived = Zeroizing::new([0; AES_256_KEY_LEN]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), derived.as_mut());
    let key = UnboundCipherKey::new(&AES_256, derived.as_ref()).map_err(|_| KeystoreError::Encrypt)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| KeystoreError::Encrypt)?;
    // Room for the padding, so that the plaintext is overwritten and not moved.
    let mut ciphertext = Vec::with_capacity(plaintext.len() + BLOCK_BYTES);
    ciphertext.extend_from_slice(plaintext);
    let context = key.encrypt(&mut ciphertext).map_err(|_| KeystoreError::Encrypt)?;
    let DecryptionContext::Iv128(vector) = context else { return Err(KeystoreError::Encrypt) };
    Ok(Encrypted { salt, vector: vector.as_ref().to_vec(), ciphertext })
}

impl Encrypted {
    /// `AlgorithmIdentifier` with everything but the password.
    pub(super) fn write_algorithm(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            oid(writer.next(), PBES2);
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), PBKDF2);
                    writer.next().write_sequence(|writer| {
                        writer.next().write_bytes(&self.salt);
                        writer.next().write_u32(ITERATIONS.get());
                        writer.next().write_sequence(|writer| {
                            oid(writer.next(), HMAC_WITH_SHA256);
                            writer.next().write_null();
                        });
                    });
                });
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), AES256_CBC);
                    writer.next().write_bytes(&self.vector);
                });
            });
        });
    }
}

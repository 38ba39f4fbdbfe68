//! Key, certificate and CAs in one file with a password (PKCS#12, RFC 7292), for VPN routers that read no PEM.
//!
//! ```text
//!  PFX: ┌ encrypted: the certificate (named, with the key's id), the CAs
//!       ├ encrypted: the private key (PKCS#8)
//!       └ MAC over both
//! ```
//!
//! Both parts are encrypted as PBES2 says (RFC 8018): PBKDF2 with HMAC-SHA-256, AES-256-CBC. The MAC is HMAC-SHA-256. That
//! is what openssl 3 writes by itself, and the newest that older readers know. Salts and vectors are the operating
//! system's randomness, from inside the crypto library.

mod encryption;
mod mac;

use sha2::{Digest, Sha256};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag};

use crate::bundle::TrustBundle;
use crate::inspect::{self, CertificateError};
use crate::key::PrivateKey;

/// The name that readers show for key and certificate.
const NAME: &str = "sallyport";

/// id-data, id-encryptedData (RFC 5652 sections 4 and 8).
const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
/// pkcs8ShroudedKeyBag, certBag (RFC 7292 section 4.2), x509Certificate, friendlyName, localKeyId (RFC 2985).
const SHROUDED_KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 20];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];

/// The file. The password is 1 to 1024 bytes of UTF-8.
///
/// # Errors
/// See [`KeystoreError`].
pub fn keystore(
    key: &PrivateKey,
    leaf_der: &[u8],
    authorities: &TrustBundle,
    password: &str,
) -> Result<Vec<u8>, KeystoreError> {
    if !(1..=1024).contains(&password.len()) {
        return Err(KeystoreError::Password);
    }
    if inspect::public_key(leaf_der)? != key.public_key() {
        return Err(KeystoreError::ForeignCertificate);
    }
    let key_id = Sha256::digest(leaf_der);
    let certificates = encryption::encrypt(&certificate_bags(leaf_der, authorities, &key_id), password)?;
    let shrouded = encryption::encrypt(&key.to_pkcs8_der(), password)?;
    let contents = yasna::construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            content(writer.next(), ENCRYPTED_DATA, |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_u8(0);
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), DATA);
                        certificates.write_algorithm(writer.next());
                        writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                            writer.write_bytes(&certificates.ciphertext);
                        });
                    });
                });
            });
            content(writer.next(), DATA, |writer| writer.write_bytes(&key_bag(&shrouded, &key_id)));
        });
    });
    let mac = mac::Mac::over(&contents, password)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            content(writer.next(), DATA, |writer| writer.write_bytes(&contents));
            mac.write(writer.next());
        });
    }))
}

/// The leaf first, as some readers take the first for the key's.
fn certificate_bags(leaf_der: &[u8], authorities: &TrustBundle, key_id: &[u8]) -> Vec<u8> {
    let bag = |writer: DERWriter<'_>, der: &[u8], with_attributes: Option<&[u8]>| {
        writer.write_sequence(|writer| {
            oid(writer.next(), CERTIFICATE_BAG);
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    oid(writer.next(), X509_CERTIFICATE);
                    writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(der));
                });
            });
            if let Some(key_id) = with_attributes {
                attributes(writer, key_id);
            }
        });
    };
    yasna::construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            bag(writer.next(), leaf_der, Some(key_id));
            authorities.certificates().for_each(|der| bag(writer.next(), &der, None));
        });
    })
}

fn key_bag(shrouded: &encryption::Encrypted, key_id: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            writer.next().write_sequence(|writer| {
                oid(writer.next(), SHROUDED_KEY_BAG);
                writer.next().write_tagged(Tag::context(0), |writer| {
                    writer.write_sequence(|writer| {
                        shrouded.write_algorithm(writer.next());
                        writer.next().write_bytes(&shrouded.ciphertext);
                    });
                });
                attributes(writer, key_id);
            });
        });
    })
}

/// What ties the certificate to its key, and what humans see.
fn attributes(writer: &mut DERWriterSeq<'_>, key_id: &[u8]) {
    writer.next().write_set_of(|writer| {
        writer.next().write_sequence(|writer| {
            oid(writer.next(), FRIENDLY_NAME);
            writer.next().write_set_of(|writer| writer.next().write_bmp_string(NAME));
        });
        writer.next().write_sequence(|writer| {
            oid(writer.next(), LOCAL_KEY_ID);
            writer.next().write_set_of(|writer| writer.next().write_bytes(key_id));
        });
    });
}

/// `ContentInfo` (RFC 5652 section 3).
fn content(writer: DERWriter<'_>, kind: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|writer| {
        oid(writer.next(), kind);
        writer.next().write_tagged(Tag::context(0), value);
    });
}

fn oid(writer: DERWriter<'_>, components: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(components));
}

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// It cannot be read.
    #[error("certificate of the PKCS#12 file is refused")]
    Certificate(#[from] CertificateError),
    /// The crypto library failed.
    #[error("PKCS#12 file could not be encrypted")]
    Encrypt,
    /// It holds another key.
    #[error("certificate of the PKCS#12 file does not hold its key")]
    ForeignCertificate,
    /// Empty or far too long.
    #[error("password of the PKCS#12 file needs 1 to 1024 bytes")]
    Password,
}

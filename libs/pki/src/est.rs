//! The bodies that EST (RFC 7030) exchanges, as DER: certificates as PKCS#7 without content or signatures, and what a
//! request should look like. Base64 is the edge's business, but for [`decode_body`].

use base64::{Engine, engine::general_purpose::STANDARD};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERMode, BERReader, DERWriter, Tag};

use crate::bundle::TrustBundle;
use crate::csr::MAX_REQUEST_BYTES;
use crate::inspect;

/// A larger message is refused unread: more than a hundred certificates of ours.
pub const MAX_CERTS_ONLY_BYTES: usize = 128 * 1024;

/// id-signedData and id-data (RFC 5652 sections 5.1 and 4).
const SIGNED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 2];
const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
/// id-ecPublicKey, prime256v1, ecdsa-with-SHA256 (RFC 5480 sections 2.1.1 and 2.1.1.1, RFC 5758 section 3.2).
const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10045, 2, 1];
const PRIME256V1: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];

/// The answer to `cacerts` (RFC 7030 section 4.1.3): every CA that counts.
pub fn cacerts(trust: &TrustBundle) -> Vec<u8> {
    let certificates: Vec<_> = trust.certificates().collect();
    message(certificates.iter().map(|der| der.as_ref()))
}

/// The answer to `simpleenroll` and `simplereenroll` (section 4.2.3): the one certificate, DER. Its CA is among the
/// `cacerts`.
pub fn certs_only(leaf_der: &[u8]) -> Vec<u8> {
    message([leaf_der])
}

/// The answer to `csrattrs` (section 4.5.2): a key on P-256, a signature with SHA-256.
pub fn csr_attributes() -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            writer.next().write_sequence(|writer| {
                oid(writer.next(), EC_PUBLIC_KEY);
                writer.next().write_set_of(|writer| oid(writer.next(), PRIME256V1));
            });
            oid(writer.next(), ECDSA_WITH_SHA256);
        });
    })
}

/// The certificates (DER) of either answer, in its order, which means nothing. Nobody has vouched for them.
///
/// # Errors
/// See [`CertsOnlyRefused`]; hostile bytes never panic.
pub fn parse_certs_only(bytes: &[u8]) -> Result<Vec<Vec<u8>>, CertsOnlyRefused> {
    if bytes.len() > MAX_CERTS_ONLY_BYTES {
        return Err(CertsOnlyRefused::TooLarge);
    }
    // CMS is BER: other implementations write their sets unsorted and their lengths as they like.
    let read = yasna::parse_ber_general(bytes, BERMode::Ber, read_message);
    let certificates = read.map_err(|_| CertsOnlyRefused::Unreadable)?;
    match certificates.iter().position(|der| inspect::parse(der).is_err()) {
        Some(index) => Err(CertsOnlyRefused::Certificate { position: index + 1 }),
        None if certificates.is_empty() => Err(CertsOnlyRefused::Empty),
        None => Ok(certificates),
    }
}

/// The DER of an EST body (RFC 8951 section 3.1): base64, with white space anywhere. PEM armour is let pass, because
/// `openssl req` writes it and whoever enrols by hand sends that.
///
/// # Errors
/// See [`BodyRefused`]; hostile bytes never panic.
pub fn decode_body(body: &[u8]) -> Result<Vec<u8>, BodyRefused> {
    if body.len() > 2 * MAX_REQUEST_BYTES {
        return Err(BodyRefused::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyRefused::NotBase64)?;
    let compact: String = without_armour(text.trim())?.split_ascii_whitespace().collect();
    let der = STANDARD.decode(compact).map_err(|_| BodyRefused::NotBase64)?;
    if der.is_empty() { Err(BodyRefused::NotBase64) } else { Ok(der) }
}

/// Both lines or none; one of each label only.
fn without_armour(text: &str) -> Result<&str, BodyRefused> {
    for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        if let Some(rest) = text.strip_prefix(begin.as_str()) {
            return rest.strip_suffix(end.as_str()).ok_or(BodyRefused::NotBase64);
        }
    }
    Ok(text)
}

/// `ContentInfo` with `SignedData` of version 1 that has certificates and nothing else (RFC 5652 section 5.1).
fn message<'c>(certificates: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            oid(writer.next(), SIGNED_DATA);
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_u8(1);
                    writer.next().write_set_of(|_| {}); // digest algorithms
                    writer.next().write_sequence(|writer| oid(writer.next(), DATA));
                    writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                        writer.write_set_of(|writer| {
                            // The writer panics at an element without bytes.
                            let certificates = certificates.into_iter().filter(|der| !der.is_empty());
                            certificates.for_each(|der| writer.next().write_der(der));
                        });
                    });
                    writer.next().write_set_of(|_| {}); // signers
                });
            });
        });
    })
}

fn read_message(reader: BERReader<'_, '_>) -> ASN1Result<Vec<Vec<u8>>> {
    reader.read_sequence(|reader| {
        expect(reader.next().read_oid()?, SIGNED_DATA)?;
        reader.next().read_tagged(Tag::context(0), |reader| {
            reader.read_sequence(|reader| {
                reader.next().read_u8()?;
                reader.next().read_set_of(|reader| reader.read_der().map(drop))?;
                reader.next().read_sequence(|reader| expect(reader.next().read_oid()?, DATA))?;
                let certificates = reader.next().read_tagged_implicit(Tag::context(0), |reader| {
                    reader.collect_set_of(|reader| reader.read_der())
                })?;
                let lists = |reader: BERReader<'_, '_>| {
                    reader.read_tagged_implicit(Tag::context(1), |reader| {
                        reader.read_set_of(|reader| reader.read_der().map(drop))
                    })
                };
                reader.read_optional(lists)?;
                reader.next().read_set_of(|_| Err(ASN1Error::new(ASN1ErrorKind::Invalid)))?;
                Ok(certificates)
            })
        })
    })
}

fn expect(found: ObjectIdentifier, wanted: &[u64]) -> ASN1Result<()> {
    let same = found.components().as_slice() == wanted;
    if same { Ok(()) } else { Err(ASN1Error::new(ASN1ErrorKind::Invalid)) }
}

fn oid(writer: DERWriter<'_>, components: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(components));
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertsOnlyRefused {
    /// One of its parts is no certificate.
    #[error("PKCS#7 message: part {position} is not an X.509 certificate")]
    Certificate {
        /// Counted from 1.
        position: usize,
    },
    /// It holds no certificate.
    #[error("PKCS#7 message holds no certificate")]
    Empty,
    /// See [`MAX_CERTS_ONLY_BYTES`].
    #[error("PKCS#7 message is larger than {MAX_CERTS_ONLY_BYTES} bytes")]
    TooLarge,
    /// Not PKCS#7 with certificates and without content and signatures.
    #[error("message is not certs-only PKCS#7 (RFC 5652) in DER")]
    Unreadable,
}

/// Why the body of a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefused {
    /// Neither base64 nor the PEM of one certificate request.
    #[error("request is not base64 of a certificate request (such as `openssl req -new` writes)")]
    NotBase64,
    /// Twice [`MAX_REQUEST_BYTES`]: base64 adds a third, and lines a little.
    #[error("request is larger than {} bytes", 2 * MAX_REQUEST_BYTES)]
    TooLarge,
}

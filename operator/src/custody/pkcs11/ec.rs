//! How PKCS#11 writes elliptic curve keys and signatures, and how X.509 does.

use cryptoki::object::Attribute;
use sallyport_pki::key::KeyAlgorithm;
use sha2::{Digest as _, Sha256, Sha384};

/// DER of the object identifiers of the curves (RFC 5480 section 2.1.1.1), as `CKA_EC_PARAMS` has them.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

pub(super) fn parameters(algorithm: KeyAlgorithm) -> &'static [u8] {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => P256,
        KeyAlgorithm::EcdsaP384 => P384,
    }
}

/// Length of a coordinate, and of each half of a signature.
fn length(algorithm: KeyAlgorithm) -> usize {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => 32,
        KeyAlgorithm::EcdsaP384 => 48,
    }
}

/// Algorithm and uncompressed point of a public key, from `CKA_EC_PARAMS` and `CKA_EC_POINT`.
pub(super) fn public_key(attributes: &[Attribute]) -> Option<(KeyAlgorithm, Vec<u8>)> {
    let algorithm = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcParams(params) if params == P256 => Some(KeyAlgorithm::EcdsaP256),
        Attribute::EcParams(params) if params == P384 => Some(KeyAlgorithm::EcdsaP384),
        _ => None,
    })?;
    let point = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point.as_slice()),
        _ => None,
    })?;
    let uncompressed = 1 + 2 * length(algorithm);
    // The standard wants an OCTET STRING (PKCS #11 v2.40 section 2.3.3); some modules give the point alone.
    let point = match point {
        [0x04, n, rest @ ..] if usize::from(*n) == uncompressed && rest.len() == uncompressed => rest,
        alone if alone.len() == uncompressed => alone,
        _ => return None,
    };
    (point.first() == Some(&0x04)).then(|| (algorithm, point.to_vec()))
}

pub(super) fn digest(algorithm: KeyAlgorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => Sha256::digest(message).to_vec(),
        KeyAlgorithm::EcdsaP384 => Sha384::digest(message).to_vec(),
    }
}

/// `Ecdsa-Sig-Value` (RFC 5480 appendix A) of a token's `r || s`.
pub(super) fn signature(algorithm: KeyAlgorithm, raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() != 2 * length(algorithm) {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    let body = [integer(r), integer(s)].concat();
    // Two integers of at most 51 bytes each: the length fits into seven bits.
    Some([&[0x30, u8::try_from(body.len()).ok()?], body.as_slice()].concat())
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let significant = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let mut value = bytes[significant..].to_vec();
    if value[0] & 0x80 != 0 {
        value.insert(0, 0);
    }
    let mut der = vec![0x02, u8::try_from(value.len()).unwrap_or_default()];
    der.append(&mut value);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_two_positive_integers_without_leading_zeros() {
        let mut raw = [0u8; 64];
        raw[31] = 0x7f;
        raw[32] = 0x80;
        let der = signature(KeyAlgorithm::EcdsaP256, &raw).unwrap();
        assert_eq!(der[..7], [0x30, 38, 0x02, 1, 0x7f, 0x02, 33]);
        assert_eq!(der[7..9], [0, 0x80]);
        assert_eq!(signature(KeyAlgorithm::EcdsaP256, &[0; 64]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(signature(KeyAlgorithm::EcdsaP384, &raw), None);
        let longest = signature(KeyAlgorithm::EcdsaP384, &[0xff; 96]).unwrap();
        assert_eq!((longest.len(), longest[1]), (104, 102));
    }

    #[test]
    fn a_public_key_is_read_wrapped_or_alone_and_never_another_curve() {
        let point = [&[0x04][..], &[7; 64]].concat();
        let wrapped = [&[0x04, 65][..], &point].concat();
        for bytes in [&wrapped, &point] {
            let attributes = [Attribute::EcParams(P256.to_vec()), Attribute::EcPoint(bytes.clone())];
            assert_eq!(public_key(&attributes), Some((KeyAlgorithm::EcdsaP256, point.clone())));
        }
        let other = [Attribute::EcParams(P384.to_vec()), Attribute::EcPoint(point)];
        assert_eq!(public_key(&other), None);
        assert_eq!(public_key(&[Attribute::EcParams(vec![1]), Attribute::EcPoint(wrapped)]), None);
    }
}

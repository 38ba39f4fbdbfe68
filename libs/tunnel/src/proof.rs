//! The proof of who is at the other end, as of now: a certificate and a signature by its key. How it is signed and
//! verified is `sallyport_pki::renewal`'s; here it travels, in two headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

/// Bytes of the question's nonce.
pub const NONCE: usize = 32;

const CERTIFICATE: HeaderName = HeaderName::from_static("sallyport-certificate");
const PROOF: HeaderName = HeaderName::from_static("sallyport-proof");

/// A leaf of the longest names is about 1 KiB. Both bounds together fit into the headers' 4 KiB.
const MAX_CERTIFICATE: usize = 2 * 1024;
/// ASN.1 ECDSA over P-384 is at most 104 bytes.
const MAX_SIGNATURE: usize = 256;

/// What an agent proves itself with. Not verified by who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The leaf, DER. 1 byte to 2 KiB.
    pub certificate: Vec<u8>,
    /// ASN.1 ECDSA. 1 to 256 bytes.
    pub signature: Vec<u8>,
}

impl Proof {
    pub(crate) fn response(&self) -> Option<Response<()>> {
        let mut response = Response::new(());
        for (name, bytes, max) in
            [(CERTIFICATE, &self.certificate, MAX_CERTIFICATE), (PROOF, &self.signature, MAX_SIGNATURE)]
        {
            let fits = (1..=max).contains(&bytes.len());
            let value = HeaderValue::from_str(&STANDARD.encode(bytes)).ok().filter(|_| fits)?;
            response.headers_mut().insert(name, value);
        }
        Some(response)
    }

    pub(crate) fn parse(headers: &HeaderMap) -> Option<Self> {
        let bytes = |name, max| {
            // Longer text is not even decoded. The headers' own limit is just above.
            let text = headers.get(name)?.as_bytes();
            let bytes = STANDARD.decode(Some(text).filter(|text| text.len() <= 2 * max)?).ok()?;
            Some(bytes).filter(|bytes| (1..=max).contains(&bytes.len()))
        };
        Some(Self { certificate: bytes(CERTIFICATE, MAX_CERTIFICATE)?, signature: bytes(PROOF, MAX_SIGNATURE)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_proof_round_trips_or_is_not_sent(certificate in vec(any::<u8>(), 0..2200), signature in vec(any::<u8>(), 0..300)) {
            let fits = (1..=MAX_CERTIFICATE).contains(&certificate.len()) && (1..=MAX_SIGNATURE).contains(&signature.len());
            let proof = Proof { certificate, signature };
            let back = proof.response().map(|response| Proof::parse(response.headers()));
            prop_assert_eq!(back, fits.then_some(Some(proof)));
        }

        #[test]
        fn what_is_no_proof_is_none(text in "[ -~]{0,40}") {
            let mut headers = HeaderMap::new();
            headers.insert(CERTIFICATE, HeaderValue::from_static("AAAA"));
            prop_assert_eq!(Proof::parse(&headers), None);
            headers.insert(PROOF, HeaderValue::from_str(&text).unwrap());
            let expected = STANDARD.decode(&text).ok().filter(|bytes| !bytes.is_empty());
            prop_assert_eq!(Proof::parse(&headers).map(|proof| proof.signature), expected);
        }
    }

    #[test]
    fn an_agent_that_sends_too_much_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(PROOF, HeaderValue::from_static("AAAA"));
        headers.insert(CERTIFICATE, HeaderValue::from_str(&STANDARD.encode(vec![0; MAX_CERTIFICATE + 1])).unwrap());
        assert_eq!(Proof::parse(&headers), None);
    }
}

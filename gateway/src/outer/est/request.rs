//! The request's body: base64 (RFC 8951 section 3.1) of a PKCS#10 request.

use std::error::Error as _;

use axum::RequestExt as _;
use axum::extract::Request;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use sallyport_pki::key::PublicKey;
use sallyport_pki::{csr, est};

use super::answer::Refused;

/// A request whose sender holds the key.
pub(super) struct Csr {
    /// PKCS#10, DER.
    pub(super) der: Vec<u8>,
    /// All that is taken from it.
    pub(super) key: PublicKey,
}

impl Csr {
    /// Reads the body, within the limit that the door sets, and checks its form, its key and the proof of possession.
    pub(super) async fn read(request: Request) -> Result<Self, Refused> {
        let is_pkcs10 = |value: &str| {
            let media = value.split(';').next().unwrap_or_default();
            media.trim().eq_ignore_ascii_case("application/pkcs10")
        };
        let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !media.is_some_and(is_pkcs10) {
            return Err(bad("send Content-Type: application/pkcs10"));
        }
        let body: Bytes = request.extract().await.map_err(|_| bad("the request's body is too long or broke off"))?;
        Self::parse(&body)
    }

    fn parse(body: &[u8]) -> Result<Self, Refused> {
        let der = est::decode_body(body).map_err(|error| bad(&error.to_string()))?;
        let key = csr::public_key(&der).map_err(|error| {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            Refused::BadRequest { message: format!("{error}{cause}") }
        })?;
        Ok(Self { der, key })
    }
}

fn bad(message: &str) -> Refused {
    Refused::BadRequest { message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};

    use super::*;

    #[test]
    fn any_line_breaks_will_do() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let der = csr::request(&key).unwrap();
        let text = STANDARD.encode(&der);
        let wrapped: String =
            text.as_bytes().chunks(64).map(|line| format!("{}\r\n", str::from_utf8(line).unwrap())).collect();
        for body in [text, wrapped] {
            let read = Csr::parse(body.as_bytes()).unwrap_or_else(|refused| panic!("{refused}"));
            assert_eq!((read.der, read.key), (der.clone(), key.public_key()));
        }
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        for (body, words) in [("", "base64"), ("!", "base64"), ("AAAA", "PKCS#10"), ("-----BEGIN", "base64")] {
            let refused = Csr::parse(body.as_bytes()).err().unwrap();
            assert!(refused.label() == "badRequest" && refused.to_string().contains(words), "{body}: {refused}");
        }
    }
}

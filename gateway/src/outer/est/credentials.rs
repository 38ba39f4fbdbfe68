//! The one-time token, in HTTP Basic (RFC 7617). Only its hash leaves this file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sallyport_core::name::EndpointId;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::answer::Refused;

/// Longest header value: two names, a token, and base64 on top are half of it.
const MAX_HEADER: usize = 1024;
/// Longest token. Ours have 43 characters.
const MAX_TOKEN: usize = 128;

/// Who is claimed to ask, and the hash of the proof.
pub(super) struct Credentials {
    /// The user name.
    pub(super) endpoint: EndpointId,
    /// SHA-256 of the password.
    pub(super) sha256: [u8; 32],
}

impl Credentials {
    /// Takes them out of the headers. What was decoded is wiped; the bytes that hyper read from the connection are freed
    /// with the request, which is as far as this process reaches.
    pub(super) fn take(headers: &mut HeaderMap) -> Result<Self, Refused> {
        let several = headers.get_all(AUTHORIZATION).iter().count() > 1;
        let value = headers.remove(AUTHORIZATION).ok_or(Refused::NoToken)?;
        let malformed = || {
            let message = "Authorization: send Basic with user NAMESPACE/ENDPOINT and the token as password; a token has \
                           1 to 128 letters, digits, hyphens and underscores";
            Refused::BadRequest { message: message.to_owned() }
        };
        if several || value.len() > MAX_HEADER {
            return Err(malformed());
        }
        let (scheme, encoded) = split_once(value.as_bytes(), b' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(malformed());
        }
        let plain = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).map_err(|_| malformed())?);
        let (user, token) = split_once(&plain, b':').ok_or_else(malformed)?;
        let endpoint = std::str::from_utf8(user).ok().and_then(|user| user.parse().ok()).ok_or_else(malformed)?;
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_TOKEN).contains(&token.len()) || !token.iter().all(fine) {
            return Err(malformed());
        }
        Ok(Self { endpoint, sha256: Sha256::digest(token).into() })
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn take(value: &str) -> Result<Credentials, Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        let taken = Credentials::take(&mut headers);
        assert!(headers.is_empty(), "nothing of it stays");
        taken
    }

    fn basic(plain: &str) -> String {
        format!("Basic {}", STANDARD.encode(plain))
    }

    #[test]
    fn the_endpoint_and_the_hash_come_back() {
        for scheme in ["Basic", "basic"] {
            let value = basic("lyon/agent:a-B_9").replace("Basic", scheme);
            let taken = take(&value).unwrap_or_else(|refused| panic!("{refused}"));
            assert_eq!(taken.endpoint.to_string(), "lyon/agent");
            assert_eq!(taken.sha256, <[u8; 32]>::from(Sha256::digest("a-B_9")));
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        let long = "x".repeat(MAX_TOKEN + 1);
        for plain in [
            "",
            ":",
            "lyon/agent",
            "lyon/agent:",
            "agent:t",
            "LYON/agent:t",
            "lyon/a/b:t",
            "lyon/agent:t t",
            "lyon/agent:t:t",
            "lyon/agent:ä",
            "lyon/agent:t\n",
            "lyon/agent:../x",
            &format!("lyon/agent:{long}"),
        ] {
            assert_eq!(take(&basic(plain)).err().map(|r| r.label()), Some("badRequest"), "{plain:?}");
        }
        for value in ["Bearer abc", "Basic", "Basic !!!", &format!("Basic {}", "A".repeat(MAX_HEADER))] {
            assert_eq!(take(value).err().map(|r| r.label()), Some("badRequest"), "{value:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Credentials::take(&mut headers).err().map(|r| r.label()), Some("noToken"));
        for value in [basic("lyon/a:t"), basic("lyon/b:t")] {
            headers.append(AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        }
        assert_eq!(Credentials::take(&mut headers).err().map(|r| r.label()), Some("badRequest"));
    }
}

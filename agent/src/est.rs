//! The client's side of EST (RFC 7030): three questions, each over a connection of its own to the outer door.
//!
//! | question | proves itself with |
//! |---|---|
//! | [`Question::CaCerts`] | nothing |
//! | [`Question::Enrol`] | the one-time token, by HTTP Basic |
//! | [`Question::Reenrol`] | the certificate of the connection, and a signature by its key, for the operator |
//!
//! What comes back is certificates that nobody has looked at yet.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use sallyport_core::name::EndpointId;
use sallyport_pki::{est, reenrol};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::dial::{self, DialError};

/// A bundle of many CAs is tens of KiB.
const MAX_ANSWER: usize = 256 * 1024;
/// What a refusal says, shown to a person.
const MAX_WORDS: usize = 300;
/// Whoever asks for a longer wait is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A one-time token. Neither shown nor logged, and wiped when dropped.
pub struct Token(Zeroizing<String>);

impl Token {
    /// 1 to 256 printable ASCII characters without spaces; around them white space may stand, as in a file.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fine = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fine.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'q> {
    /// Which CAs are trusted?
    CaCerts,
    /// A first certificate.
    Enrol {
        /// For whom.
        endpoint: &'q EndpointId,
        /// The right to it.
        token: &'q Token,
        /// PKCS#10, DER.
        csr: &'q [u8],
    },
    /// Another certificate for the one that the connection shows.
    Reenrol {
        /// PKCS#10, DER.
        csr: &'q [u8],
        /// [`reenrol::sign`] of it by the certificate's key: the gateway ends the connection, so its word alone would
        /// not do.
        proof: &'q [u8],
    },
}

impl Question<'_> {
    fn request(&self, host: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let (method, path, csr) = match self {
            Self::CaCerts => (Method::GET, "/.well-known/est/cacerts", None),
            Self::Enrol { csr, .. } => (Method::POST, "/.well-known/est/simpleenroll", Some(csr)),
            Self::Reenrol { csr, .. } => (Method::POST, "/.well-known/est/simplereenroll", Some(csr)),
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if csr.is_some() {
            request = request.header(CONTENT_TYPE, "application/pkcs10").header("content-transfer-encoding", "base64");
        }
        if let Self::Enrol { endpoint, token, .. } = self {
            let pair = Zeroizing::new(format!("{endpoint}:{}", token.expose()));
            let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            let mut value = HeaderValue::from_str(&text)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Self::Reenrol { proof, .. } = self {
            request = request.header(reenrol::HEADER, STANDARD.encode(proof));
        }
        request.body(Full::from(csr.map(|csr| STANDARD.encode(csr)).unwrap_or_default()))
    }
}

/// The certificates of a good answer, DER, with the gateway's clock if it says one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// At least one, in the answer's order.
    pub certificates: Vec<Vec<u8>>,
    /// The header `Date`.
    pub date: Option<Timestamp>,
}

/// Asks over a connection that stands.
///
/// # Errors
/// See [`EstError`].
pub async fn ask(stream: TlsStream<TcpStream>, host: &str, question: Question<'_>) -> Result<Certificates, EstError> {
    let request = question.request(host).map_err(DialError::from)?;
    let (status, headers, body) = dial::exchange(stream, request, MAX_ANSWER).await?;
    if status != StatusCode::OK {
        return Err(EstError::Refused(Refused::of(status, &headers, &body)));
    }
    let kind = text(&headers, CONTENT_TYPE.as_str());
    if !kind.starts_with("application/pkcs7-mime") {
        return Err(EstError::NotEst(format!("its answer is {kind:?}")));
    }
    let compact: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(compact).map_err(|_| EstError::NotEst("its answer is not base64".to_owned()))?;
    let certificates = est::parse_certs_only(&der).map_err(|error| EstError::NotEst(error.to_string()))?;
    Ok(Certificates { certificates, date: dial::date(&headers) })
}

/// How a gateway says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: StatusCode,
    /// `Sallyport-Reason`: `tokenRefused`, `revoked`, `unknownEndpoint`, `suspended`, `deliveredBySecret`, `badRequest`,
    /// `notNow`, or another of a newer gateway's, or nothing.
    pub reason: String,
    /// In its words, printable; may be empty.
    pub words: String,
    /// When to ask again, if it says.
    pub retry_after: Option<Duration>,
}

impl Refused {
    fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let spoken = serde_json::from_slice::<Spoken>(body).unwrap_or_default();
        let reason = text(headers, "sallyport-reason");
        let reason = if reason.is_empty() { &spoken.code } else { reason };
        let seconds = text(headers, RETRY_AFTER.as_str()).parse().ok();
        Self {
            status,
            reason: printable(reason),
            words: printable(if spoken.message.is_empty() { body_text(headers, body) } else { &spoken.message }),
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER)),
        }
    }

    /// Asking again is of no use before somebody copies other files here.
    pub fn is_delivered_by_secret(&self) -> bool {
        self.reason == "deliveredBySecret"
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, reason, words, .. } = self;
        write!(f, "{}", status.as_u16())?;
        for part in [reason, words] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}

/// The body of a refusal, as of every error of the doors.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Spoken {
    code: String,
    message: String,
}

fn body_text<'b>(headers: &HeaderMap, body: &'b [u8]) -> &'b str {
    let plain = text(headers, CONTENT_TYPE.as_str()).starts_with("text/plain");
    if plain { std::str::from_utf8(body).unwrap_or_default().trim() } else { "" }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum EstError {
    /// The way to the gateway.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It answered, but not as EST does.
    #[error("what answers is no EST server: {0}")]
    NotEst(String),
    /// It said no.
    #[error("the gateway refused: {0}")]
    Refused(Refused),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let token = Token::parse("  Zx9-secret\n").unwrap();
        assert_eq!((token.expose(), format!("{token:?}").as_str()), ("Zx9-secret", "Token"));
        for bad in ["", " ", "two words", "\u{e9}", &"x".repeat(257)] {
            assert!(Token::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_token_goes_into_the_authorization_and_nowhere_else() {
        let (endpoint, token) = ("lyon/ct".parse().unwrap(), Token::parse("a:secret").unwrap());
        let request = Question::Enrol { endpoint: &endpoint, token: &token, csr: b"csr" }.request("outer").unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {}", STANDARD.encode("lyon/ct:a:secret")));
        assert_eq!(request.uri(), "/.well-known/est/simpleenroll");
        let shown = format!("{:?} {:?}", request.headers(), request.uri());
        assert!(!shown.contains("secret") && !shown.contains(&STANDARD.encode("lyon/ct:a:secret")), "{shown}");
    }

    #[test]
    fn a_refusal_is_read_from_header_and_body_and_bounded() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "120".parse().unwrap());
        let body = br#"{"code":"tokenRefused","message":"used up\u0007 already"}"#;
        let refused = Refused::of(StatusCode::UNAUTHORIZED, &headers, body);
        assert_eq!(refused.to_string(), "401 tokenRefused used up already");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(120)));
        headers.insert("sallyport-reason", "deliveredBySecret".parse().unwrap());
        headers.insert(RETRY_AFTER, "99999999999".parse().unwrap());
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        let refused = Refused::of(StatusCode::FORBIDDEN, &headers, "x".repeat(1000).as_bytes());
        assert!(refused.is_delivered_by_secret());
        assert_eq!((refused.words.len(), refused.retry_after), (MAX_WORDS, Some(LONGEST_RETRY_AFTER)));
        let page = Refused::of(StatusCode::NOT_FOUND, &HeaderMap::new(), b"<html>portal</html>");
        assert_eq!(page.to_string(), "404");
    }
}

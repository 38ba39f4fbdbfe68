//! Answers: certificates as base64 of PKCS#7, refusals as on every door.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::est;
use serde::Serialize;

/// RFC 7030 section 4.1.3.
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 8951 section 3.1: clients must ignore it, and some older ones ask for it.
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
/// After which an operator that is away is asked for again.
const LATER: Duration = Duration::from_secs(10);

pub(super) fn authorities(bundle: &TrustBundle) -> Result<Response, Problem> {
    Ok(base64(CERTS_ONLY, &est::cacerts(bundle)))
}

pub(super) fn certificate(leaf: &[u8]) -> Result<Response, Refused> {
    Ok(base64(CERTS_ONLY, &est::certs_only(leaf)))
}

pub(super) async fn csr_attributes() -> Response {
    base64("application/csrattrs", &est::csr_attributes())
}

fn base64(media: &'static str, der: &[u8]) -> Response {
    let headers = [(CONTENT_TYPE, media), (TRANSFER_ENCODING, "base64")];
    (headers, STANDARD.encode(der)).into_response()
}

/// Why no certificate is given.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Not an enrolment.
    #[error("{message}")]
    BadRequest { message: String },
    /// The operator's word, of its closed set.
    #[error("{message}")]
    ByOperator { code: &'static str, status: StatusCode, message: String },
    /// Renewal is by the certificate.
    #[error("renewal needs the client certificate that is to be renewed")]
    NoCertificate,
    /// Nobody can decide now.
    #[error("no operator is attached to this gateway; try again later")]
    NoOperator,
    /// Enrolment is by the token.
    #[error("send Basic with user NAMESPACE/ENDPOINT and the one-time token as password")]
    NoToken,
    /// Nobody decided in time.
    #[error("{message}")]
    NotNow { message: String },
    /// The gateway does not know its authorities yet.
    #[error("this gateway knows no certificate authorities yet")]
    NotReady,
    /// The certificate of the connection would not be let in any more.
    #[error("{message}")]
    NotTrusted { message: String },
    /// Too many wrong tokens.
    #[error("too many refused enrolments; try again in {} s", wait.as_secs() + 1)]
    TooMany { wait: Duration },
    /// What the operator sent is no certificate for this key.
    #[error("the operator's answer is unusable; see the gateway's log")]
    Unusable,
}

impl Refused {
    pub(super) fn by_operator(code: &str, message: String) -> Self {
        let (code, status) = match code {
            "badRequest" => return Self::BadRequest { message },
            "notNow" => return Self::NotNow { message },
            "tokenRefused" => ("tokenRefused", StatusCode::UNAUTHORIZED),
            "revoked" => ("revoked", StatusCode::FORBIDDEN),
            "unknownEndpoint" => ("unknownEndpoint", StatusCode::FORBIDDEN),
            "suspended" => ("suspended", StatusCode::FORBIDDEN),
            "deliveredBySecret" => ("deliveredBySecret", StatusCode::FORBIDDEN),
            "proofRequired" => ("proofRequired", StatusCode::FORBIDDEN),
            // A newer operator's.
            _ => ("refused", StatusCode::FORBIDDEN),
        };
        Self::ByOperator { code, status, message }
    }

    /// Whether it counts against the asker.
    pub(super) fn is_the_askers(&self) -> bool {
        matches!(self, Self::ByOperator { .. })
    }

    /// The code of the API and the label of the metric; a closed set.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::BadRequest { .. } => "badRequest",
            Self::ByOperator { code, .. } => code,
            Self::NoCertificate => "certificateRequired",
            Self::NoOperator => "noOperator",
            Self::NoToken => "noToken",
            Self::NotNow { .. } => "notNow",
            Self::NotReady => "notReady",
            Self::NotTrusted { .. } => "certificateNotTrusted",
            Self::TooMany { .. } => "tooManyRefused",
            Self::Unusable => "unusable",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::ByOperator { status, .. } => *status,
            Self::NoCertificate | Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::NoOperator | Self::NotNow { .. } | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotTrusted { .. } => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unusable => StatusCode::BAD_GATEWAY,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoOperator | Self::NotNow { .. } | Self::NotReady => Some(LATER),
            Self::TooMany { wait } => Some(*wait + Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// A refusal on its way out.
pub(super) struct Problem(Refused);

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self(refused)
    }
}

#[derive(Serialize)]
struct Body {
    code: &'static str,
    message: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(refused) = self;
        let body = Body { code: refused.label(), message: refused.to_string() };
        let mut response = (refused.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        if matches!(refused, Refused::NoToken | Refused::ByOperator { status: StatusCode::UNAUTHORIZED, .. }) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"sallyport\""));
        }
        if let Some(wait) = refused.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}

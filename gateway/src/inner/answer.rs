//! Answers of the doors' APIs: JSON, and for every error `{code, message}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::sessions::OpenRefused;

/// An error as the other side reads it.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(skip)]
    status: StatusCode,
    /// For programs; from closed sets.
    code: &'static str,
    /// For people.
    message: String,
}

impl Problem {
    /// An error with its status.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// No such session, or not this engineer's.
    pub fn unknown_session(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        Self::new(StatusCode::NOT_FOUND, "unknownSession", format!("you have no session {id}"))
    }

    /// The certificate of the connection would not be let in any more; `why` is a word of a closed set.
    pub fn not_trusted(why: &str) -> Self {
        let message = format!("the certificate of this connection would not be let in any more: {why}");
        Self::new(StatusCode::FORBIDDEN, "certificateNotTrusted", message)
    }

    /// The replica that carries the session does not answer.
    pub fn peer_unreachable(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "gatewayUnreachable", error.to_string())
    }
}

impl From<OpenRefused> for Problem {
    fn from(refused: OpenRefused) -> Self {
        let status = match &refused {
            OpenRefused::Denied(_) => StatusCode::FORBIDDEN,
            OpenRefused::AuditUnavailable(_) | OpenRefused::Draining | OpenRefused::NotConnected(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, refused.label(), refused.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

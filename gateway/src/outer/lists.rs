//! The revocation lists, for whoever asks: they are public by their nature, and may be megabytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONNECTION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::trust::List;

/// Requests about lists on a connection without a certificate: the overview, and a list of each authority that there may
/// be in the middle of a rotation, twice over. Who wants more connects again, and needs a place for that.
const FEW: u32 = 8;

/// How many lists a connection may ask for.
#[derive(Clone)]
pub(super) enum Downloads {
    /// It showed a certificate.
    Any,
    /// It showed none: as many as are left.
    Few(Arc<AtomicU32>),
}

impl Downloads {
    /// Of a connection without a certificate.
    pub(super) fn few() -> Self {
        Self::Few(Arc::new(AtomicU32::new(FEW)))
    }

    fn take(&self) -> Result<(), NoList> {
        let Self::Few(left) = self else { return Ok(()) };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map(drop).map_err(|_| NoList::TooMany)
    }
}

/// Why no list is given.
enum NoList {
    /// The connection had its share.
    TooMany,
    /// There is none of this name.
    Unknown,
}

impl IntoResponse for NoList {
    fn into_response(self) -> Response {
        match self {
            Self::TooMany => {
                let message = "that was enough for a connection without a certificate; connect again for more";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "tooManyLists", message);
                ([(CONNECTION, "close")], problem).into_response()
            }
            Self::Unknown => {
                Problem::new(StatusCode::NOT_FOUND, "notFound", "there is no such revocation list").into_response()
            }
        }
    }
}

/// What the handlers know.
#[derive(Clone)]
struct Lists {
    gateway: Arc<Gateway>,
    downloads: Downloads,
}

pub(super) fn router(gateway: Arc<Gateway>, downloads: Downloads) -> Router {
    let lists = Lists { gateway, downloads };
    Router::new().route("/v1/crls", get(all)).route("/v1/crls/{file}", get(one)).with_state(lists)
}

async fn all(State(Lists { gateway, downloads }): State<Lists>) -> Result<Json<Value>, NoList> {
    downloads.take()?;
    let trust = gateway.trust.current();
    let lists = trust.iter().flat_map(|trust| trust.lists()).map(|list| {
        json!({
            "issuer": list.issuer,
            "number": list.list.number(),
            "nextUpdate": list.list.next_update(),
            "href": format!("/v1/crls/{}.crl", list.issuer),
        })
    });
    Ok(Json(lists.collect()))
}

async fn one(
    State(Lists { gateway, downloads }): State<Lists>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, NoList> {
    downloads.take()?;
    let trust = gateway.trust.current();
    let issuer = file.strip_suffix(".crl");
    let list = trust.iter().flat_map(|trust| trust.lists()).find(|list| Some(list.issuer.as_str()) == issuer);
    let list = list.ok_or(NoList::Unknown)?;
    let tag = etag(list);
    if knows(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    // One buffer for all who download it.
    Ok(([(CONTENT_TYPE, "application/pkix-crl".to_owned()), (ETAG, tag)], list.der.clone()).into_response())
}

/// The number of a list rises whenever its content changes.
fn etag(list: &List) -> String {
    format!("\"{}-{}\"", list.issuer, list.list.number())
}

/// RFC 9110 section 13.1.2, with weak comparison.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

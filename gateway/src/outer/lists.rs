//! The revocation lists, for whoever asks: they are public by their nature.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::inner::answer::Problem;

pub(super) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/v1/crls", get(all)).route("/v1/crls/{file}", get(one)).with_state(gateway)
}

async fn all(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let trust = gateway.trust.current();
    let lists = trust.iter().flat_map(|trust| trust.lists()).map(|list| {
        json!({
            "issuer": list.issuer,
            "number": list.list.number(),
            "nextUpdate": list.list.next_update(),
            "href": format!("/v1/crls/{}.crl", list.issuer),
        })
    });
    Json(lists.collect())
}

async fn one(State(gateway): State<Arc<Gateway>>, Path(file): Path<String>) -> Response {
    let trust = gateway.trust.current();
    let issuer = file.strip_suffix(".crl");
    let list = trust.iter().flat_map(|trust| trust.lists()).find(|list| Some(list.issuer.as_str()) == issuer);
    match list {
        Some(list) => ([(CONTENT_TYPE, "application/pkix-crl")], list.list.der().to_vec()).into_response(),
        None => Problem::new(StatusCode::NOT_FOUND, "notFound", "there is no such revocation list").into_response(),
    }
}

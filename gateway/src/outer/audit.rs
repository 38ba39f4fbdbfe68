//! The audit pages for a hospital: the records of the site of its endpoint, and no other's.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use sallyport_audit::event::ReadRefusal;

use super::{NotAdmitted, Site};
use crate::inner::answer::Problem;
use crate::readings::{self, Asked, Kind, Reader};

pub(super) fn router(site: Site) -> Router {
    Router::new().route("/v1/audit/records", get(records)).route("/v1/audit/export", get(export)).with_state(site)
}

async fn records(State(site): State<Site>, uri: Uri) -> Response {
    read(site, &uri, Kind::Records).await
}

async fn export(State(site): State<Site>, uri: Uri) -> Response {
    read(site, &uri, Kind::Export).await
}

async fn read(site: Site, uri: &Uri, kind: Kind) -> Response {
    // The connection may be older than the trust.
    if let Err(refused) = site.certificate() {
        return refused.into_response();
    }
    // A site that is suspended still owns its records.
    let Some(own) = site.gateway.site_of(&site.endpoint) else {
        let message = format!("this region has no TunnelEndpoint {}", site.endpoint);
        return NotAdmitted::new(StatusCode::FORBIDDEN, "unknownEndpoint", message).into_response();
    };
    let reader = Reader::Endpoint(site.endpoint.clone());
    let answered = async {
        readings::take_turn(&site.gateway, &reader, kind)?;
        let mut asked = Asked::read(uri, kind, Timestamp::now())?;
        if let Some(other) = asked.site.take().filter(|asked| *asked != own) {
            tracing::warn!(endpoint = %site.endpoint, %own, asked = %other, "an endpoint asked for another site's records");
            // In the log of its own site: that it asked is its customer's to know.
            readings::record_refusal(&site.gateway, &reader, Some(own), ReadRefusal::NotItsSite).await;
            let message = "an endpoint reads the records of its own site only";
            return Err(Problem::new(StatusCode::FORBIDDEN, "notItsSite", message));
        }
        asked.site = Some(own);
        readings::answer(&site.gateway, reader, kind, asked).await
    };
    answered.await.unwrap_or_else(Problem::into_response)
}

//! The audit pages for whoever the region names as auditors.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use sallyport_audit::event::ReadRefusal;
use sallyport_core::access::{AuditDenied, may_audit};

use super::Hop;
use super::answer::Problem;
use super::api::Call;
use crate::readings::{self, Asked, Kind, Reader};

pub(super) async fn records(State(call): State<Call>, uri: Uri) -> Result<Response, Problem> {
    read(call, &uri, Kind::Records).await
}

pub(super) async fn export(State(call): State<Call>, uri: Uri) -> Result<Response, Problem> {
    read(call, &uri, Kind::Export).await
}

async fn read(Call { gateway, caller }: Call, uri: &Uri, kind: Kind) -> Result<Response, Problem> {
    // Every replica has its own stream to the operator, so no peer passes this on.
    if caller.hop == Hop::Forwarded {
        return Err(Problem::new(StatusCode::NOT_FOUND, "notFound", "there is no such page"));
    }
    let config = gateway.store.current().config;
    if !caller.is_still_admitted(&config) {
        return Err(Problem::not_trusted("the authority is not trusted any more, or the certificate ended"));
    }
    let reader = Reader::Auditor(caller.engineer.clone());
    readings::take_turn(&gateway, &reader, kind)?;
    let asked = Asked::read(uri, kind, Timestamp::now());
    if let Err(denied) = may_audit(&config, &caller.engineer, Timestamp::now()) {
        let reason = match &denied {
            AuditDenied::CertificateExpired { .. } => ReadRefusal::CertificateExpired,
            AuditDenied::NotAnAuditor { .. } => ReadRefusal::NotAnAuditor,
        };
        tracing::info!(engineer = %caller.engineer.user, reason = denied.label(), "audit reading refused");
        // In the region's log: whoever may not read must not choose a customer's.
        readings::record_refusal(&gateway, &reader, None, reason).await;
        return Err(Problem::new(StatusCode::FORBIDDEN, denied.label(), denied.to_string()));
    }
    readings::answer(&gateway, reader, kind, asked?).await
}

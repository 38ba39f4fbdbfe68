//! Certificates that are asked for over the stream: the gateway's own, and those of endpoints that enrol.

use std::error::Error as _;

use sallyport_control::wire;
use tokio::task::JoinError;
use tokio::time::Instant;
use wire::enrolled::Result as Answer;

use super::super::enrolment;
use super::super::gateway::Gateway;
use super::super::requests::{self, Asking, RequestError};
use super::{Session, Tell};

/// Requests of endpoints that are worked on at a time for one gateway. Each is a write to the API server.
const MOST_AT_A_TIME: usize = 16;

impl Session<'_> {
    pub(super) fn certificate(&mut self, request: &wire::CertificateRequest) {
        let Gateway { ctx, region, id, pod, .. } = self.gateway;
        let asking = Asking { key: region, region: id, pod, settings: &self.published.config.settings };
        let signed = requests::sign(request, &asking, &self.told.signer, &ctx.memory.limits, Instant::now());
        let result = if signed.is_ok() { "issued" } else { "refused" };
        ctx.metrics.certificates.with_label_values(&[request.purpose().as_str_name(), result]).inc();
        let purpose = request.purpose;
        match signed {
            Ok(leaf) => {
                tracing::info!(region = %region, gateway = %pod, purpose, serial = leaf.serial, "signed a gateway's certificate");
                self.outbox.urgent(Tell::Certificate(wire::SignedCertificate { purpose, chain: leaf.pem }));
            }
            Err(error) => {
                let reason = refusal(&error);
                tracing::warn!(region = %region, gateway = %pod, purpose, reason, "refused to sign a gateway's certificate");
                self.outbox.urgent(Tell::RefusedCertificate(wire::RefusedCertificate { purpose, reason }));
            }
        }
    }

    /// An endpoint asks. The stream goes on meanwhile.
    pub(super) fn enrol(&mut self, request: wire::Enrol) {
        let Gateway { ctx, region, id, pod, .. } = self.gateway;
        let who = (region.clone(), pod.to_string());
        let too_often = !ctx.memory.limits.enrolments.take(&who, Instant::now());
        if too_often {
            ctx.metrics.enrolments.with_label_values(&["tooMany"]).inc();
            tracing::debug!(region = %region, gateway = %pod, "more requests for certificates than one gateway may pass on");
        }
        if too_often || self.enrolments.len() >= MOST_AT_A_TIME {
            let busy = enrolment::refuse("notNow", "the operator is busy with other requests; try again");
            self.outbox.urgent(Tell::Enrolled(wire::Enrolled { request: request.request, result: Some(busy) }));
            return;
        }
        let (ctx, region, id) = (ctx.clone(), region.clone(), id.clone());
        self.enrolments.spawn(async move {
            let number = request.request;
            let result: Answer = enrolment::answer(&ctx, &region, &id, request).await;
            wire::Enrolled { request: number, result: Some(result) }
        });
    }

    pub(super) fn enrolled(&mut self, answer: Result<wire::Enrolled, JoinError>) {
        match answer {
            Ok(answer) => self.outbox.urgent(Tell::Enrolled(answer)),
            Err(error) => tracing::error!(reason = %error, "a request for a certificate is not answered"),
        }
    }
}

fn refusal(error: &RequestError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

//! Questions that come from a gateway's doors. The gateway has decided that they may be asked and has recorded them; what
//! is asked for is found here, in the archive, and in no other site's folder than the one that is named.
//!
//! ```text
//!  Query ─ asked (parse) ─▶ logs of one scope ─▶ records (filter, JSON Lines) ─┐
//!                                            └─▶ export (tar of the folder) ───┴─ chunks ─▶ Answer
//! ```

mod asked;
mod chunks;
mod export;
mod logs;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;

use sallyport_control::wire;
use sallyport_plan::catalogue::ObjectKey;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wire::audit_from_operator::Message as Tell;
use wire::query::By;

use super::metrics::AuditMetrics;
use super::records::{Open, Records};
use crate::context::Shared;
use asked::{Asked, What};
use chunks::{Chunks, Stopped};

/// Questions that one gateway may have answered at once: each reads an archive and holds some tiles.
const MOST: usize = 8;

/// The answers that are under way to one gateway. They end with it.
pub(super) struct Answers {
    ctx: Shared,
    records: Arc<Records>,
    open: Open,
    metrics: AuditMetrics,
    outbound: mpsc::Sender<wire::AuditFromOperator>,
    running: BTreeMap<u64, AbortHandle>,
}

impl Answers {
    pub(super) fn new(
        ctx: &Shared,
        records: &Arc<Records>,
        open: &Open,
        outbound: mpsc::Sender<wire::AuditFromOperator>,
    ) -> Self {
        Self {
            ctx: ctx.clone(),
            records: records.clone(),
            open: open.clone(),
            metrics: ctx.metrics.audit.clone(),
            outbound,
            running: BTreeMap::new(),
        }
    }

    /// Begins to answer.
    pub(super) fn begin(&mut self, query: wire::Query) {
        self.running.retain(|_, task| !task.is_finished());
        let request = query.request;
        let chunks = Chunks::new(request, self.outbound.clone());
        let refused = if self.running.len() >= MOST {
            Some(Refused::NotNow)
        } else if !asks_for_its_own(&self.ctx, &query) {
            Some(Refused::BadRequest("an endpoint reads its own site's records only".to_owned()))
        } else {
            None
        };
        let task = if let Some(refused) = refused {
            tokio::spawn(end(chunks, self.count(), Err(refused)))
        } else {
            tokio::spawn(answer(self.records.clone(), self.open.clone(), self.count(), query, chunks))
        };
        if let Some(before) = self.running.insert(request, task.abort_handle()) {
            before.abort();
        }
    }

    /// Nobody wants the rest.
    pub(super) fn withdraw(&mut self, request: u64) {
        if let Some(task) = self.running.remove(&request) {
            task.abort();
            self.count().count("withdrawn");
        }
    }

    fn count(&self) -> Count {
        Count { metrics: self.metrics.clone(), region: self.records.key.to_string() }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.running.values().for_each(AbortHandle::abort);
    }
}

/// Whether an endpoint asks for its own site, as the objects have it now: the gateway has looked at that already, by the
/// configuration that it has. What an auditor may read is the gateway's to decide.
fn asks_for_its_own(ctx: &Shared, query: &wire::Query) -> bool {
    let Some(By::Endpoint(endpoint)) = &query.by else { return true };
    let Some((namespace, name)) = endpoint.split_once('/') else { return false };
    let all = ctx.world.catalogue();
    let site = all.endpoints.get(&ObjectKey::new(namespace, name)).map(|endpoint| &endpoint.spec.site_ref.name);
    site.is_some_and(|site| query.site == format!("{namespace}/{site}"))
}

struct Count {
    metrics: AuditMetrics,
    region: String,
}

impl Count {
    fn count(&self, result: &'static str) {
        self.metrics.queries.with_label_values(&[&self.region, result]).inc();
    }
}

async fn answer(records: Arc<Records>, open: Open, count: Count, query: wire::Query, mut chunks: Chunks) {
    let result = match asked::parse(&query) {
        Ok(asked) => {
            tracing::info!(
                region = %records.key, scope = %asked.scope, from = %asked.period.from, to = %asked.period.to,
                what = asked.what.label(), "answering from the archive"
            );
            given(&records, &open, asked, &mut chunks).await
        }
        Err(why) => Err(Refused::BadRequest(why)),
    };
    end(chunks, count, result).await;
}

/// Reads in a thread that may block: what selects and proves is pure and asks for its tiles one by one.
async fn given(records: &Arc<Records>, open: &Open, asked: Asked, chunks: &mut Chunks) -> Result<(), Refused> {
    let (records, open, mut sender) = (records.clone(), open.clone(), chunks.clone());
    let runtime = tokio::runtime::Handle::current();
    let read = tokio::task::spawn_blocking(move || {
        let logs = logs::of(&runtime, &records, &open, &asked.scope)?;
        let read = match &asked.what {
            What::Export => export::give(&runtime, &records, &open, &asked, logs, &mut sender),
            What::Records(filter) => records::give(&runtime, &records, &open, &asked, filter, &logs, &mut sender),
        };
        read.and_then(|()| sender.flush().map_err(Refused::from))
    });
    read.await.unwrap_or_else(|error| Err(Refused::Unreadable(error.to_string())))
}

async fn end(chunks: Chunks, count: Count, result: Result<(), Refused>) {
    if let Err(why) = &result {
        tracing::warn!(region = count.region, reason = %why, "a question about audit records is not answered");
    }
    count.count(result.as_ref().err().map_or("answered", Refused::code));
    let refused = result.err().map(|why| wire::QueryRefused { code: why.code().to_owned(), message: why.to_string() });
    chunks.end(refused).await;
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// It says nothing that can be looked for.
    #[error("{0}")]
    BadRequest(String),
    /// Too many at once.
    #[error("too many questions at once; ask again")]
    NotNow,
    /// The archive, or what is in it.
    #[error("the archive cannot be read: {0}")]
    Unreadable(String),
    /// Whoever asked is gone.
    #[error("nobody takes the answer")]
    Unwanted,
    /// Nothing is archived of it.
    #[error("no audit record of {0} is archived")]
    UnknownSite(String),
}

impl Refused {
    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "badRequest",
            Self::NotNow | Self::Unwanted => "notNow",
            Self::Unreadable(_) => "archiveUnreachable",
            Self::UnknownSite(_) => "unknownSite",
        }
    }

    fn unreadable(error: impl std::error::Error) -> Self {
        Self::Unreadable(super::chain(&error))
    }
}

impl From<Stopped> for Refused {
    fn from(_: Stopped) -> Self {
        Self::Unwanted
    }
}

/// A message of an answer.
fn message(request: u64, chunk: Vec<u8>, last: bool, refused: Option<wire::QueryRefused>) -> wire::AuditFromOperator {
    wire::AuditFromOperator { message: Some(Tell::Answer(wire::Answer { request, chunk, last, refused })) }
}

#[cfg(test)]
mod tests;

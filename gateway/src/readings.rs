//! Reading the archived records at a door. Who may is decided here, the reading is recorded, and only then the operator is
//! asked: there is no way to read that leaves no record.

mod limits;
mod parameters;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use sallyport_audit::event::{AuditExported, AuditRead, AuditRefused, ReadRefusal};
use sallyport_audit::{Event, Person, Subject};
use sallyport_control::wire::{Export, query};
use sallyport_core::engineer::Engineer;
use sallyport_core::name::{EndpointId, SiteId};

use crate::gateway::Gateway;
use crate::inner::answer::Problem;
use crate::queries::{Question, Reading, Unanswered};

pub use limits::Limits;
pub use parameters::{Asked, Wrong};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An export's folder as tar.
    Export,
    /// Records as JSON Lines.
    Records,
}

/// Who reads.
#[derive(Clone, Debug)]
pub enum Reader {
    /// The region names them.
    Auditor(Engineer),
    /// Its site's own records.
    Endpoint(EndpointId),
}

impl Reader {
    fn key(&self) -> String {
        match self {
            Self::Auditor(engineer) => format!("engineer {}", engineer.user),
            Self::Endpoint(endpoint) => format!("endpoint {endpoint}"),
        }
    }

    fn person(&self) -> Option<Person> {
        match self {
            Self::Auditor(engineer) => Some(Person::of(engineer)),
            Self::Endpoint(_) => None,
        }
    }

    fn endpoint(&self) -> Option<EndpointId> {
        match self {
            Self::Auditor(_) => None,
            Self::Endpoint(endpoint) => Some(endpoint.clone()),
        }
    }

    fn to_wire(&self) -> query::By {
        match self {
            Self::Auditor(engineer) => query::By::Auditor(engineer.user.to_string()),
            Self::Endpoint(endpoint) => query::By::Endpoint(endpoint.to_string()),
        }
    }
}

/// Takes one of the readings that this reader may make now. Refusals are counted too: they are recorded, and nobody is to
/// fill the log with them.
///
/// # Errors
/// 429 with when to come again.
pub fn take_turn(gateway: &Gateway, reader: &Reader, kind: Kind) -> Result<(), Problem> {
    gateway.reading.take(&reader.key(), kind, std::time::Instant::now()).map_err(|wait| {
        let message = format!("too many readings; ask again in {} s", wait.as_secs() + 1);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "tooManyReadings", message)
    })
}

/// Answers a reader who may read this.
///
/// # Errors
/// The log cannot record it, or the operator has no answer.
pub async fn answer(gateway: &Gateway, reader: Reader, kind: Kind, asked: Asked) -> Result<Response, Problem> {
    gateway.audit.append_while_open(event(&reader, kind, &asked)).await.map_err(|error| {
        tracing::error!(%error, "no reading without its record");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "auditUnavailable", format!("nothing can be read now: {error}"))
    })?;
    tracing::info!(reader = reader.key(), ?kind, site = asked.site.as_ref().map(ToString::to_string), "audit read");
    let question = Question {
        by: reader.to_wire(),
        site: asked.site.as_ref().map(ToString::to_string).unwrap_or_default(),
        from_ms: asked.from.as_millisecond(),
        to_ms: asked.to.as_millisecond(),
        what: match kind {
            Kind::Export => query::What::Export(Export {}),
            Kind::Records => query::What::Records(asked.records()),
        },
    };
    let reading = gateway.queries.ask(question).await.map_err(problem)?;
    let media = match kind {
        Kind::Export => "application/x-tar",
        Kind::Records => "application/jsonl",
    };
    let mut response = Response::new(Body::from_stream(chunks(reading)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Ok(response)
}

/// The chunks as they come. An error in the middle breaks the connection off, so that nobody takes a part for the whole.
fn chunks(reading: Reading) -> impl futures::Stream<Item = Result<Bytes, Unanswered>> + Send {
    futures::stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|chunk| (chunk, reading)))
    })
}

fn problem(why: Unanswered) -> Problem {
    let (status, code) = match &why {
        Unanswered::NoOperator => (StatusCode::SERVICE_UNAVAILABLE, "noOperator"),
        Unanswered::Busy | Unanswered::Late => (StatusCode::SERVICE_UNAVAILABLE, "notNow"),
        Unanswered::Refused { code, .. } => match code.as_str() {
            "unknownSite" => (StatusCode::NOT_FOUND, "unknownSite"),
            "badRequest" => (StatusCode::UNPROCESSABLE_ENTITY, "invalidRequest"),
            "archiveUnreachable" => (StatusCode::SERVICE_UNAVAILABLE, "archiveUnreachable"),
            "noArchive" => (StatusCode::SERVICE_UNAVAILABLE, "noArchive"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "notNow"),
        },
    };
    Problem::new(status, code, why.to_string())
}

fn event(reader: &Reader, kind: Kind, asked: &Asked) -> Event<Person> {
    let (by, endpoint) = (reader.person(), reader.endpoint());
    let (site, first, last) = (asked.site.clone(), asked.from, asked.to);
    match kind {
        Kind::Export => Event::AuditExported(AuditExported { by, site, endpoint, first, last }),
        Kind::Records => Event::AuditRead(AuditRead {
            by,
            site,
            endpoint,
            first,
            last,
            engineer: asked.engineer.as_ref().map(Subject::of),
            device: asked.device.clone(),
            incident: asked.incident.as_deref().map(Into::into),
        }),
    }
}

/// Records that somebody wanted to read and may not.
pub async fn record_refusal(gateway: &Gateway, reader: &Reader, site: Option<SiteId>, reason: ReadRefusal) {
    let (by, endpoint) = (reader.person(), reader.endpoint());
    let refused = Event::AuditRefused(AuditRefused { by, site, endpoint, reason });
    if let Err(error) = gateway.audit.append(refused).await {
        tracing::error!(%error, "a refused reading could not be recorded");
    }
}

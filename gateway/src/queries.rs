//! Questions about archived records on their way to the operator, and the answers on their way back, chunk by chunk. The
//! gateway has decided that who asks may, and has recorded it; what the archive holds only the operator knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sallyport_control::wire::audit_from_gateway::Message;
use sallyport_control::wire::{Answer, Query, QueryRefused, Withdrawn, query};
use tokio::sync::mpsc;

/// For the first chunk of an answer: the operator reads its archive, which may be another region's object store. Below
/// what a door gives a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// For the reader to take one chunk of 64 KiB when as many wait as may: 13 KB/s. Everything else on the stream waits
/// meanwhile, so a slower reader gets no more.
const SLOWEST: Duration = Duration::from_secs(5);

/// Between two chunks of one answer.
const PAUSE: Duration = Duration::from_secs(60);

/// Chunks of one answer that wait for their reader: a MiB.
const CHUNKS: usize = 16;

/// Questions at once: 16 MiB of chunks at most (invariant I10).
const MOST: usize = 16;

/// Words to the operator that wait for their turn on the stream.
const QUEUE: usize = 64;

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// As many questions as may be open are.
    #[error("too many readers wait for the archive; try again later")]
    Busy,
    /// The operator did not answer in time, or left.
    #[error("the operator did not answer in time; try again later")]
    Late,
    /// Nobody collects from this gateway.
    #[error("no operator is attached to this gateway; try again later")]
    NoOperator,
    /// The operator's word.
    #[error("{message}")]
    Refused {
        /// Of a closed set; see the control protocol.
        code: String,
        /// In words.
        message: String,
    },
}

impl From<QueryRefused> for Unanswered {
    fn from(QueryRefused { code, message }: QueryRefused) -> Self {
        Self::Refused { code, message }
    }
}

/// Hands questions to the operator that is attached. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    operator: Option<mpsc::Sender<Message>>,
    last: u64,
    open: BTreeMap<u64, mpsc::Sender<Part>>,
}

/// What comes of an answer.
enum Part {
    Chunk(Bytes),
    Last,
    Refused(QueryRefused),
}

/// What is asked, without its number.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub by: query::By,
    /// `NAMESPACE/NAME` of the site; empty for the region's own logs.
    pub site: String,
    /// From, inclusive, in milliseconds since 1970.
    pub from_ms: i64,
    /// To, exclusive.
    pub to_ms: i64,
    /// Records or an export.
    pub what: query::What,
}

impl Queries {
    /// An operator attached: it gets the questions from now on. Those that wait for another are not answered any more.
    pub fn attach(&self) -> mpsc::Receiver<Message> {
        let (sender, questions) = mpsc::channel(QUEUE);
        let mut state = self.lock();
        state.operator = Some(sender);
        // Dropping the senders ends whatever waits.
        state.open.clear();
        questions
    }

    /// Asks the operator and waits for the beginning of its answer.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, question: Question) -> Result<Reading, Unanswered> {
        let mut reading = self.send(question)?;
        match tokio::time::timeout(PATIENCE, reading.parts.recv()).await {
            Ok(Some(Part::Chunk(chunk))) => reading.first = Some(chunk),
            Ok(Some(Part::Last)) => reading.is_over = true,
            Ok(Some(Part::Refused(refused))) => return Err(refused.into()),
            Ok(None) | Err(_) => return Err(Unanswered::Late),
        }
        Ok(reading)
    }

    fn send(&self, Question { by, site, from_ms, to_ms, what }: Question) -> Result<Reading, Unanswered> {
        let mut state = self.lock();
        if state.open.len() >= MOST {
            return Err(Unanswered::Busy);
        }
        let request = state.last + 1;
        let operator = state.operator.as_ref().ok_or(Unanswered::NoOperator)?;
        let query = Query { request, by: Some(by), site, from_ms, to_ms, what: Some(what) };
        operator.try_send(Message::Query(query)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::NoOperator,
        })?;
        let (parts, reading) = mpsc::channel(CHUNKS);
        state.last = request;
        state.open.insert(request, parts);
        Ok(Reading { queries: self.clone(), request, parts: reading, first: None, is_over: false })
    }

    /// A part of an answer. Waits for a reader that is slow, but not for long: it is told to the operator then that
    /// nothing more is wanted, as of one that went away.
    pub async fn answered(&self, Answer { request, chunk, last, refused }: Answer) {
        let Some(parts) = self.lock().open.get(&request).cloned() else {
            // It was withdrawn; the operator may not know yet.
            return;
        };
        let end = match refused {
            Some(refused) => Some(Part::Refused(refused)),
            None => last.then_some(Part::Last),
        };
        let is_over = end.is_some();
        let chunk = (!chunk.is_empty()).then(|| Part::Chunk(chunk.into()));
        for part in chunk.into_iter().chain(end) {
            if !matches!(tokio::time::timeout(SLOWEST, parts.send(part)).await, Ok(Ok(()))) {
                return self.withdraw(request);
            }
        }
        if is_over {
            self.lock().open.remove(&request);
        }
    }

    fn withdraw(&self, request: u64) {
        let mut state = self.lock();
        if state.open.remove(&request).is_some()
            && let Some(operator) = &state.operator
            && operator.try_send(Message::Withdrawn(Withdrawn { request })).is_err()
        {
            // It goes on until it is through; nobody listens.
            tracing::debug!(request, "the operator could not be told that nobody reads any more");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is read. Dropped before its end, it is withdrawn.
pub struct Reading {
    queries: Queries,
    request: u64,
    parts: mpsc::Receiver<Part>,
    first: Option<Bytes>,
    is_over: bool,
}

impl Reading {
    /// The next chunk; nothing at the end. What came before an error must be treated as incomplete.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Unanswered> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.is_over {
            return Ok(None);
        }
        match tokio::time::timeout(PAUSE, self.parts.recv()).await {
            Ok(Some(Part::Chunk(chunk))) => Ok(Some(chunk)),
            Ok(Some(Part::Last)) => {
                self.is_over = true;
                Ok(None)
            }
            Ok(Some(Part::Refused(refused))) => Err(refused.into()),
            Ok(None) | Err(_) => Err(Unanswered::Late),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            self.queries.withdraw(self.request);
        }
    }
}

#[cfg(test)]
mod tests {
    use sallyport_control::wire::Export;

    use super::*;

    fn question() -> Question {
        let by = query::By::Endpoint("lyon/agent".into());
        Question { by, site: "lyon/hospital".into(), from_ms: 0, to_ms: 1, what: query::What::Export(Export {}) }
    }

    fn chunk(request: u64, text: &str) -> Answer {
        Answer { request, chunk: text.as_bytes().to_vec(), ..Answer::default() }
    }

    fn request(message: Option<Message>) -> u64 {
        match message {
            Some(Message::Query(query)) => query.request,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn chunks_reach_who_asked_in_order_and_end() {
        let queries = Queries::default();
        let mut asked = queries.attach();
        let operator = async {
            let (one, two) = (request(asked.recv().await), request(asked.recv().await));
            for answer in [chunk(two, "2"), chunk(one, "1a"), chunk(one, "1b")] {
                queries.answered(answer).await;
            }
            for request in [one, two, 99] {
                queries.answered(Answer { request, last: true, ..Answer::default() }).await;
            }
        };
        let read = async || {
            let mut reading = queries.ask(question()).await.unwrap();
            let mut all = Vec::new();
            while let Some(chunk) = reading.next().await.unwrap() {
                all.extend_from_slice(&chunk);
            }
            all
        };
        let (one, two, ()) = tokio::join!(read(), read(), operator);
        assert_eq!((one, two), (b"1a1b".to_vec(), b"2".to_vec()));
        assert!(queries.lock().open.is_empty());
    }

    #[tokio::test]
    async fn a_refusal_is_told_at_the_beginning_and_in_the_middle() {
        let queries = Queries::default();
        let mut asked = queries.attach();
        let refused = || Some(QueryRefused { code: "notNow".into(), message: "later".into() });
        let operator = async {
            let one = request(asked.recv().await);
            queries.answered(Answer { request: one, refused: refused(), ..Answer::default() }).await;
            let two = request(asked.recv().await);
            queries.answered(chunk(two, "half")).await;
            queries.answered(Answer { request: two, refused: refused(), last: true, ..Answer::default() }).await;
        };
        let reader = async {
            assert!(matches!(queries.ask(question()).await, Err(Unanswered::Refused { .. })));
            let mut reading = queries.ask(question()).await.unwrap();
            assert_eq!(reading.next().await.unwrap().unwrap(), "half");
            assert!(matches!(reading.next().await, Err(Unanswered::Refused { .. })));
        };
        tokio::join!(operator, reader);
        assert!(queries.lock().open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_withdrawn_and_holds_nobody_up_for_long() {
        let queries = Queries::default();
        let mut asked = queries.attach();
        let operator = async {
            let slow = request(asked.recv().await);
            for _ in 0..CHUNKS + 2 {
                queries.answered(chunk(slow, "x")).await;
            }
            assert_eq!(asked.recv().await, Some(Message::Withdrawn(Withdrawn { request: slow })));
        };
        let began = tokio::time::Instant::now();
        let (reading, ()) = tokio::join!(queries.ask(question()), operator);
        assert!(began.elapsed() <= SLOWEST * 2);
        let mut reading = reading.unwrap();
        let mut read = 0;
        let end = loop {
            match reading.next().await {
                Ok(Some(_)) => read += 1,
                other => break other,
            }
        };
        assert_eq!(end, Err(Unanswered::Late), "what came is incomplete, and says so");
        assert!(read <= CHUNKS + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_operator_or_its_answer_there_is_a_reason() {
        let queries = Queries::default();
        assert_eq!(queries.ask(question()).await.err(), Some(Unanswered::NoOperator));
        let first = queries.attach();
        assert_eq!(queries.ask(question()).await.err(), Some(Unanswered::Late));
        drop(first);
        assert_eq!(queries.ask(question()).await.err(), Some(Unanswered::NoOperator));
        assert!(queries.lock().open.is_empty());
    }
}

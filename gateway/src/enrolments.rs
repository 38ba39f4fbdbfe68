//! Requests for endpoints' certificates on their way to the operator and back. The gateway decides nothing here: who
//! gets what is the operator's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sallyport_control::wire::enrolled::Result as Outcome;
use sallyport_control::wire::{Enrol, Enrolled, enrol};
use tokio::sync::{mpsc, oneshot};

/// How long an answer is waited for. Together with reading the request it stays within the 10 s that the outer door
/// gives.
const PATIENCE: Duration = Duration::from_secs(8);

/// Requests that wait for their turn on the stream. The operator signs a thousand in a second; more than this at once is
/// an attack or a stuck operator.
const QUEUE: usize = 64;

/// Why there is no answer of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// As many requests as may wait do so.
    #[error("too many requests wait for the operator; try again later")]
    Busy,
    /// It did not answer in time, or left.
    #[error("the operator did not answer in time; try again later")]
    Late,
    /// Nobody is attached.
    #[error("no operator is attached to this gateway; try again later")]
    NoOperator,
}

/// Hands requests to the operator that is attached.
#[derive(Default)]
pub struct Enrolments {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operator: Option<mpsc::Sender<Enrol>>,
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

impl Enrolments {
    /// An operator attached: it gets the requests from now on. Those that wait for another are not answered any more.
    pub fn attach(&self) -> mpsc::Receiver<Enrol> {
        let (sender, requests) = mpsc::channel(QUEUE);
        let mut state = self.lock();
        state.operator = Some(sender);
        // Dropping the senders wakes whoever waits.
        state.waiting.clear();
        requests
    }

    /// Asks the operator, and waits for its answer.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, proof: enrol::Proof, csr: Vec<u8>, from: String) -> Result<Outcome, Unanswered> {
        let (request, answer) = self.send(proof, csr, from)?;
        let waiting = Waiting { enrolments: self, request };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        drop(waiting);
        answer.ok().and_then(Result::ok).ok_or(Unanswered::Late)
    }

    fn send(
        &self,
        proof: enrol::Proof,
        csr: Vec<u8>,
        from: String,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), Unanswered> {
        let mut state = self.lock();
        let request = state.last + 1;
        let operator = state.operator.as_ref().ok_or(Unanswered::NoOperator)?;
        let sent = operator.try_send(Enrol { request, proof: Some(proof), csr, from });
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::NoOperator,
        })?;
        let (done, answer) = oneshot::channel();
        state.last = request;
        state.waiting.insert(request, done);
        Ok((request, answer))
    }

    /// The operator's answer. One that nobody waits for came too late.
    pub fn answered(&self, enrolled: Enrolled) {
        let waiting = self.lock().waiting.remove(&enrolled.request);
        match (waiting, enrolled.result) {
            (Some(waiting), Some(result)) => {
                // The one who asked may be gone; the operator has recorded what it gave.
                let _ = waiting.send(result);
            }
            (Some(_), None) => tracing::error!(request = enrolled.request, "the operator answered with nothing"),
            (None, _) => tracing::info!(request = enrolled.request, "an enrolment was answered too late"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request whose asker is gone, however it went.
struct Waiting<'e> {
    enrolments: &'e Enrolments,
    request: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.enrolments.lock().waiting.remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use sallyport_control::wire::CurrentCertificate;

    use super::*;

    fn proof() -> enrol::Proof {
        enrol::Proof::Certificate(CurrentCertificate {
            endpoint: "lyon/agent".into(),
            serial: "01".into(),
            ..CurrentCertificate::default()
        })
    }

    #[tokio::test]
    async fn an_answer_reaches_who_asked_and_nobody_else() {
        let enrolments = Enrolments::default();
        let mut requests = enrolments.attach();
        let ask = |csr: u8| enrolments.ask(proof(), vec![csr], String::new());
        let operator = async {
            let (first, second) = (requests.recv().await.unwrap(), requests.recv().await.unwrap());
            for Enrol { request, csr, .. } in [second, first] {
                let chain = csr[0].to_string();
                enrolments.answered(Enrolled { request, result: Some(Outcome::Chain(chain)) });
            }
            enrolments.answered(Enrolled { request: 99, result: None });
        };
        let (one, two, ()) = tokio::join!(ask(1), ask(2), operator);
        assert_eq!(one, Ok(Outcome::Chain("1".into())));
        assert_eq!(two, Ok(Outcome::Chain("2".into())));
        assert!(enrolments.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_operator_or_its_answer_there_is_a_reason() {
        let enrolments = Enrolments::default();
        let ask = || enrolments.ask(proof(), Vec::new(), String::new());
        assert_eq!(ask().await, Err(Unanswered::NoOperator));
        let requests = enrolments.attach();
        assert_eq!(ask().await, Err(Unanswered::Late));
        let others = enrolments.attach();
        drop(requests);
        assert_eq!(ask().await, Err(Unanswered::Late));
        drop(others);
        assert_eq!(ask().await, Err(Unanswered::NoOperator));
        assert!(enrolments.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn another_operator_ends_the_wait_for_the_first() {
        let enrolments = Enrolments::default();
        let mut requests = enrolments.attach();
        let change = async {
            requests.recv().await.unwrap();
            drop(enrolments.attach());
        };
        let (answer, ()) = tokio::join!(enrolments.ask(proof(), Vec::new(), String::new()), change);
        assert_eq!(answer, Err(Unanswered::Late));
    }
}

//! What a gateway is still to be told. What is urgent goes first: a revocation must not wait behind a configuration.

use std::collections::VecDeque;
use std::time::Duration;

use sallyport_control::wire;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{StreamError, Tell};
use crate::lease::Fence;

/// A gateway that reads nothing for this long is dialled again.
const STUCK: Duration = Duration::from_secs(20);

/// What a gateway is still to be told.
pub(super) struct Outbox {
    outbound: mpsc::Sender<wire::FromOperator>,
    urgent: VecDeque<Tell>,
    others: VecDeque<Tell>,
    /// Since when the gateway could have taken one and did not.
    waiting_since: Option<Instant>,
    /// Another process may tell the gateway something newer once this one does not lead any more.
    fence: Fence,
}

impl Outbox {
    pub(super) fn new(outbound: mpsc::Sender<wire::FromOperator>, fence: Fence) -> Self {
        Self { outbound, urgent: VecDeque::new(), others: VecDeque::new(), waiting_since: None, fence }
    }

    /// Trust and answers, in their order, before everything else.
    pub(super) fn urgent(&mut self, message: Tell) {
        self.urgent.push_back(message);
    }

    /// Parts of configurations, in their order.
    pub(super) fn other(&mut self, message: Tell) {
        self.others.push_back(message);
    }

    /// Forgets trust that is not sent yet, because there is newer.
    pub(super) fn drop_trust(&mut self) {
        self.urgent.retain(|message| !matches!(message, Tell::Trust(_)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.others.is_empty()
    }

    /// Sends the next one, if this process leads at that very moment. Safe to drop: nothing is lost, and the patience goes
    /// on.
    ///
    /// # Errors
    /// [`StreamError::Closed`], [`StreamError::NotLeading`], [`StreamError::Stuck`].
    pub(super) async fn send(&mut self) -> Result<(), StreamError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let permit = match tokio::time::timeout_at(since + STUCK, self.outbound.reserve()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StreamError::Closed),
            Err(_) => return Err(StreamError::Stuck),
        };
        if !self.fence.holds() {
            return Err(StreamError::NotLeading);
        }
        self.waiting_since = None;
        if let Some(message) = self.urgent.pop_front().or_else(|| self.others.pop_front()) {
            permit.send(wire::FromOperator { message: Some(message) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(generation: u64) -> Tell {
        Tell::Update(wire::Update { generation, ..wire::Update::default() })
    }

    fn trust(sequence: u64) -> Tell {
        Tell::Trust(wire::Trust { sequence, ..wire::Trust::default() })
    }

    #[tokio::test]
    async fn a_revocation_overtakes_a_configuration() {
        let (outbound, mut messages) = mpsc::channel(1);
        let mut outbox = Outbox::new(outbound, Fence::leading());
        (1..=3).for_each(|n| outbox.other(part(n)));
        outbox.send().await.unwrap();
        outbox.urgent(trust(1));
        outbox.drop_trust();
        outbox.urgent(trust(2));
        let mut said = Vec::new();
        while !outbox.is_empty() {
            said.push(messages.recv().await.unwrap().message.unwrap());
            outbox.send().await.unwrap();
        }
        said.push(messages.recv().await.unwrap().message.unwrap());
        assert_eq!(said, [part(1), trust(2), part(2), part(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_however_often_it_is_interrupted() {
        let (outbound, _messages) = mpsc::channel(1);
        let mut outbox = Outbox::new(outbound, Fence::leading());
        outbox.other(part(1));
        outbox.other(part(2));
        outbox.send().await.unwrap();
        let began = Instant::now();
        let ended = loop {
            // As when the gateway goes on talking and reads nothing.
            if let Ok(ended) = tokio::time::timeout(Duration::from_secs(3), outbox.send()).await {
                break ended;
            }
        };
        assert!(matches!(ended, Err(StreamError::Stuck)) && began.elapsed() == STUCK);
    }

    /// A process that was stopped and goes on must not put older trust over a newer leader's.
    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_once_the_lease_is_over() {
        let (outbound, mut messages) = mpsc::channel(1);
        let mut outbox = Outbox::new(outbound, Fence::leading());
        outbox.urgent(trust(1));
        tokio::time::advance(crate::lease::DEADLINE).await;
        assert!(matches!(outbox.send().await, Err(StreamError::NotLeading)));
        assert!(messages.try_recv().is_err());
    }
}

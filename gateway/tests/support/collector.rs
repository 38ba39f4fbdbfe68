//! A scripted operator that collects audit records and answers questions about them.

use sallyport_control::wire::audit_from_gateway::Message as FromThem;
use sallyport_control::wire::audit_from_operator::Message as ToThem;
use sallyport_control::wire::control_client::ControlClient;
use sallyport_control::wire::{Archived, AuditFromGateway, AuditFromOperator, Batch, Collect, Query};
use sallyport_gateway::run::Running;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Operator, Region, WITHIN};

pub struct Collector {
    to: mpsc::Sender<AuditFromOperator>,
    from: Streaming<AuditFromGateway>,
}

impl Collector {
    pub async fn attach(region: &Region, running: &Running) -> Self {
        let channel = Operator::channel(&region.ca, &region.ca.operator(), running).await.unwrap();
        let (to, messages) = mpsc::channel(16);
        let mut client = ControlClient::new(channel);
        let from = client.audit(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { to, from }
    }

    pub async fn say(&self, message: ToThem) {
        self.to.send(AuditFromOperator { message: Some(message) }).await.unwrap();
    }

    /// The next message; the error is how the stream ended.
    pub async fn hear(&mut self) -> Result<FromThem, Status> {
        let message = tokio::time::timeout(WITHIN, self.from.message()).await.expect("a message in time")?;
        Ok(message.expect("a message before the end").message.expect("a known message"))
    }

    pub async fn collect(&mut self, incarnation: &str, after: u64) -> Batch {
        self.say(ToThem::Collect(Collect { incarnation: incarnation.to_owned(), after })).await;
        match self.hear().await.unwrap() {
            FromThem::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    pub async fn archived(&self, incarnation: &str, through: u64) {
        self.say(ToThem::Archived(Archived { incarnation: incarnation.to_owned(), through })).await;
    }

    pub async fn asked(&mut self) -> Query {
        match self.hear().await.unwrap() {
            FromThem::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }
}

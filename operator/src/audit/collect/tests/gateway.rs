//! A scripted gateway: it says over gRPC what its journals hold, or what the test wants it to say.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use object_store::memory::InMemory;
use sallyport_audit::event::Act;
use sallyport_audit::tlog::note::{Signer, SigningKey};
use sallyport_audit::{Event, Person};
use sallyport_control::wire;
use sallyport_plan::audit::facts::{Archive as Reach, EvidenceKind};
use sallyport_plan::catalogue::ObjectKey;
use sallyport_testkit::eventually;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use wire::audit_from_gateway::Message as Said;
use wire::audit_from_operator::Message as Told;
use wire::control_server::{Control, ControlServer};

use super::journal::{Journal, region};
use super::mortal::Mortal;
use crate::audit::archive::Archive;
use crate::audit::collect::beside;
use crate::audit::collect::state::State;
use crate::audit::records::{Open, Records};
use crate::context::Shared;
use crate::lease::Fence;

const BOUND: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Script {
    current: Option<Journal>,
    earlier: Vec<Journal>,
    /// Records of one batch at most.
    cut: u64,
    /// Changes what is said.
    lie: Option<fn(wire::Batch) -> wire::Batch>,
    archived: Vec<(String, u64)>,
    written: Vec<Event<Person>>,
    answers: Vec<wire::Answer>,
    ask: Vec<wire::Query>,
}

#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
}

impl Scripted {
    fn new(journal: Journal) -> Self {
        let this = Self::default();
        this.change(|script| {
            script.current = Some(journal);
            script.cut = 100;
        });
        this
    }

    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        let changed = change(&mut self.script.lock().unwrap());
        self.changed.notify_waiters();
        changed
    }

    /// The answer to a `Collect`, as soon as there is one.
    async fn collected(&self, collect: &wire::Collect) -> Said {
        loop {
            let changed = self.changed.notified();
            {
                let script = self.script.lock().unwrap();
                let current = script.current.as_ref().unwrap();
                let of = script.earlier.iter().chain([current]);
                let journal =
                    of.into_iter().find(|journal| journal.keeper.incarnation.to_string() == collect.incarnation);
                let Some(journal) = journal else {
                    let earlier = script.earlier.iter().map(Journal::incarnation).collect();
                    return Said::AnotherIncarnation(wire::AnotherIncarnation {
                        current: Some(current.incarnation()),
                        earlier,
                    });
                };
                if journal.newest() > collect.after {
                    let batch = journal.batch(collect.after, journal.newest().min(collect.after + script.cut));
                    return Said::Batch(script.lie.map_or(batch.clone(), |lie| lie(batch)));
                }
            }
            changed.await;
        }
    }

    async fn converse(
        self,
        mut told: Streaming<wire::AuditFromOperator>,
        said: mpsc::Sender<Result<wire::AuditFromGateway, Status>>,
    ) {
        let mut waiting: Option<wire::Collect> = None;
        loop {
            let asks = self.change(|script| std::mem::take(&mut script.ask));
            for query in asks {
                let _ = said.send(Ok(wire::AuditFromGateway { message: Some(Said::Query(query)) })).await;
            }
            let collect = waiting.clone();
            let message = tokio::select! {
                message = told.message() => match message {
                    Ok(Some(message)) => message.message,
                    _ => return,
                },
                answer = async { self.collected(&collect.clone().unwrap()).await }, if collect.is_some() => {
                    waiting = None;
                    let _ = said.send(Ok(wire::AuditFromGateway { message: Some(answer) })).await;
                    continue;
                }
                () = self.changed.notified() => continue,
            };
            match message {
                Some(Told::Collect(collect)) => waiting = Some(collect),
                Some(Told::Archived(archived)) => {
                    self.change(|script| script.archived.push((archived.incarnation, archived.through)));
                }
                Some(Told::Write(write)) => {
                    let written = self.change(|script| {
                        script.written.push(serde_json::from_slice(&write.event).unwrap());
                        let journal = script.current.as_ref().unwrap();
                        let (incarnation, sequence) = (journal.keeper.incarnation.to_string(), journal.newest());
                        wire::Written { request: write.request, incarnation, sequence, refused: String::new() }
                    });
                    let _ = said.send(Ok(wire::AuditFromGateway { message: Some(Said::Written(written)) })).await;
                }
                Some(Told::Answer(answer)) => self.change(|script| script.answers.push(answer)),
                None => {}
            }
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Control for Scripted {
    type AttachStream = Answers<wire::FromGateway>;
    type AuditStream = Answers<wire::AuditFromGateway>;

    async fn attach(&self, _: Request<Streaming<wire::FromOperator>>) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn audit(
        &self,
        request: Request<Streaming<wire::AuditFromOperator>>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let (said, answers) = mpsc::channel(4);
        tokio::spawn(self.clone().converse(request.into_inner(), said));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// An operator that collects from one scripted gateway.
struct Operator {
    ctx: Shared,
    records: Arc<Records>,
    archive: Arc<Archive>,
    tasks: tokio::task::JoinSet<()>,
    gateway: Scripted,
}

fn region_key() -> ObjectKey {
    ObjectKey::new("dmz", "eu")
}

impl Operator {
    async fn begin(gateway: &Scripted, archive: Arc<Archive>) -> Self {
        let ctx = crate::run::idle();
        let records = ctx.audit.region(&region_key(), &region());
        let signer = Signer::new(crate::audit::key::key_name(&region()).unwrap(), SigningKey::generate().unwrap());
        crate::audit::round::load(&archive, &records).await.unwrap();
        records.opened(Open { archive: archive.clone(), signer: Arc::new(signer) });
        let mut tasks = tokio::task::JoinSet::new();
        let channel = serve(gateway.clone(), &mut tasks).await;
        let shared = ctx.clone();
        tasks.spawn(async move {
            let never = beside(&shared, &region_key(), &region(), &"eu-gateway-0".parse().unwrap(), channel).await;
            match never {}
        });
        Self { ctx, records, archive, tasks, gateway: gateway.clone() }
    }

    /// Waits until everything that the gateway has is archived, and the gateway knows.
    async fn archived(&self) {
        eventually(BOUND, "the journal is archived", async || {
            self.gateway.change(|script| {
                let journal = script.current.as_ref().unwrap();
                script.archived.contains(&(journal.keeper.incarnation.to_string(), journal.newest()))
            })
        })
        .await;
    }

    fn accept(&self, incarnation: &str) {
        let mut region = crate::audit::tests::region();
        region.spec.audit.accepted_forks = vec![sallyport_api::audit::AcceptedFork {
            gateway: "eu-gateway-0".into(),
            incarnation: incarnation.into(),
            reason: "a test".into(),
        }];
        self.ctx.world.regions.put(region);
    }
}

async fn serve(gateway: Scripted, tasks: &mut tokio::task::JoinSet<()>) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(ControlServer::new(gateway));
    tasks.spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

fn archive() -> Arc<Archive> {
    Arc::new(Archive::over(Arc::new(InMemory::new()), &Fence::leading()))
}

#[tokio::test]
async fn what_is_recorded_is_archived_and_the_gateway_knows() {
    let mut journal = Journal::new();
    journal.fill(250);
    let (keeper, gateway) = (journal.keeper.clone(), Scripted::new(journal));
    let operator = Operator::begin(&gateway, archive()).await;
    operator.archived().await;
    gateway.change(|script| script.current.as_mut().unwrap().fill(20));
    operator.archived().await;
    let state = State::load(&operator.archive, &keeper).await.unwrap().unwrap();
    assert_eq!(state.journal, gateway.change(|script| script.current.as_ref().unwrap().snapshot(270)));
    let facts = operator.records.update(|facts| facts.clone());
    assert_eq!((facts.gateways["eu-gateway-0"].archived_through, facts.gateways["eu-gateway-0"].behind()), (270, 0));
    assert!(facts.evidence.is_empty());
}

#[tokio::test]
async fn an_archive_that_cannot_be_reached_loses_nothing() {
    let mut journal = Journal::new();
    journal.fill(250);
    let (keeper, gateway, mortal) = (journal.keeper.clone(), Scripted::new(journal), Mortal::new(30));
    let archive = Arc::new(Archive::over(Arc::new(mortal.clone()), &Fence::leading()));
    let operator = Operator::begin(&gateway, archive).await;
    eventually(BOUND, "status says that the archive is away", async || {
        operator.records.update(|facts| matches!(facts.archive, Reach::Unreachable { .. }))
    })
    .await;
    // Records go on being made meanwhile.
    gateway.change(|script| script.current.as_mut().unwrap().fill(100));
    mortal.revive();
    operator.archived().await;
    let state = State::load(&operator.archive, &keeper).await.unwrap().unwrap();
    assert_eq!(state.journal, gateway.change(|script| script.current.as_ref().unwrap().snapshot(350)));
    assert_eq!(operator.records.update(|facts| facts.archive.clone()), Reach::Ready);
}

#[tokio::test]
async fn the_next_leader_goes_on_from_the_archive() {
    let (mut journal, archive) = (Journal::new(), archive());
    journal.fill(50);
    let gateway = Scripted::new(journal);
    let mut first = Operator::begin(&gateway, archive.clone()).await;
    first.archived().await;
    first.tasks.shutdown().await;
    gateway.change(|script| script.current.as_mut().unwrap().fill(50));
    gateway.change(|script| script.archived.clear());
    let second = Operator::begin(&gateway, archive).await;
    second.archived().await;
    // What was archived before is said again, and only the rest is asked for.
    assert_eq!(gateway.change(|script| script.archived.first().map(|(_, through)| *through)), Some(50));
}

#[tokio::test]
async fn what_does_not_fit_is_evidence_until_somebody_accepts_it() {
    let mut journal = Journal::new();
    journal.fill(20);
    let (incarnation, gateway) = (journal.keeper.incarnation.to_string(), Scripted::new(journal));
    let operator = Operator::begin(&gateway, archive()).await;
    operator.archived().await;
    gateway.change(|script| {
        script.lie = Some(|mut batch| {
            batch.checkpoints.clear();
            batch
        });
        script.current.as_mut().unwrap().fill(5);
    });
    eventually(BOUND, "it is evidence", async || operator.records.update(|facts| !facts.evidence.is_empty())).await;
    let found = operator.records.update(|facts| facts.evidence[0].clone());
    assert_eq!((found.kind, &found.incarnation), (EvidenceKind::BadSignature, &incarnation));
    let stored = crate::audit::collect::evidence::all(&operator.archive, &region()).await.unwrap();
    assert_eq!(stored, [found]);
    eventually(BOUND, "it is recorded", async || {
        gateway.change(|script| {
            let refused = |event: &Event<Person>| {
                matches!(event, Event::AdministratorActed(e) if matches!(e.act, Act::CollectionRefused { .. }))
            };
            script.written.iter().any(refused)
        })
    })
    .await;
    gateway.change(|script| script.lie = None);
    operator.accept(&incarnation);
    // The second attempt comes a minute after the first; a new stream does not wait.
    let mut again = operator;
    again.tasks.shutdown().await;
    let archive = again.archive.clone();
    let operator = Operator::begin(&gateway, archive).await;
    operator.accept(&incarnation);
    operator.archived().await;
}

#[tokio::test]
async fn an_older_copy_of_a_volume_is_seen_at_once() {
    let mut journal = Journal::new();
    journal.fill(20);
    let gateway = Scripted::new(journal);
    let operator = Operator::begin(&gateway, archive()).await;
    operator.archived().await;
    gateway.change(|script| {
        // As a gateway says it that has fewer records than it is asked for.
        script.lie =
            Some(|batch| wire::Batch { through: 12, newest: 12, lines: Vec::new(), checkpoints: Vec::new(), ..batch });
        script.current.as_mut().unwrap().fill(1);
    });
    eventually(BOUND, "it is evidence", async || operator.records.update(|facts| !facts.evidence.is_empty())).await;
    assert_eq!(operator.records.update(|facts| facts.evidence[0].kind), EvidenceKind::RolledBack);
    assert_eq!(operator.records.update(|facts| facts.gateways["eu-gateway-0"].archived_through), 20);
}

#[tokio::test]
async fn evidence_stops_collecting_also_for_the_next_leader() {
    let mut journal = Journal::new();
    journal.fill(20);
    let gateway = Scripted::new(journal);
    gateway.change(|script| {
        script.lie = Some(|mut batch| {
            batch.lines[0] ^= 1;
            batch
        });
    });
    let mut first = Operator::begin(&gateway, archive()).await;
    eventually(BOUND, "it is evidence", async || first.records.update(|facts| !facts.evidence.is_empty())).await;
    first.tasks.shutdown().await;
    gateway.change(|script| script.lie = None);
    let second = Operator::begin(&gateway, first.archive.clone()).await;
    assert!(second.records.update(|facts| !facts.evidence.is_empty()));
    eventually(BOUND, "the gateway is attached", async || !second.records.attached().is_empty()).await;
    // An act is answered over the same stream, so the session has looked at the incarnation by then.
    second.records.write(super::journal::started("act"), None).await.unwrap();
    assert!(gateway.change(|script| script.archived.is_empty()));
}

#[tokio::test]
async fn an_earlier_incarnation_is_collected_first_and_its_end_is_recorded() {
    let (mut old, mut new) = (Journal::new(), Journal::new());
    old.fill(30);
    new.fill(10);
    let old_key = old.key.clone();
    let (old_keeper, old_name) = (old.keeper.clone(), old.keeper.incarnation.to_string());
    let gateway = Scripted::new(new);
    gateway.change(|script| script.earlier.push(old));
    let mut operator = Operator::begin(&gateway, archive()).await;
    operator.archived().await;
    assert!(gateway.change(|script| script.archived.contains(&(old_name.clone(), 30))));
    // The gateway has nothing left of it.
    gateway.change(|script| script.earlier.clear());
    operator.tasks.shutdown().await;
    let operator = Operator::begin(&gateway, operator.archive.clone()).await;
    eventually(BOUND, "its end is noted", async || {
        let state = State::load(&operator.archive, &old_keeper).await.unwrap().unwrap();
        state.ended.is_some_and(|ended| ended.noted)
    })
    .await;
    // Should its volume come back, it is an older copy.
    let mut operator = operator;
    operator.tasks.shutdown().await;
    gateway.change(|script| {
        let mut back = Journal::with(old_key);
        back.fill(30);
        script.current = Some(back);
    });
    let operator = Operator::begin(&gateway, operator.archive.clone()).await;
    eventually(BOUND, "it is evidence", async || {
        operator.records.update(|facts| facts.evidence.iter().any(|found| found.kind == EvidenceKind::RolledBack))
    })
    .await;
}

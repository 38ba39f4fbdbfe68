//! No audit, no access (invariant I3): what a gateway does while its log is full, hangs or is well, and what the operator is
//! given of it.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use sallyport_audit::event::GatewayStarted;
use sallyport_audit::journal::{Found, Reader, Snapshot};
use sallyport_audit::tlog::checkpoint::SignedCheckpoint;
use sallyport_audit::tlog::note::{KeyName, SignatureType, VerifierKey};
use sallyport_audit::{Event, Incarnation, Keeper, PublicKey, Scope};
use sallyport_control::wire::audit_from_gateway::Message as FromThem;
use sallyport_control::wire::audit_from_operator::Message as ToThem;
use sallyport_control::wire::query::{By, What};
use sallyport_control::wire::{Answer, Batch, Collect, LogHealth, QueryRefused, Write};
use sallyport_core::config::RegionConfig;
use sallyport_gateway::run::Running;
use sallyport_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::outer::Visitor;
use support::{Agent, Collector, EngineerClient, Region, WITHIN, audit};

/// A file system of its own over a replica's volume.
struct Mounted(PathBuf);

impl Mounted {
    /// None without the rights to mount, which is said loudly.
    fn over(volume: &Path, arguments: &[&str]) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).arg(volume).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(volume.to_owned()));
        }
        #[allow(clippy::print_stderr, reason = "a test that was not made must not look like one that passed")]
        {
            eprintln!("SKIPPED: this test needs root and `mount {}`: {mounted:?}", arguments.join(" "));
        }
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the gateway of a test that failed still holds files there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn auditors(region: &Region) -> RegionConfig {
    let mut config = region.config();
    config.settings.auditors.groups.insert("auditors".to_owned());
    config
}

fn note() -> Event<sallyport_audit::Person> {
    Event::GatewayStarted(GatewayStarted { version: "padding".into() })
}

async fn fill_the_file(running: &Running) {
    while running.gateway.audit.health() == sallyport_gateway::audit::Health::Open {
        futures::future::join_all((0..512).map(|_| running.gateway.audit.append(note()))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_ends_what_lives_and_opens_again() {
    let region = Region::new(1);
    let Some(_volume) = Mounted::over(region.volume(0), &["-t", "tmpfs", "-o", "size=20m", "sallyport-test"]) else {
        return;
    };
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1 && report.audit_health() == LogHealth::Open).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();

    // The current file fills up, the spare takes its place, and there is no room for another.
    fill_the_file(&running).await;
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("cut within 10 s");
    assert!(rest.is_empty());
    let (_, ended) = ada.call(Method::GET, &format!("/v1/sessions/{session}"), None).await.unwrap();
    eventually(WITHIN, "the session is over", async || {
        ada.call(Method::GET, &format!("/v1/sessions/{session}"), None).await.unwrap().1["endReason"] == "recordFailed"
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {ended}", began.elapsed());
    let (status, refused) = ada.open("lyon/ct").await.unwrap();
    assert_eq!((status, refused["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("auditUnavailable")));
    assert!(refused["message"].as_str().unwrap().contains("no room"), "{refused}");
    operator
        .reported(|report| report.audit_health() == LogHealth::Full && report.audit_volume_used_percent >= 80)
        .await;

    let full = records(&region);

    // The operator archives, files go, and sessions open again without a restart.
    let collector = Collector::attach(&region, &running).await;
    let incarnation = running.gateway.audit.incarnation().to_string();
    collector.archived(&incarnation, running.gateway.audit.watch_position().borrow().newest).await;
    operator.reported(|report| report.audit_health() == LogHealth::Open).await;
    let again = ada.opened("lyon/ct").await;
    assert_ne!(again, session);
    let events = records(&region);
    let ended = |event: &&Event<_>| matches!(event, Event::SessionEnded(e) if e.session.as_str() == session);
    assert_eq!(events.iter().filter(ended).count(), 1, "its end is recorded although the log was full");
    // The alarm stood in a file that is archived by now.
    assert!(full.iter().any(|event| event.label() == "capacityAlarm"));
    for label in ["logDegraded", "logRecovered"] {
        assert!(events.iter().any(|event| event.label() == label), "{label}");
    }
}

/// What stands in the files that are left.
fn records(region: &Region) -> Vec<Event<sallyport_audit::Sealed>> {
    let mut files: Vec<_> = std::fs::read_dir(region.volume(0).join("audit/journal")).unwrap().collect();
    files.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    let files = files.into_iter().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let found = journals.flat_map(|path| sallyport_audit::journal::recover(&std::fs::read(path).unwrap(), None).found);
    found
        .filter_map(|found| match found {
            Found::Record { record, .. } => Some(record.event),
            Found::Checkpoint { .. } | Found::Key { .. } | Found::Snapshot => None,
        })
        .collect()
}

/// A disk that can be frozen: what is synced to it waits until it thaws.
struct Frozen {
    volume: PathBuf,
    _mounted: Mounted,
    _image: tempfile::TempDir,
}

impl Frozen {
    fn disk(volume: &Path) -> Option<Self> {
        let image = tempfile::tempdir().unwrap();
        let file = image.path().join("disk");
        std::fs::File::create(&file).unwrap().set_len(96 * 1024 * 1024).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(&file).output();
        let made = made.is_ok_and(|output| output.status.success());
        let mounted =
            Mounted::over(volume, &["-o", "loop", if made { file.to_str().unwrap() } else { "no mkfs.ext4" }])?;
        Some(Self { volume: volume.to_owned(), _mounted: mounted, _image: image })
    }

    fn freeze(&self) {
        assert!(Command::new("fsfreeze").arg("-f").arg(&self.volume).status().unwrap().success());
    }

    fn thaw(&self) {
        assert!(Command::new("fsfreeze").arg("-u").arg(&self.volume).status().unwrap().success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Whatever failed, nothing may stay frozen.
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.volume).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_opens_nothing_and_ends_what_lives() {
    let region = Region::new(1);
    let Some(disk) = Frozen::disk(region.volume(0)) else { return };
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();

    disk.freeze();
    let began = Instant::now();
    // The record cannot become durable, so nobody is told of a session, and there is none.
    let opening = async {
        let (status, refused) = ada.open("lyon/ct").await.unwrap();
        assert_eq!((status, refused["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("auditUnavailable")));
        assert!(refused["message"].as_str().unwrap().contains("stalled"), "{refused}");
    };
    let cut = async {
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(opening, cut) }).await.expect("within 10 s");
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    operator.reported(|report| report.audit_health() == LogHealth::Stalled).await;

    disk.thaw();
    operator.reported(|report| report.audit_health() == LogHealth::Open).await;
    ada.opened("lyon/ct").await;
    let events = audit(&region, 0);
    let of = |label: &str| events.iter().filter(|event| event.label() == label).count();
    // The start that came too late has its end: nothing in the log looks as if it had gone on.
    assert_eq!((of("sessionStarted"), of("sessionEnded")), (3, 2));
    assert_eq!((of("logDegraded"), of("logRecovered")), (1, 1));
}

/// An operator's archive: verifies what comes as the operator does.
struct Archive {
    keeper: Keeper,
    key: PublicKey,
    reader: Reader,
    through: u64,
    kinds: BTreeMap<&'static str, usize>,
}

impl Archive {
    fn new(region: &Region, key: &[u8]) -> Self {
        let key = PublicKey(key.try_into().unwrap());
        let incarnation = Incarnation::of(&key);
        let keeper = Keeper { region: region.ca.region().clone(), gateway: region.name(0), incarnation };
        Self { keeper, key, reader: Reader::new(Snapshot::empty(incarnation)), through: 0, kinds: BTreeMap::new() }
    }

    fn take(&mut self, batch: &Batch) {
        assert_eq!((&batch.incarnation, batch.after), (&self.keeper.incarnation.to_string(), self.through));
        assert!(batch.lines.len() <= 1024 * 1024 && batch.lines.ends_with(b"\n"));
        for line in batch.lines[..batch.lines.len() - 1].split(|byte| *byte == b'\n') {
            if let Found::Record { sequence, record, .. } = self.reader.line(line).unwrap() {
                assert_eq!(sequence, self.through + 1);
                self.through = sequence;
                *self.kinds.entry(record.event.label()).or_default() += 1;
            }
        }
        assert_eq!(batch.through, self.through);
        assert!(!batch.checkpoints.is_empty());
        for checkpoint in &batch.checkpoints {
            let scope: Scope = checkpoint.log.parse().unwrap();
            let name = KeyName::new(self.keeper.origin(scope.clone())).unwrap();
            let key = VerifierKey::new(name.clone(), SignatureType::Text, self.key.0);
            let opened = SignedCheckpoint::parse(&checkpoint.note).unwrap().open_ours(&name, &[key]).unwrap();
            assert_eq!(opened.head(), self.reader.state().head(&scope));
        }
    }
}

async fn introduce(collector: &mut Collector) -> (String, Vec<u8>) {
    collector.say(ToThem::Collect(Collect::default())).await;
    let FromThem::AnotherIncarnation(another) = collector.hear().await.unwrap() else { panic!() };
    let current = another.current.unwrap();
    (current.name, current.public_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_collects_verifies_and_frees() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let mut collector = Collector::attach(&region, &running).await;
    let (incarnation, key) = introduce(&mut collector).await;
    let mut archive = Archive::new(&region, &key);
    // Everything so far, then what comes, in batches of at most a MiB, over the end of a file.
    let firsts = || {
        let names = std::fs::read_dir(region.volume(0).join("audit/journal")).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().path().extension().is_some()).count()
    };
    while firsts() < 2 {
        futures::future::join_all((0..512).map(|_| running.gateway.audit.append(note()))).await;
    }
    let newest = running.gateway.audit.watch_position().borrow().newest;
    let mut batches = 0;
    while archive.through < newest {
        archive.take(&collector.collect(&incarnation, archive.through).await);
        batches += 1;
    }
    assert!(batches >= 8, "{batches} batches");
    assert_eq!(archive.kinds["siteConfigured"], 1);
    collector.archived(&incarnation, archive.through).await;
    eventually(WITHIN, "the first file is gone", async || firsts() == 1).await;

    // A batch that is waited for comes with the next record, and small ones at least a second apart.
    let first = collector.collect(&incarnation, archive.through);
    let (_, batch) = tokio::join!(running.gateway.audit.append(note()), first);
    archive.take(&batch);
    let began = Instant::now();
    running.gateway.audit.append(note()).await.unwrap();
    archive.take(&collector.collect(&incarnation, archive.through).await);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());

    // An act of the operator is recorded, and only what is its own.
    let subject = "0".repeat(64);
    let erased =
        format!(r#"{{"kind":"auditErased","site":"lyon/hospital","subject":"{subject}","basis":"GDPR 17","keys":2}}"#);
    let write = |request, site: &str, event: &str| {
        ToThem::Write(Write { request, site: site.to_owned(), event: event.as_bytes().to_vec() })
    };
    collector.say(write(7, "lyon/hospital", &erased)).await;
    let FromThem::Written(written) = collector.hear().await.unwrap() else { panic!() };
    assert_eq!((written.request, written.refused.as_str()), (7, ""));
    archive.take(&collector.collect(&incarnation, archive.through).await);
    assert_eq!((archive.through, archive.kinds["auditErased"]), (written.sequence, 1));
    collector.say(write(8, "", r#"{"kind":"gatewayStarted","version":"1"}"#)).await;
    let FromThem::Written(written) = collector.hear().await.unwrap() else { panic!() };
    assert!(written.request == 8 && written.refused.contains("gatewayStarted"), "{written:?}");

    // Another operator takes over, and goes on where the first was.
    let mut newer = Collector::attach(&region, &running).await;
    let superseded = collector.hear().await.unwrap_err();
    assert_eq!(superseded.code(), tonic::Code::Aborted);
    running.gateway.audit.append(note()).await.unwrap();
    archive.take(&newer.collect(&incarnation, archive.through).await);
    // Who has more than this journal is told at once: one of the two is an older copy.
    let more = archive.through + 1000;
    let batch = newer.collect(&incarnation, more).await;
    assert!(batch.lines.is_empty() && batch.after == more && batch.newest < more, "{batch:?}");
    // What is gone is said, not given half.
    newer.say(ToThem::Collect(Collect { incarnation, after: 0 })).await;
    assert_eq!(newer.hear().await.unwrap_err().code(), tonic::Code::DataLoss);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_through_the_operator_and_is_recorded_first() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &auditors(&region)).await;
    let auditor = EngineerClient {
        ca: &region.ca,
        credential: region.engineers.engineer("olga@vendor.example", &["auditors"]),
        running: &running,
    };
    let get = async |client: &EngineerClient<'_>, path: &str| client.call(Method::GET, path, None).await.unwrap();
    let (status, refused) = get(&auditor, "/v1/audit/records").await;
    assert_eq!((status.as_u16(), refused["code"].as_str()), (503, Some("noOperator")));

    let mut collector = Collector::attach(&region, &running).await;
    let path = "/v1/audit/records?site=lyon/hospital&engineer=ada@vendor.example&limit=5";
    let answering = async {
        let query = collector.asked().await;
        assert_eq!((query.by, query.site.as_str()), (Some(By::Auditor("olga@vendor.example".into())), "lyon/hospital"));
        let Some(What::Records(records)) = query.what else { panic!() };
        assert!(records.limit == 5 && records.engineer.len() == 64, "{records:?}");
        // By the time it is asked, the reading is on the disk.
        let mut read = audit(&region, 0)
            .into_iter()
            .filter(|event| event.label() == "auditRead")
            .map(|event| event.scope().to_string());
        assert_eq!(read.next_back().unwrap(), "site/lyon/hospital");
        for (chunk, last) in [("{\"a\":", false), ("1}", true)] {
            let chunk = chunk.as_bytes().to_vec();
            collector.say(ToThem::Answer(Answer { request: query.request, chunk, last, refused: None })).await;
        }
    };
    let ((status, body), ()) = tokio::join!(get(&auditor, path), answering);
    assert_eq!((status, body), (StatusCode::OK, serde_json::json!({ "a": 1 })));

    // The operator's refusal is the reader's.
    let refusing = async {
        let request = collector.asked().await.request;
        let refused = Some(QueryRefused { code: "unknownSite".into(), message: "no such site".into() });
        collector.say(ToThem::Answer(Answer { request, chunk: Vec::new(), last: true, refused })).await;
    };
    let ((status, body), ()) = tokio::join!(get(&auditor, "/v1/audit/export?site=lyon/nowhere"), refusing);
    assert_eq!((status.as_u16(), body["code"].as_str()), (404, Some("unknownSite")));
    let (status, wrong) = get(&auditor, "/v1/audit/records?limit=0").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong["message"].as_str().unwrap().starts_with("parameter limit"), "{wrong}");

    // An engineer who is none of the auditors reads nothing, and that is recorded.
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let (status, denied) = get(&ada, "/v1/audit/records?site=lyon/hospital").await;
    assert_eq!((status, denied["code"].as_str()), (StatusCode::FORBIDDEN, Some("notAnAuditor")));
    assert_eq!(audit(&region, 0).iter().filter(|event| event.label() == "auditRefused").count(), 1);
    for _ in 0..6 {
        get(&ada, "/v1/audit/export").await;
    }
    assert_eq!(get(&ada, "/v1/audit/export").await.0, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_reads_its_own_and_nothing_else() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let mut collector = Collector::attach(&region, &running).await;
    let hospital = Visitor {
        bundle: region.ca.bundle(),
        credential: Some(region.ca.endpoint("lyon", "agent")),
        running: &running,
    };
    let answering = async {
        let query = collector.asked().await;
        assert_eq!((query.by, query.site.as_str()), (Some(By::Endpoint("lyon/agent".into())), "lyon/hospital"));
        assert!(matches!(query.what, Some(What::Export(_))));
        let answer = Answer { request: query.request, chunk: b"tar".to_vec(), last: true, refused: None };
        collector.say(ToThem::Answer(answer)).await;
    };
    let (answer, ()) = tokio::join!(hospital.get("/v1/audit/export?from=2026-01-01T00:00:00Z"), answering);
    let answer = answer.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, b"tar".as_slice()));
    let other = hospital.get("/v1/audit/records?site=oslo/clinic").await.unwrap();
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let stranger = Visitor { credential: None, ..hospital };
    assert_eq!(stranger.get("/v1/audit/records").await.unwrap().status, StatusCode::UNAUTHORIZED);
    let events = audit(&region, 0);
    let told: Vec<_> = events.iter().filter(|event| event.label().starts_with("audit")).collect();
    assert_eq!(told.iter().map(|event| event.label()).collect::<Vec<_>>(), ["auditExported", "auditRefused"]);
    assert!(told.iter().all(|event| event.scope().to_string() == "site/lyon/hospital"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_breaks_off_is_no_whole_answer() {
    let region = Region::new(1);
    let (running, _operator) = region.ready(0, &region.config()).await;
    let mut collector = Collector::attach(&region, &running).await;
    let hospital = Visitor {
        bundle: region.ca.bundle(),
        credential: Some(region.ca.endpoint("lyon", "agent")),
        running: &running,
    };
    let breaking = async {
        let request = collector.asked().await.request;
        collector.say(ToThem::Answer(Answer { request, chunk: b"half".to_vec(), ..Answer::default() })).await;
        let refused = Some(QueryRefused { code: "archiveUnreachable".into(), message: "gone".into() });
        collector.say(ToThem::Answer(Answer { request, last: true, refused, ..Answer::default() })).await;
    };
    let (answer, ()) = tokio::join!(hospital.get("/v1/audit/export"), breaking);
    assert!(answer.is_err(), "the connection broke off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_an_endpoint_is_recorded_in_its_sites_log() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    assert_eq!(Agent::dial(&region.ca, &credential, &running, "b/0").await.err().unwrap(), "409 cloned");
    let mut suspended = region.config();
    suspended.endpoints.values_mut().for_each(|endpoint| endpoint.suspended = true);
    operator.put(&suspended).await.unwrap();
    tokio::time::timeout(WITHIN, agent.task).await.unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(Agent::dial(&region.ca, &credential, &running, "a/0").await.err().unwrap(), "403 suspended");
    }
    operator.put(&region.config()).await.unwrap();
    let _agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    operator.trust(support::trust(1, &[(&region.ca, &[&credential])], &region.ca)).await.unwrap();
    let of_site = || {
        let events = audit(&region, 0).into_iter().filter(|event| event.scope().to_string() == "site/lyon/hospital");
        let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
        events.for_each(|event| *kinds.entry(event.label()).or_default() += 1);
        kinds
    };
    let expected: BTreeMap<&'static str, usize> = [
        ("certificateRevoked", 1),
        ("cloneSeen", 1),
        ("siteConfigured", 3),
        ("siteResumed", 1),
        ("siteSuspended", 1),
        ("tunnelDown", 2),
        ("tunnelRefused", 1),
        ("tunnelUp", 2),
    ]
    .into();
    eventually(WITHIN, "all of it is recorded", async || of_site() == expected).await;
}

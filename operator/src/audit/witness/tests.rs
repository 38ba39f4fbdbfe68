use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use sallyport_audit::tlog::cosignature::Cosigner;
use sallyport_audit::tlog::note::{KeyName, SignatureType, SigningKey};
use sallyport_audit::tlog::witness::decide;
use sallyport_testkit::Ca;
use tokio::task::JoinSet;

use super::*;
use crate::audit::collect::tests::journal::Journal;
use crate::audit::tests::{Operator, https, operator};

/// A witness that decides with the code of real ones, and remembers in memory.
#[derive(Clone)]
struct Kept {
    cosigner: Arc<Cosigner>,
    heads: Arc<Mutex<HashMap<String, Head>>>,
    log_key: [u8; 32],
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Kept {
    fn new(journal: &Journal) -> Self {
        let cosigner = Cosigner::new(KeyName::new("witness.example/w").unwrap(), SigningKey::generate().unwrap());
        Self {
            cosigner: Arc::new(cosigner),
            heads: Arc::default(),
            log_key: journal.key.public_key(),
            statuses: Arc::default(),
        }
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        assert_eq!(request.uri().path(), "/w/add-checkpoint");
        let asked = AddCheckpoint::parse(request.body()).unwrap();
        let origin = asked.origin().to_owned();
        let keys = [VerifierKey::new(KeyName::new(origin.clone()).unwrap(), SignatureType::Text, self.log_key)];
        let mut heads = self.heads.lock().unwrap();
        let decided = decide(heads.get(&origin).copied(), asked, Some(&keys), &self.cosigner, Timestamp::now());
        let (status, body) = match decided {
            Ok(cosigned) => {
                heads.insert(origin, cosigned.keep());
                (200, format!("{}\n", cosigned.into_line_once_kept()))
            }
            Err(refused) => (refused.status(), refused.size().map(|size| format!("{size}\n")).unwrap_or_default()),
        };
        self.statuses.lock().unwrap().push(status);
        Response::builder().status(status).body(Bytes::from(body)).unwrap()
    }

    fn statuses(&self) -> Vec<u16> {
        std::mem::take(&mut self.statuses.lock().unwrap())
    }
}

struct World {
    operator: Operator,
    journal: Journal,
    kept: Kept,
    witness: Witness,
    seens: Seens,
    _tasks: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let (operator, mut journal, mut tasks) = (operator(), Journal::new(), JoinSet::new());
        journal.fill(300);
        operator.archive(&journal).await;
        let (kept, ca) = (Kept::new(&journal), Ca::new("dmz", "eu"));
        let answering = kept.clone();
        let url = https(&ca, &mut tasks, move |request| answering.answer(&request)).await;
        let witness = Witness {
            name: "w".into(),
            url: format!("{url}/w/"),
            verifier_key: kept.cosigner.verifier_key().to_string(),
            ca_bundle: Some(ca.bundle().to_pem()),
        };
        Self { operator, journal, kept, witness, seens: Seens::new(), _tasks: tasks }
    }

    async fn round(&mut self) {
        let Operator { ctx, records, open } = &self.operator;
        self.seens.values_mut().for_each(|seen| seen.not_before = Instant::now());
        round(ctx, records, open, &self.witness, &mut self.seens).await;
    }

    /// Logs whose archived checkpoint has the witness' signature.
    async fn cosigned(&self) -> usize {
        let key = self.kept.cosigner.verifier_key();
        let mut count = 0;
        for (keeper, state) in self.operator.records.states() {
            for origin in state.origins(&keeper) {
                let checkpoint = store::checkpoint(&self.operator.open.archive, &origin).await.unwrap().unwrap();
                assert_eq!(checkpoint.claimed().head(), state.head(&origin.scope));
                count += usize::from(is_cosigned(&checkpoint, key));
            }
        }
        count
    }

    fn evidence(&self) -> Vec<EvidenceKind> {
        self.operator.records.update(|facts| facts.evidence.iter().map(|found| found.kind).collect())
    }
}

#[tokio::test]
async fn each_logs_newest_checkpoint_is_cosigned_and_stored_beside_the_other_signatures() {
    let mut world = World::new().await;
    world.round().await;
    assert_eq!((world.kept.statuses(), world.cosigned().await), (vec![200; 3], 3));
    world.round().await;
    assert_eq!(world.kept.statuses(), Vec::<u16>::new(), "nothing is new");
    world.journal.fill(20);
    world.operator.archive(&world.journal).await;
    assert_eq!(world.cosigned().await, 0, "the new checkpoints are not cosigned yet");
    world.round().await;
    assert_eq!((world.kept.statuses(), world.cosigned().await), (vec![200; 3], 3));
    assert!(world.evidence().is_empty());
}

#[tokio::test]
async fn an_operator_that_forgot_asks_again_from_where_the_witness_is() {
    let mut world = World::new().await;
    world.round().await;
    world.kept.statuses();
    world.seens.clear();
    world.round().await;
    assert_eq!(world.kept.statuses(), Vec::<u16>::new(), "the archive says that it is cosigned");
    world.seens.clear();
    world.journal.fill(20);
    world.operator.archive(&world.journal).await;
    world.round().await;
    assert_eq!((world.kept.statuses(), world.cosigned().await), ([409, 200].repeat(3), 3));
}

#[tokio::test]
async fn a_witness_that_has_seen_another_history_raises_the_alarm_and_stops_nothing() {
    let mut world = World::new().await;
    world.round().await;
    world.kept.statuses();
    for head in world.kept.heads.lock().unwrap().values_mut() {
        head.root = sallyport_audit::tlog::hash::Hash::EMPTY;
    }
    world.journal.fill(20);
    world.operator.archive(&world.journal).await;
    world.round().await;
    assert_eq!(world.kept.statuses(), vec![422; 3]);
    assert_eq!(world.evidence(), [EvidenceKind::ForkFound; 3]);
    assert!(!world.operator.records.is_suspect(&world.journal.keeper));
}

#[test]
fn answers_are_judged() {
    let offered = Head { size: 10, ..Head::EMPTY };
    assert_eq!(judge(409, b"4\n", offered, 0).unwrap(), Said::From(4));
    assert!(matches!(judge(409, b"11\n", offered, 0), Err(OfferError::Ahead { size: 11, ours: 10 })));
    assert!(matches!(judge(409, b"4\n", offered, 4), Err(OfferError::Fork { size: 4 })));
    assert!(matches!(judge(422, b"", offered, 4), Err(OfferError::Refused)));
    for (status, body) in [(200, "".as_bytes()), (200, b"x"), (409, b"x"), (302, b""), (500, b""), (404, b"")] {
        let error = judge(status, body, offered, 0).unwrap_err();
        assert!(matches!(error, OfferError::Answer { .. }) && error.evidence().is_none(), "{status}");
    }
}

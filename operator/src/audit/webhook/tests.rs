use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use sallyport_testkit::Ca;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::audit::collect::tests::journal::Journal;
use crate::audit::tests::{https, operator};

fn hook(url: String, ca: &Ca) -> Webhook {
    Webhook { url, every_minutes: 60, ca_bundle: Some(ca.bundle().to_pem()), secret_name: None }
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + 60 * minutes).unwrap()
}

fn grown(records: u64) -> BTreeMap<Keeper, u64> {
    BTreeMap::from([(Journal::new().keeper, records)])
}

#[test]
fn it_is_due_when_its_time_has_come_and_something_is_new() {
    let (mut sent, hook) = (Sent::default(), hook("https://x".into(), &Ca::new("dmz", "eu")));
    let (five, six) = (grown(5), grown(6));
    assert!(!sent.is_due(&hook, &BTreeMap::new(), at(0)), "there is nothing");
    assert!(sent.is_due(&hook, &five, at(0)));
    sent.delivered(five.clone(), at(0));
    assert!(!sent.is_due(&hook, &six, at(59)) && sent.is_due(&hook, &six, at(60)));
    assert!(!sent.is_due(&hook, &five, at(600)), "nothing is new");
    sent.failed(at(60));
    assert!(!sent.is_due(&hook, &six, at(60)) && sent.is_due(&hook, &six, at(61)));
    (0..40).for_each(|_| sent.failed(at(60)));
    assert!(sent.is_due(&hook, &six, at(60 + 6 * 60)));
}

#[test]
fn a_delivery_is_signed_as_the_contract_says() {
    // RFC 4231, test case 2.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
    assert_eq!(
        signature(&key, b"what do ya want for nothing?"),
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

type Received = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

#[tokio::test]
async fn a_site_is_sent_its_own_checkpoints_and_nothing_leads_into_private_networks_unless_allowed() {
    let (operator, mut journal, mut tasks) = (operator(), Journal::new(), JoinSet::new());
    journal.fill(40);
    let state = operator.archive(&journal).await;
    let (ca, received) = (Ca::new("dmz", "eu"), Received::default());
    let taking = received.clone();
    let url = https(&ca, &mut tasks, move |request| {
        let body = serde_json::from_slice(request.body()).unwrap();
        taking.lock().unwrap().push((request.headers().clone(), body));
        Response::builder().status(204).body(Bytes::new()).unwrap()
    })
    .await;
    let (key, site) = (ObjectKey::new("lyon", "hospital"), SiteId::parse("lyon", "hospital").unwrap());
    let sizes = sizes(&operator.records.states(), &site);
    assert_eq!(
        sizes.values().copied().collect::<Vec<_>>(),
        [state.journal.size(&"site/lyon/hospital".parse().unwrap())]
    );
    let hook = hook(url, &ca);
    let refused =
        deliver(&operator.ctx, &operator.records, &operator.open, &key, &site, &hook, sizes.keys()).await.unwrap_err();
    assert!(refused.contains("--webhook-private-networks"), "{refused}");
    assert!(received.lock().unwrap().is_empty());

    let ctx = crate::run::idle_with(&["--webhook-private-networks"]);
    deliver(&ctx, &operator.records, &operator.open, &key, &site, &hook, sizes.keys()).await.unwrap();
    let (headers, body) = received.lock().unwrap().pop().unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let origin = format!("{}", journal.keeper.origin("site/lyon/hospital".parse().unwrap()));
    assert_eq!(body["logs"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&body["site"], &body["region"], &body["logs"][0]["origin"]),
        (&json!("lyon/hospital"), &json!("dmz/eu"), &json!(origin))
    );
    assert_eq!(body["verifierKey"], json!(operator.open.signer.verifier_key()));
    let checkpoint = body["logs"][0]["checkpoint"].as_str().unwrap();
    assert!(checkpoint.starts_with(&format!("{origin}\n")), "{checkpoint}");
}

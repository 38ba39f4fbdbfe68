//! What a gateway does when others fail, and when it is told to stop.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a panic is how a test reports; support is shared")]

mod support;

use http::{Method, StatusCode};
use sallyport_audit::Event;
use sallyport_audit::event::SessionEnded;

use sallyport_core::session::EndReason;
use sallyport_testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::{Agent, EngineerClient, Operator, Region, WITHIN, audit};

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_from_its_volume_with_the_operator_gone() {
    let region = Region::new(1);
    let (running, operator) = region.ready(0, &region.config()).await;
    let generation = operator.generation;
    drop(operator);
    running.stop().await;

    let running = region.start(0).await;
    assert_eq!(running.gateway.store.current().generation, generation);
    let _agent = Agent::dial(&region.ca, &region.ca.endpoint("lyon", "agent"), &running, "a/0").await.unwrap();
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    eventually(WITHIN, "a session opens", async || ada.open("lyon/ct").await.unwrap().0 == StatusCode::CREATED).await;
    // An operator that comes back finds what it left.
    let operator = Operator::attach(&region, &running).await;
    assert_eq!(operator.attached, (generation, sallyport_control::digest::of(&region.config())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_leaves_the_one_before_in_force() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let before = running.gateway.store.current();
    let wrong = sallyport_control::wire::Change {
        change: Some(sallyport_control::wire::change::Change::Device(sallyport_control::wire::Device {
            id: "lyon/evil".to_owned(),
            address: "169.254.169.254".to_owned(),
            ..Default::default()
        })),
    };
    let update = sallyport_control::wire::Update { generation: 9, reset: true, changes: vec![wrong], last: true };
    operator.say(sallyport_control::wire::from_operator::Message::Update(update)).await;
    // The next answer is the refusal, whatever is put next.
    let refused = operator.put(&region.config()).await.unwrap_err();
    assert!(refused.contains("lyon/evil"), "{refused}");
    assert_eq!(running.gateway.store.current().config, before.config);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_moves_agents_and_ends_sessions_after_their_grace() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    let mut stream = ada.stream(&session).await.unwrap();
    let gateway = std::sync::Arc::clone(&running.gateway);
    let (stopping, ()) = tokio::join!(tokio::spawn(running_stop(running)), async {
        tokio::time::timeout(WITHIN, agent.script.drained.cancelled()).await.unwrap();
        assert!(gateway.is_draining());
        // Within the grace the session goes on.
        stream.write_all(b"still here").await.unwrap();
        let mut back = [0; 10];
        stream.read_exact(&mut back).await.unwrap();
    });
    stopping.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let ended = audit(&region, 0)
        .into_iter()
        .any(|event| matches!(event, Event::SessionEnded(SessionEnded { reason: EndReason::GatewayStopping, .. })));
    assert!(ended);
}

async fn running_stop(running: sallyport_gateway::run::Running) {
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tunnel_ends_its_sessions() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let ada = EngineerClient { ca: &region.ca, credential: region.ada(), running: &running };
    let session = ada.opened("lyon/ct").await;
    agent.task.abort();
    eventually(WITHIN, "the session is over", async || {
        let (_, session) = ada.call(Method::GET, &format!("/v1/sessions/{session}"), None).await.unwrap();
        session["endReason"] == "tunnelLost"
    })
    .await;
    operator.reported(|report| report.tunnels.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_beats_its_ghost_and_a_clone_is_refused() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let first = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let dial = async |process: &str| Agent::dial(&region.ca, &credential, &running, process).await;
    assert_eq!(dial("a/1").await.err().unwrap(), "409 held");
    assert_eq!(dial("b/0").await.err().unwrap(), "409 cloned");
    assert_eq!(running.gateway.metrics.cloned_endpoints.get(), 1);
    let second = dial("a/0").await.unwrap();
    tokio::time::timeout(WITHIN, first.task).await.unwrap().unwrap();
    second.task.abort();
    // The other process may come in once the first does not answer any more.
    eventually(WITHIN, "the other process is let in", async || dial("b/0").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_offer_is_pushed() {
    let region = Region::new(1);
    let (running, mut operator) = region.ready(0, &region.config()).await;
    let credential = region.ca.endpoint("lyon", "agent");
    let agent = Agent::dial(&region.ca, &credential, &running, "a/0").await.unwrap();
    operator.reported(|report| report.tunnels.len() == 1).await;
    let mut config = region.config();
    config.endpoints.values_mut().for_each(|endpoint| endpoint.offer = b"offer 2".to_vec());
    operator.put(&config).await.unwrap();
    eventually(WITHIN, "both offers came", async || {
        let offers = agent.script.offers.lock().unwrap();
        offers.first().is_some_and(|o| &o[..] == b"offer 1") && offers.last().is_some_and(|o| &o[..] == b"offer 2")
    })
    .await;
}

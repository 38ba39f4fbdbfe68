//! A fleet with live traffic through two complete rotations, with the leading operator killed at each step and a gateway
//! restarted on the way: nobody notices. `make e2e-rotation AGENTS=200` for the whole fleet.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sallyport_e2e::authority::rotate;
use sallyport_e2e::fleet::{Fleet, gateway_counters};
use sallyport_e2e::kubectl::wait_condition;
use sallyport_e2e::operators::{back, crash_leader};
use sallyport_e2e::region::{NAME, NAMESPACE};
use sallyport_e2e::traffic::{Conversation, Newcomers};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{Region, eventually, get, kubectl};
use serde_json::Value;

/// Two failovers of 15 s at each of four steps, and what the fleet needs.
const A_ROTATION: Duration = Duration::from_secs(300);
/// Sessions with bytes that never pause.
const CONVERSATIONS: usize = 6;
/// A new session that was asked for while a gateway goes down may have reached that one.
const RESTART: Duration = Duration::from_secs(45);

fn agents() -> usize {
    std::env::var("AGENTS").ok().map_or(40, |agents| agents.parse().expect("AGENTS is a number"))
}

fn authority() -> Value {
    get(NAMESPACE, "ca", NAME)["status"].clone()
}

fn history() -> Vec<Value> {
    authority()["history"].as_array().cloned().unwrap_or_default()
}

/// Handshakes that were refused, by gateway, door and reason. Those that the other side gave up are none; and engineers'
/// programs that began before a rotation keep the trust that they began with, so at the inner door the new sessions count
/// instead, none of which may fail.
struct Refused(BTreeMap<String, f64>);

impl Refused {
    fn now(gateway: &str) -> Self {
        let all = gateway_counters(NAMESPACE, gateway, "sallyport_gateway_handshakes_refused_total");
        let fleets = |labels: &str| !labels.contains("\"closed\"") && !labels.contains("\"inner\"");
        let all = all.into_iter().filter(|(labels, _)| fleets(labels));
        Self(all.map(|(labels, count)| (format!("{gateway}{labels}"), count)).collect())
    }

    /// What has come to it since.
    fn since(self, before: &Self) -> BTreeMap<String, f64> {
        let more = self.0.into_iter().map(|(labels, count)| {
            let before = before.0.get(&labels).copied().unwrap_or_default();
            (labels, count - before)
        });
        more.filter(|(_, count)| *count > 0.0).collect()
    }
}

#[test]
fn a_fleet_with_live_traffic_notices_nothing_of_two_rotations() {
    back();
    let region = Arc::new(Region::ready());
    let size = agents();
    let began = Instant::now();
    let fleet = Fleet::connected(&region, size, env!("CARGO_BIN_EXE_echo_device"));
    say(&format!("{size} agents enrolled and connected in {:?}", began.elapsed()));

    // A stream through the restarted gateway would end with it, so each engineer has a gateway of their own.
    let gateways = region.gateways();
    let engineers: Vec<_> =
        gateways.iter().map(|gateway| region.engineer_at("ada@vendor.example", &["ct-service"], gateway)).collect();
    let spread = |n: usize| fleet.device(n * size / CONVERSATIONS);
    let conversations: Vec<_> =
        (0..CONVERSATIONS).map(|n| Conversation::begin(&engineers[n % 2], &spread(n))).collect();
    let bob = region.engineer("bob@vendor.example", &["ct-service"]);
    let devices = (0..size).map(|n| fleet.device(n)).collect();
    let newcomers = Newcomers::begin(region.clone(), bob, devices);

    let refused_before: Vec<_> = gateways.iter().map(|gateway| Refused::now(gateway)).collect();
    let dials_before = fleet.counters("sallyport_agent_dials_total");
    let steps_before = history();
    let mut refused = BTreeMap::new();
    let mut restarted_at = None;
    let mut killed = Vec::new();
    let first = authority()["issuing"].as_u64().expect("a generation signs");
    for rotation in 1..=2 {
        let began = Instant::now();
        rotate(NAMESPACE, NAME, &format!("fleet-{}-{rotation}", jiff::Timestamp::now().as_millisecond()));
        let mut seen = history();
        let wanted = first + rotation;
        eventually(A_ROTATION, &format!("rotation to generation {wanted}"), || {
            let status = authority();
            let steps = status["history"].as_array().cloned().unwrap_or_default();
            let new = after(&steps, &seen);
            if !new.is_empty() {
                let step = steps.last().map(|step| format!("{} {}", step["generation"], step["state"])).unwrap();
                // Each step loses its operator. The other follows when the lease has run out.
                if crash_leader().is_some() {
                    killed.push(step.clone());
                }
                // Several steps may have come since the last look.
                let issues = new.iter().any(|step| step["state"] == "Issuing");
                if issues && restarted_at.is_none() {
                    let gateway = &gateways[0];
                    refused.extend(Refused::now(gateway).since(&refused_before[0]));
                    restarted_at = Some(Instant::now());
                    kubectl(&["--namespace", NAMESPACE, "delete", "pod", gateway, "--wait=false"]);
                }
                seen = steps;
            }
            let over = status["issuing"] == wanted && status["rotation"].is_null();
            let generations = status["generations"].as_array().cloned().unwrap_or_default();
            let old = generations.iter().filter(|g| g["number"] != wanted && g["state"] != "Removed").count();
            holds(over && old == 0, format!("{}", status["rotation"]))
        });
        say(&format!("rotation {rotation} to generation {wanted} took {:?}", began.elapsed()));
    }

    // Everybody has come along, by name.
    let status = authority();
    let issuer = status["generations"].as_array().unwrap().iter().find(|g| g["number"] == first + 2).unwrap();
    let issuer = issuer["fingerprint"].clone();
    fleet.wait(Duration::from_secs(60), "use the new generation", |endpoint| {
        endpoint["status"]["agent"]["issuer"] == issuer
            && endpoint["status"]["tunnels"].as_array().is_some_and(|tunnels| tunnels.len() == 2)
    });
    let given_up = status["givenUp"].as_array().cloned().unwrap_or_default();
    assert!(given_up.iter().all(|peer| peer["generation"].as_u64() <= Some(first)), "given up: {given_up:?}");
    wait_condition((NAMESPACE, "dmz", NAME), "Ready", "True", Duration::from_secs(90));

    // No session broke but those of the gateway that was restarted.
    let restarted_at = restarted_at.expect("a gateway was restarted");
    assert!(
        conversations.iter().filter(|conversation| conversation.gateway == gateways[1]).count() >= CONVERSATIONS / 2
    );
    for conversation in conversations {
        let gateway = conversation.gateway.clone();
        let outcome = conversation.end();
        say(&format!("conversation on {gateway}: {outcome:?}"));
        assert!(gateway == gateways[0] || outcome.broken.is_none(), "{gateway}: {outcome:?}");
        assert!(outcome.rounds > 0);
    }
    let (good, failed) = newcomers.end();
    say(&format!("{good} new sessions, {} failed", failed.len()));
    let unexcused: Vec<_> = failed
        .iter()
        .filter(|(at, _)| *at < restarted_at || *at > restarted_at + RESTART)
        .map(|(_, why)| why)
        .collect();
    assert!(unexcused.is_empty(), "{unexcused:?}");
    assert!(good > 20, "only {good} new sessions");

    // No handshake failed. The restarted gateway counts from nothing.
    refused.extend(Refused::now(&gateways[0]).0);
    refused.extend(Refused::now(&gateways[1]).since(&refused_before[1]));
    assert!(refused.is_empty(), "handshakes were refused: {refused:?}");
    let dials = fleet.counters("sallyport_agent_dials_total");
    say(&format!("agents' dials before {dials_before:?}, after {dials:?}"));
    // `draining` and `notReady` are the restarted gateway's words; `refused` would be about the agent's certificate.
    for bad in [r#"{result="refused"}"#, r#"{result="tls"}"#] {
        assert_eq!(dials.get(bad), dials_before.get(bad), "agents' dials, {bad}");
    }

    // Trusted and Issuing are one moment to whoever looks from outside; api_rotation_crash kills between them.
    assert!(killed.len() >= 4, "the operator was killed only at {killed:?}");
    table(after(&history(), &steps_before), size, &killed);
}

/// The steps that came after the last of `before`. Status keeps the last fifty, so counting them tells nothing.
fn after<'s>(steps: &'s [Value], before: &[Value]) -> &'s [Value] {
    let known = before.last().and_then(|last| steps.iter().rposition(|step| step == last));
    &steps[known.map_or(0, |at| at + 1)..]
}

/// The history of both rotations.
fn table(steps: &[Value], size: usize, killed: &[String]) {
    say(&format!("\nhistory of two rotations, {size} agents, {} operators killed:\n", killed.len()));
    say("| at | generation | came to | why |\n|---|---|---|---|");
    for step in steps {
        let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
        say(&format!("| {} | {} | {} | {} |", text("at"), step["generation"], text("state"), text("why")));
    }
}

#[allow(clippy::print_stderr, reason = "the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}

//! Every failure has its exit code and says what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

mod scripted;

use sallyport_testkit::{Ca, EngineersCa};
use scripted::{Region, text};

const CT: [&str; 6] = ["connect", "site-lyon/ct-scanner", "--service", "ssh", "--reason", "tube arcing"];

async fn refused(region: &Region, arguments: &[&str], code: i32, words: &[&str]) {
    let output = region.run(arguments).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for words in words {
        assert!(stderr.contains(words), "{words:?} in: {stderr}");
    }
    assert_eq!(text(&output.stdout), "", "answers only on standard output");
}

#[tokio::test]
async fn the_gateways_refusals_are_told_in_its_words() {
    let region = Region::begin().await;
    for (status, code, exit) in [
        (403, "noPolicyForDevice", 3),
        (403, "siteSuspended", 3),
        (403, "approvalRequired", 3),
        (503, "deviceNotConnected", 4),
        (503, "auditUnavailable", 1),
        (422, "invalidRequest", 2),
    ] {
        region.state.refusals.lock().unwrap().push_back((status, code));
        refused(&region, &CT, exit, &[&format!("error: the gateway says {code}")]).await;
    }
}

#[tokio::test]
async fn a_name_that_several_devices_have_or_none_is_not_guessed() {
    let region = Region::begin().await;
    let named = |name| ["connect", name, "--service", "ssh", "--reason", "x"];
    refused(&region, &named("mr-scanner"), 2, &["say which: site-osaka/mr-scanner, site-lyon/mr-scanner"]).await;
    refused(&region, &named("pacs"), 3, &["called pacs", "remedy: sallyportctl devices"]).await;
    refused(&region, &["connect", "ct-scanner", "--reason", "x"], 2, &["--service: console, ssh"]).await;
    assert!(!region.seen().iter().any(|seen| seen.starts_with("POST")));
}

#[tokio::test]
async fn nonsense_does_not_reach_the_gateway() {
    let region = Region::begin().await;
    refused(&region, &["connect", "a/b", "-s", "ssh", "-r", "  "], 2, &["--reason"]).await;
    refused(&region, &["connect", "a/b", "-s", "S S", "-r", "x"], 2, &["--service"]).await;
    refused(&region, &["end", "../whoami"], 2, &["not the id of a session"]).await;
    refused(&region, &["connect", "a/b"], 2, &["--reason <TEXT>"]).await;
    assert_eq!(region.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unknown_session_is_told() {
    let region = Region::begin().await;
    refused(&region, &["end", "1-abc"], 1, &["unknownSession", "remedy: sallyportctl sessions"]).await;
}

#[tokio::test]
async fn a_region_that_does_not_answer_is_code_5() {
    let mut region = Region::begin().await;
    // A port that was free a moment ago.
    region.address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    refused(&region, &["devices"], 5, &["cannot reach 127.0.0.1:", "remedy: check --server"]).await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let region = Region::begin().await;
    std::fs::write(region.file("ca.pem"), EngineersCa::new().bundle().to_pem()).unwrap();
    refused(&region, &["devices"], 5, &["not issued by a trusted certificate authority", "for --trust"]).await;
    // The same name, another key: a region that was made anew.
    std::fs::write(region.file("ca.pem"), Ca::new("dmz-frankfurt", "frankfurt").bundle().to_pem()).unwrap();
    refused(&region, &["devices"], 5, &["signature is not valid", "for --trust"]).await;
    assert_eq!(region.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_of_another_name_is_refused() {
    let region = Region::begin().await;
    refused(&region, &["devices", "--server", "https://osaka.service.test"], 5, &["--server must be the name"]).await;
}

#[tokio::test]
async fn an_engineer_of_an_unknown_authority_is_told_so() {
    let (ca, admitted, other) = (Ca::new("dmz-frankfurt", "frankfurt"), EngineersCa::new(), EngineersCa::new());
    let region = Region::with(&ca, &admitted, &other.engineer("eve@elsewhere.example", &["ct-service-emea"])).await;
    refused(&region, &["devices"], 5, &["peer refused the handshake", "does not know the authority"]).await;
}

#[tokio::test]
async fn an_expired_certificate_is_told_before_anything_is_dialled() {
    let (ca, engineers) = (Ca::new("dmz-frankfurt", "frankfurt"), EngineersCa::new());
    let region = Region::with(&ca, &engineers, &engineers.expired_engineer("anna@vendor.example", &[])).await;
    refused(&region, &["devices"], 5, &["expired at 2024-01-31", "renew"]).await;
}

#[tokio::test]
async fn missing_files_and_settings_are_named() {
    let region = Region::begin().await;
    refused(&region, &["devices", "--key", "/nonexistent.key"], 5, &["cannot read /nonexistent.key"]).await;
    refused(&region, &["devices", "--server", "http://x"], 2, &["write https://HOST"]).await;
    refused(&region, &["devices", "--context", "osaka"], 2, &["no context \"osaka\""]).await;
    std::fs::write(region.file("c.yaml"), "contexts: [{ name: a, sever: x }]").unwrap();
    let config = region.file("c.yaml");
    refused(&region, &["devices", "--config", config.to_str().unwrap()], 2, &["sever"]).await;
}

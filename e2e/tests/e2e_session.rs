//! One service session after another: a real engineer's CLI, real gateways in the cluster, a real agent with a real sshd
//! and nginx behind it in a hospital site of its own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sallyport_e2e::kubectl::wait_condition;
use sallyport_e2e::operators::{Gone, back};
use sallyport_e2e::region::{NAMESPACE, OUTER, SITES};
use sallyport_e2e::run::text;
use sallyport_e2e::wait::holds;
use sallyport_e2e::{Region, Site, delete, eventually, get, kubectl, lab, output, run};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

fn page(site: &Site, address: &str) -> String {
    let url = format!("https://{}:{}/", site.fact("SITE_DEVICE_IP"), address.rsplit(':').next().unwrap());
    let to = format!("{}:{}:{address}", site.fact("SITE_DEVICE_IP"), address.rsplit(':').next().unwrap());
    run(Command::new("curl").args(["--silent", "--show-error", "--fail", "--max-time", "10"]).args([
        "--cacert",
        site.fact("SITE_DEVICE_CERTIFICATE"),
        "--connect-to",
        &to,
        &url,
    ]))
}

#[test]
fn an_engineer_reaches_a_scanner_over_ssh_and_https() {
    let region = Region::ready();
    let site = Site::connected(&region, "reach");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let ssh = ada.ssh(&site, "echo over-ssh; hostname");
    assert!(ssh.status.success(), "{}{}", text(&ssh.stderr), site.log());
    assert!(text(&ssh.stdout).starts_with("over-ssh"), "{}", text(&ssh.stdout));
    let connection = ada.connect(&site.scanner(), "console");
    assert!(page(&site, &connection.address).contains("<html"), "the page came");
    let sessions: Value = serde_json::from_str(&run(&mut ada.ctl(&["sessions", "--output", "json"]))).unwrap();
    assert!(sessions.to_string().contains("console"), "{sessions}");

    // The objects say so too.
    wait_condition((SITES, "mdev", "reach-ct"), "Connected", "True", SOON);
    wait_condition((SITES, "csite", "reach"), "Connected", "True", SOON);
    assert_eq!(site.wait_gateways(2).0, region.gateways());
}

#[test]
fn outside_the_policy_the_cli_says_why() {
    let region = Region::ready();
    let site = Site::connected(&region, "refuse");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let bob = region.engineer("bob@vendor.example", &["mr-service"]);
    let mr = format!("{SITES}/refuse-mr");
    let scanner = site.scanner();
    let cases = [
        (&ada, mr.as_str(), "ssh", 3, "no AccessPolicy"),
        (&bob, scanner.as_str(), "ssh", 3, "no AccessPolicy"),
        (&ada, scanner.as_str(), "calibrate", 3, "approve"),
        (&ada, scanner.as_str(), "telnet", 3, "declares no service"),
    ];
    for (engineer, device, service, code, words) in cases {
        let said = output(&mut engineer.ctl(&["connect", device, "--service", service, "--reason", "test"]));
        let message = text(&said.stderr);
        assert!(said.status.code() == Some(code) && message.contains(words), "{device} {service}: {said:?}");
    }
    // Declared and allowed, but nothing listens: the session opens, the stream is refused by the site.
    let connection = ada.connect(&scanner, "closed");
    let curl =
        output(Command::new("curl").args(["--silent", "--max-time", "10", &format!("http://{}/", connection.address)]));
    assert!(!curl.status.success());
}

#[test]
fn killing_the_gateway_that_holds_the_tunnel_gives_a_session_again_within_ten_seconds() {
    let region = Region::ready();
    let site = Site::connected(&region, "killed");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let holder = site.gateways()[0].clone();
    kubectl(&["--namespace", NAMESPACE, "delete", "pod", &holder, "--grace-period=0", "--force"]);
    let (_, took) = eventually(Duration::from_secs(30), "a session works again", || {
        let ssh = ada.ssh(&site, "echo again");
        holds(ssh.status.success(), text(&ssh.stderr))
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
    site.wait_gateways(2);
}

#[test]
fn an_agent_that_was_killed_comes_back_and_its_sessions_were_ended() {
    let region = Region::ready();
    let mut site = Site::connected(&region, "agent-killed");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let connection = ada.connect(&site.scanner(), "console");
    site.kill_agent();
    let (code, words) = connection.ended();
    assert_eq!(code, Some(6), "{words}");
    let refused = output(&mut ada.ctl(&["connect", &site.scanner(), "--service", "ssh", "--reason", "test"]));
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    site.start_agent();
    site.wait_gateways(2);
    let ssh = ada.ssh(&site, "echo back");
    assert!(ssh.status.success(), "{}", text(&ssh.stderr));
}

#[test]
fn sessions_open_with_the_operator_gone() {
    let region = Region::ready();
    let site = Site::connected(&region, "alone");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let gone = Gone::now();
    let ssh = ada.ssh(&site, "echo alone");
    let after_restart = {
        // And a gateway starts again from its own volume.
        kubectl(&["--namespace", NAMESPACE, "delete", "pod", "test-gateway-1", "--grace-period=0", "--force"]);
        eventually(SOON, "the gateway is ready without an operator", || {
            let pod = get(NAMESPACE, "pod", "test-gateway-1");
            let ready = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = ready.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            holds(ready, &pod["status"]["phase"])
        });
        ada.ssh(&site, "echo still alone")
    };
    drop(gone);
    back();
    assert!(ssh.status.success(), "{}", text(&ssh.stderr));
    assert!(after_restart.status.success(), "{}", text(&after_restart.stderr));
    wait_condition((NAMESPACE, "dmz", "test"), "Ready", "True", Duration::from_secs(90));
}

#[test]
fn no_address_of_the_hospital_is_reachable_by_ip() {
    let region = Region::ready();
    let site = Site::connected(&region, "routes");
    let address = format!("http://{}:443/", site.fact("SITE_DEVICE_IP"));
    let from_host = output(Command::new("curl").args(["--silent", "--max-time", "3", &address]));
    assert!(!from_host.status.success(), "the host reaches the device");
    let image = lab::image("TOOLBOX");
    let overrides = r#"{"spec":{"automountServiceAccountToken":false,"securityContext":{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"probe","image":"IMAGE","command":["curl","--silent","--max-time","3","URL"],"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}"#;
    let overrides = overrides.replace("IMAGE", &image).replace("URL", &address);
    delete(NAMESPACE, "pod", "probe");
    kubectl(&[
        "--namespace",
        NAMESPACE,
        "run",
        "probe",
        "--image",
        &image,
        "--restart=Never",
        "--overrides",
        &overrides,
    ]);
    let (phase, _) = eventually(SOON, "the probe ends", || {
        let phase = get(NAMESPACE, "pod", "probe")["status"]["phase"].as_str().unwrap_or_default().to_owned();
        holds(phase == "Succeeded" || phase == "Failed", &phase).map(|()| phase)
    });
    delete(NAMESPACE, "pod", "probe");
    assert_eq!(phase, "Failed", "a pod reaches the device");
    // And it is there: through a session.
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    assert!(page(&site, &ada.connect(&site.scanner(), "console").address).contains("<html"));
}

#[test]
fn a_suspended_site_is_cut_within_a_second() {
    let region = Region::ready();
    let site = Site::connected(&region, "suspend");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let mut ssh =
        ada.ssh_command(&site, "while echo tick; do sleep 0.02; done").stdout(Stdio::piped()).spawn().unwrap();
    let mut ticks = std::io::BufReader::new(ssh.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut ticks, &mut line).unwrap();
    assert_eq!(line.trim(), "tick");
    let last = std::thread::spawn(move || {
        let mut last = Instant::now();
        while std::io::BufRead::read_line(&mut ticks, &mut line).is_ok_and(|read| read > 0) {
            last = Instant::now();
        }
        last
    });
    kubectl(&[
        "--namespace",
        SITES,
        "patch",
        "csite",
        "suspend",
        "--type=merge",
        "--patch",
        r#"{"spec":{"suspended":true}}"#,
    ]);
    let changed = Instant::now();
    let last = last.join().unwrap();
    let late = last.saturating_duration_since(changed);
    assert!(late < Duration::from_secs(1), "the last byte came {late:?} after the change");
    ssh.wait().unwrap();
    wait_condition((SITES, "csite", "suspend"), "Suspended", "True", SOON);
    let refused = output(&mut ada.ctl(&["connect", &site.scanner(), "--service", "ssh", "--reason", "test"]));
    assert!(text(&refused.stderr).contains("suspended"), "{refused:?}");
    kubectl(&[
        "--namespace",
        SITES,
        "patch",
        "csite",
        "suspend",
        "--type=merge",
        "--patch",
        r#"{"spec":{"suspended":false}}"#,
    ]);
    site.wait_gateways(2);
}

#[test]
fn deleting_a_site_cuts_its_tunnels_first() {
    let region = Region::ready();
    let site = Site::connected(&region, "deleted");
    delete(SITES, "tep", "deleted");
    assert_eq!(get(SITES, "tep", "deleted"), Value::Null);
    // The object is gone, so the tunnels are: the region counts none of this endpoint's.
    eventually(SOON, "the agent is told that it is unknown", || {
        let log = site.log();
        holds(log.contains("unknownEndpoint"), log)
    });
}

#[test]
fn a_site_that_vanishes_without_a_word_is_noticed_within_thirty_seconds() {
    let region = Region::ready();
    let site = Site::connected(&region, "vanish");
    // Every packet is dropped silently, both ways: no FIN, no RST.
    site.exec("agent", &["nft", "add table inet gone; add chain inet gone out { type filter hook output priority 0; policy drop; }; add chain inet gone in { type filter hook input priority 0; policy drop; }"]);
    let (_, took) = wait_condition((SITES, "tep", "vanish"), "Connected", "False", SOON);
    assert!(took < Duration::from_secs(30), "{took:?}");
    site.exec("agent", &["nft", "delete table inet gone"]);
    site.wait_gateways(2);
}

#[test]
fn the_wrong_certificate_is_refused_at_the_outer_door() {
    let region = Region::ready();
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let folder = ada.config().parent().unwrap().to_owned();
    let said = output(
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "5"])
            .arg("--cacert")
            .arg(folder.join("ca.crt"))
            .arg("--cert")
            .arg(folder.join("ada.crt"))
            .arg("--key")
            .arg(folder.join("ada.key"))
            .args([
                "--connect-to",
                &format!("{OUTER}:443:{}:{}", region.node, region.outer),
                &format!("https://{OUTER}/v1/preflight"),
            ]),
    );
    assert!(!said.status.success(), "{said:?}");
}

#[test]
fn the_preflight_tells_a_hospital_what_is_wrong() {
    let region = Region::ready();
    let site = Site::made(&region, "preflight");
    let agent = sallyport_e2e::run::built("sallyport-agent");
    let agent = agent.to_str().unwrap();
    let config = site.path("agent.yaml");
    let fine = site.exec("agent", &[agent, "check", "--config", config.to_str().unwrap()]);
    assert!(!fine.contains("FAIL"), "{fine}");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(site.path("wrong.yaml"), text.replace(OUTER, "nowhere.example")).unwrap();
    let said = output(
        Command::new(sallyport_e2e::run::tree().join("e2e/lab/netns.sh"))
            .args(["exec", "preflight", "agent", agent, "check", "--config"])
            .arg(site.path("wrong.yaml")),
    );
    let message = sallyport_e2e::run::text(&said.stdout);
    assert!(!said.status.success() && message.contains("FAIL") && message.contains("nowhere.example"), "{said:?}");
}

#[test]
fn with_the_api_server_killed_sessions_go_on_and_everything_converges() {
    if !lab::is_here() {
        return skipped("only the lab's API server may be killed");
    }
    let region = Region::ready();
    let site = Site::connected(&region, "headless");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    lab::component("kill", "apiserver");
    let ssh = ada.ssh(&site, "echo headless");
    lab::component("start", "apiserver");
    assert!(ssh.status.success(), "{}", text(&ssh.stderr));
    kubectl(&["--namespace", SITES, "label", "csite", "headless", "seen=1"]);
    wait_condition((NAMESPACE, "dmz", "test"), "Ready", "True", Duration::from_secs(90));
    kubectl(&[
        "--namespace",
        SITES,
        "patch",
        "csite",
        "headless",
        "--type=merge",
        "--patch",
        r#"{"spec":{"suspended":true}}"#,
    ]);
    wait_condition((SITES, "csite", "headless"), "Suspended", "True", Duration::from_secs(90));
    eventually(SOON, "the tunnels are cut", || {
        let gateways = site.gateways();
        holds(gateways.is_empty(), format!("{gateways:?}"))
    });
}

#[allow(clippy::print_stderr, reason = "said, never counted as passed")]
fn skipped(why: &str) {
    eprintln!("skipped, not here: {why}");
}

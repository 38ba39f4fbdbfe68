//! A file is being copied over SSH when the access goes: because the site is suspended, the device is, or the agent's
//! certificate is revoked. It is cut within a second, and both ends say why.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sallyport_e2e::api_server::Changes;
use sallyport_e2e::kubectl::wait_condition;
use sallyport_e2e::region::SITES;
use sallyport_e2e::run::text;
use sallyport_e2e::wait::holds;
use sallyport_e2e::{Engineer, Region, Site, eventually, get, output};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// The promise (I2), here from before the request is sent to the last byte at the engineer's end.
const PROMISE: Duration = Duration::from_secs(1);
/// The gateway's answers to whoever dials again, and the agent's log of them, come within the agent's backoff.
const AGENT_SAYS: Duration = Duration::from_secs(30);

/// A file that is long enough for the test, and takes no room on the device.
fn scp(engineer: &Engineer, site: &Site, to: &Path) -> Child {
    let home = format!("/run/sallyport-site/{}/home", site.name);
    site.exec("device", &["truncate", "--size", "4G", &format!("{home}/image.raw")]);
    // About 25 MB a second, so that the disk does not fill and there is always more to come.
    let ssh = engineer.ssh_command(site, "");
    let options: Vec<_> = ssh.get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect();
    let destination = options.iter().position(|option| option.contains('@')).unwrap();
    Command::new("scp")
        .args(["-l", "200000"])
        .args(&options[..destination])
        .arg(format!("{}:image.raw", options[destination]))
        .arg(to)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

struct Cut {
    /// From before the change was sent to the last byte.
    late: Duration,
    /// What the engineer read.
    words: String,
}

/// Copies, changes the object while bytes arrive, and waits for the end.
fn copy_until(engineer: &Engineer, site: &Site, change: impl FnOnce(&mut Changes)) -> Cut {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("image.raw");
    let mut changes = Changes::begin();
    let mut scp = scp(engineer, site, &copy);
    let size = || std::fs::metadata(&copy).map_or(0, |file| file.len());
    eventually(SOON, "the copy is under way", || holds(size() > 4 << 20, size()));
    let changed = Instant::now();
    change(&mut changes);
    let (mut last, mut seen) = (Instant::now(), size());
    loop {
        let ended = scp.try_wait().unwrap();
        let now = size();
        if now != seen {
            (last, seen) = (Instant::now(), now);
        }
        if let Some(status) = ended {
            assert!(!status.success(), "the copy of 4 GB was complete");
            break;
        }
        assert!(last.elapsed() < Duration::from_secs(20), "the copy stands still at {seen} and was not ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut words = String::new();
    scp.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    Cut { late: last.saturating_duration_since(changed), words }
}

fn assert_cut(cut: &Cut, what: &str) {
    say(&format!("{what}: the last byte came {:?} after; the engineer read: {}", cut.late, cut.words.trim()));
    assert!(cut.late < PROMISE, "{what}: the last byte came {:?} after the change", cut.late);
}

/// The operator has seen and measured it too.
fn measured(kind: &str, name: &str, field: &str) -> u64 {
    let (milliseconds, _) = eventually(SOON, &format!("{kind}/{name} has status.{field}.milliseconds"), || {
        let status = get(SITES, kind, name)["status"].clone();
        let milliseconds = status[field]["milliseconds"].as_u64();
        holds(milliseconds.is_some(), &status).map(|()| milliseconds.unwrap())
    });
    milliseconds
}

#[test]
fn a_copy_is_cut_when_the_site_is_suspended_and_both_ends_say_why() {
    let region = Region::ready();
    let site = Site::connected(&region, "copy-site");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let cut = copy_until(&ada, &site, |changes| {
        changes.patch(SITES, "customersites", &site.name, &json!({"spec": {"suspended": true}}));
    });
    assert_cut(&cut, "site suspended");
    assert!(cut.words.contains("suspended"), "{}", cut.words);
    wait_condition((SITES, "csite", &site.name), "Suspended", "True", SOON);
    assert!(measured("csite", &site.name, "suspension") < 1000);
    eventually(AGENT_SAYS, "the agent says that it is suspended", || {
        holds(site.log().contains("suspended"), site.log())
    });
    let refused = output(&mut ada.ctl(&["connect", &site.scanner(), "--service", "ssh", "--reason", "test"]));
    assert!(text(&refused.stderr).contains("suspended"), "{refused:?}");
}

#[test]
fn a_copy_is_cut_when_the_device_is_suspended_and_other_devices_go_on() {
    let region = Region::ready();
    let site = Site::connected(&region, "copy-device");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let device = format!("{}-ct", site.name);
    let cut = copy_until(&ada, &site, |changes| {
        changes.patch(SITES, "devices", &device, &json!({"spec": {"suspended": true}}));
    });
    assert_cut(&cut, "device suspended");
    assert!(cut.words.contains("suspended"), "{}", cut.words);
    wait_condition((SITES, "mdev", &device), "Suspended", "True", SOON);
    assert!(measured("mdev", &device, "suspension") < 1000);
    // Its tunnel is not the device's.
    assert_eq!(site.gateways().len(), 2);
    let refused = output(&mut ada.ctl(&["connect", &site.scanner(), "--service", "ssh", "--reason", "test"]));
    assert!(text(&refused.stderr).contains("suspended"), "{refused:?}");
    // And it is given back.
    Changes::begin().patch(SITES, "devices", &device, &json!({"spec": {"suspended": false}}));
    eventually(SOON, "a session works again", || {
        let ssh = ada.ssh(&site, "echo again");
        holds(ssh.status.success(), text(&ssh.stderr))
    });
}

#[test]
fn a_copy_is_cut_when_the_certificate_is_revoked_and_it_counts_nowhere_any_more() {
    let region = Region::ready();
    let site = Site::connected(&region, "copy-revoked");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let serial = get(SITES, "tcert", &site.name)["status"]["serial"].as_str().unwrap().to_owned();
    let cut = copy_until(&ada, &site, |changes| {
        let revoked = json!({"spec": {"revoked": {"reason": "keyCompromise", "note": "found on a USB stick"}}});
        changes.patch(SITES, "tunnelcertificates", &site.name, &revoked);
    });
    assert_cut(&cut, "certificate revoked");
    assert!(measured("tcert", &site.name, "revocation") < 1000);
    eventually(AGENT_SAYS, "the agent says that its certificate is revoked", || {
        let log = site.log();
        holds(log.to_lowercase().contains("revoked"), log)
    });
    // It is on the list that everybody can fetch, and the agent stays out.
    let lists = published_lists(&region);
    assert!(lists.to_lowercase().contains(&serial.to_lowercase()), "{serial} is not in {lists}");
    // Status is written once a second at most.
    eventually(SOON, "no gateway shows a tunnel of it", || {
        let gateways = site.gateways();
        holds(gateways.is_empty(), format!("{gateways:?}"))
    });
}

/// The region's certificate revocation lists as openssl prints them, from the outer door.
fn published_lists(region: &Region) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), region.trust()).unwrap();
    let curl = |path: &str| {
        let to = format!("{}:443:{}:{}", sallyport_e2e::region::OUTER, region.node, region.outer);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--connect-to", &to]).arg("--cacert");
        curl.arg(folder.path().join("ca.crt")).arg(format!("https://{}{path}", sallyport_e2e::region::OUTER));
        let said = output(&mut curl);
        assert!(said.status.success(), "{path}: {}", text(&said.stderr));
        said.stdout
    };
    let lists: Value = serde_json::from_slice(&curl("/v1/crls")).unwrap();
    let mut all = String::new();
    for list in lists.as_array().unwrap() {
        let file = folder.path().join("list.crl");
        std::fs::write(&file, curl(list["href"].as_str().unwrap())).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["crl", "-inform", "DER", "-noout", "-text", "-CAfile"]).arg(folder.path().join("ca.crt"));
        let said = output(openssl.arg("-in").arg(&file));
        assert!(text(&said.stderr).contains("verify OK"), "{said:?}");
        all.push_str(&text(&said.stdout));
    }
    all
}

#[allow(clippy::print_stderr, reason = "the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}

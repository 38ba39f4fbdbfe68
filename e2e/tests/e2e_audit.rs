//! No access without evidence, and evidence that a customer can check alone: a session is held, exported, verified with
//! nothing but the export and a public key, also by a program that is not ours; one byte is changed and the record is
//! named.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sallyport_e2e::region::{NAME, NAMESPACE, SITES};
use sallyport_e2e::run::text;
use sallyport_e2e::wait::holds;
use sallyport_e2e::{Engineer, Region, Site, eventually, get, output, run};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// The one key that a customer keeps.
fn verifier(region: &str) -> String {
    let (key, _) = eventually(SOON, "the region has an audit key", || {
        let key = get(NAMESPACE, "dmz", region)["status"]["audit"]["verifierKey"].as_str().map(str::to_owned);
        key.ok_or_else(|| "none".to_owned())
    });
    key
}

fn auditor(region: &Region) -> Engineer {
    region.engineer("eve@vendor.example", &["auditors"])
}

/// Exports everything of a site, as soon as the archive holds `wanted` records.
fn export(auditor: &Engineer, site: &str, to: &Path, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let name = format!("{SITES}/{site}");
    let (records, _) = eventually(SOON, "the archive has the records", || {
        let _ = fs::remove_dir_all(to);
        let now = jiff::Timestamp::now().to_string();
        let all = ["audit", "export", "--site", &name, "--from", "2020-01-01", "--to", &now, to.to_str().unwrap()];
        let made = output(&mut auditor.ctl(&all));
        if !made.status.success() {
            return Err(text(&made.stderr));
        }
        let records = fs::read_to_string(to.join("records.jsonl")).map_err(|error| error.to_string())?;
        let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        holds(wanted(&records), kinds(&records).join(" ")).map(|()| records)
    });
    records
}

fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"]["kind"].as_str().unwrap()).collect()
}

fn has(records: &[Value], kind: &str) -> bool {
    kinds(records).contains(&kind)
}

fn verify(folder: &Path, key: &str) -> std::process::Output {
    output(
        Command::new(sallyport_e2e::run::built("sallyportctl"))
            .args(["audit", "verify"])
            .arg(folder)
            .args(["--key", key]),
    )
}

/// Files of the entries of all logs in an export.
fn bundles(export: &Path) -> Vec<PathBuf> {
    let found = run(Command::new("find").arg(export.join("logs")).args(["-path", "*/tile/entries/*", "-type", "f"]));
    found.lines().map(PathBuf::from).collect()
}

#[test]
fn a_customer_verifies_an_export_alone_and_a_changed_byte_is_named() {
    let region = Region::ready();
    let site = Site::connected(&region, "evidence");
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let ssh = ada.ssh(&site, "echo held");
    assert!(ssh.status.success(), "{}", text(&ssh.stderr));
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("export");
    let records = export(&auditor(&region), &site.name, &exported, |records| has(records, "sessionEnded"));

    // Who, what, where, when, decision (R94, R95, R100).
    let started = records.iter().find(|record| record["event"]["kind"] == "sessionStarted").unwrap().to_string();
    for words in ["ada@vendor.example", "tube arcing", "evidence-ct", "ssh", "ct-service"] {
        assert!(started.contains(words), "{words} is not in {started}");
    }
    for kind in ["tunnelUp", "siteConfigured"] {
        assert!(has(&records, kind), "{kind}: {:?}", kinds(&records));
    }
    let key = verifier(NAME);
    let good = verify(&exported, &key);
    assert!(good.status.success(), "{}{}", text(&good.stdout), text(&good.stderr));

    // With another region's key nothing is believed.
    let other = key.replace("test+", "toast+");
    assert!(!verify(&exported, &other).status.success(), "another key");

    // One byte of one record.
    let bundle = bundles(&exported).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let whole = fs::read(&bundle).unwrap();
    let at = whole.windows(14).position(|window| window == b"sessionStarted").unwrap_or(whole.len() / 2);
    let mut changed = whole.clone();
    changed[at] ^= 1;
    fs::write(&bundle, &changed).unwrap();
    let bad = verify(&exported, &key);
    let said = format!("{}{}", text(&bad.stdout), text(&bad.stderr));
    assert!(!bad.status.success() && said.contains("record"), "{said}");
    say(&said);
    fs::write(&bundle, &whole).unwrap();
    assert!(verify(&exported, &key).status.success(), "as it was it is good again");
}

/// The published client does not end with a status that tells, so its words count.
fn published_client(log: &Path, key: &Path) -> String {
    let url = format!("file://{}", log.display());
    let said =
        output(Command::new("tlog-fsck").args(["-ui=false", "-v=1", "-storage_url", &url]).arg("-public_key").arg(key));
    format!("{}{}", text(&said.stdout), text(&said.stderr))
}

#[test]
fn a_program_that_is_not_ours_reads_the_same_log() {
    let region = Region::ready();
    let site = Site::connected(&region, "published");
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("export");
    export(&auditor(&region), &site.name, &exported, |records| has(records, "tunnelUp"));
    let about: Value = serde_json::from_slice(&fs::read(exported.join("export.json")).unwrap()).unwrap();
    let logs = about["logs"].as_array().unwrap();
    assert!(!logs.is_empty());
    for (number, log) in logs.iter().enumerate() {
        let (tree, key) = (exported.join(format!("logs/{number}")), folder.path().join("key"));
        fs::write(&key, log["verifierKey"].as_str().unwrap()).unwrap();
        let said = published_client(&tree, &key);
        assert!(said.contains("Successfully fsck'd") && !said.contains("fsck failed"), "{said}");
        let bundle = bundles(&exported).into_iter().find(|file| file.starts_with(&tree)).unwrap();
        let mut bytes = fs::read(&bundle).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&bundle, bytes).unwrap();
        let said = published_client(&tree, &key);
        assert!(said.contains("fsck failed"), "a changed byte was not seen: {said}");
    }
}

#[test]
fn nobody_sees_another_customers_records() {
    let region = Region::ready();
    let (mine, theirs) = (Site::connected(&region, "mine"), Site::connected(&region, "theirs"));
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    assert!(ada.ssh(&theirs, "true").status.success());
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("export");
    export(&auditor(&region), &mine.name, &exported, |records| has(records, "tunnelUp"));
    // grep ends with 1 when it finds nothing.
    let found =
        output(Command::new("grep").args(["--recursive", "--text", "--files-with-matches", "theirs"]).arg(&exported));
    assert_eq!(found.status.code(), Some(1), "another site's name is in {}", text(&found.stdout));
    // An engineer who is no auditor reads nothing.
    let name = format!("{SITES}/mine");
    let refused = output(&mut ada.ctl(&["audit", "records", "--site", &name]));
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
}

#[allow(clippy::print_stderr, reason = "the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}

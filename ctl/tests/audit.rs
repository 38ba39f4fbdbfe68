//! What an auditor does at the command line: read, fetch, check; and what happens to an export that does not hold.

#![allow(clippy::unwrap_used, reason = "a test")]

mod audit_support;
mod scripted;

use std::fs;
use std::path::Path;

use audit_support::{Vendor, tar, text_of};
use scripted::{Region, text};
use serde_json::Value;

async fn verify(region: &Region, folder: &Path, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["audit", "verify", folder.to_str().unwrap()];
    arguments.extend(more);
    let output = region.run(&arguments).await;
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn an_export_is_fetched_unpacked_and_verified() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    *region.state.export.lock().unwrap() = Some(tar(&vendor.export()));
    let folder = region.file("november");
    let key = vendor.key();
    let output = region
        .run(&[
            "audit",
            "export",
            "--site",
            "site-lyon/hospices-rhone",
            "--from",
            "2026-11-24",
            "--to",
            "2026-11-25",
            "--verifier",
            &key,
            folder.to_str().unwrap(),
        ])
        .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("VERIFIED"), "{}", text(&output.stdout));
    let asked = "GET /v1/audit/export?site=site-lyon%2fhospices-rhone&from=2026-11-24t00%3a00%3a00z&to=2026-11-25t00%3a00%3a00z";
    assert_eq!(region.seen().iter().map(|seen| seen.to_lowercase()).collect::<Vec<_>>(), [asked.to_lowercase()]);

    let (code, stdout, _) = verify(&region, &folder, &["--key", &key, "--known", folder.to_str().unwrap()]).await;
    assert!(code == 0 && stdout.contains("1 checkpoints from before are contained"), "{stdout}");
    // Again into the same folder: two exports in one would not hold.
    let again = ["audit", "export", "--from", "2026-11-24", "--to", "2026-11-25", folder.to_str().unwrap()];
    let output = region.run(&again).await;
    assert!(
        output.status.code() == Some(2) && text(&output.stderr).contains("is not empty"),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test]
async fn one_changed_byte_names_the_record_and_has_an_exit_code_of_its_own() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    let folder = region.file("november");
    vendor.write(&folder);
    let bundle = folder.join("logs/0/tile/entries/000.p/12");
    let mut bytes = fs::read(&bundle).unwrap();
    let place = bytes.windows(6).position(|six| six == b"\"n\":7,").unwrap() + 40;
    bytes[place] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let (code, stdout, stderr) = verify(&region, &folder, &["--key", &vendor.key()]).await;
    assert_eq!(code, 8, "{stdout}{stderr}");
    assert!(stdout.starts_with("NOT VERIFIED") && stdout.contains("(record 7 of log sallyport.dev/dmz/"), "{stdout}");
    assert!(stderr.contains("does not hold") && stderr.contains("remedy:"), "{stderr}");

    let (code, stdout, _) = verify(&region, &folder, &["--key", &vendor.key(), "-o", "json"]).await;
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json["verified"]), (8, &Value::Bool(false)));
    assert!(json["faults"].as_array().unwrap().iter().any(|fault| fault["record"] == 7), "{json}");
}

#[tokio::test]
async fn verified_is_json_too_and_links_are_not_followed() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    let folder = region.file("november");
    vendor.write(&folder);
    let (code, stdout, _) = verify(&region, &folder, &["--key", &vendor.key(), "-o", "json"]).await;
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json["verified"], &json["records"]), (0, &Value::Bool(true), &Value::from(12)));

    fs::rename(folder.join("records.csv"), region.file("elsewhere.csv")).unwrap();
    std::os::unix::fs::symlink(region.file("elsewhere.csv"), folder.join("records.csv")).unwrap();
    let (code, stdout, _) = verify(&region, &folder, &["--key", &vendor.key()]).await;
    assert!(code == 8 && stdout.contains("records.csv: is damaged: it is no plain file"), "{stdout}");
}

#[tokio::test]
async fn wrong_usage_names_the_flag_and_the_remedy() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    let folder = region.file("november");
    vendor.write(&folder);
    let key = vendor.key();
    let mistyped = key.replace("+A", "+B");
    let no_known = region.file("me.pem").display().to_string();
    for (more, expected) in [
        (vec![], "--key <VERIFIER>"),
        (vec!["--key", &mistyped], "--key"),
        (vec!["--key", &key, "--known", &no_known], "holds no signed checkpoint"),
    ] {
        let (code, _, stderr) = verify(&region, &folder, &more).await;
        assert!(code == 2 && stderr.contains(expected), "{stderr}");
    }
    let (code, _, stderr) = verify(&region, &region.file("nowhere"), &["--key", &key]).await;
    assert!(code == 2 && stderr.contains("is no folder"), "{stderr}");
    let output = region.run(&["audit", "records", "--from", "24.11.2026"]).await;
    let stderr = text(&output.stderr);
    assert!(
        output.status.code() == Some(2) && stderr.contains("--from") && stderr.contains("2026-11-24T15:00:00Z"),
        "{stderr}"
    );
    let output = region.run(&["audit", "export", "--from", "2026-11-25", "--to", "2026-11-24", "x"]).await;
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("later than --from"));
    assert_eq!(region.seen(), Vec::<String>::new());
}

#[test]
fn the_manifest_is_read_by_sha256sum_as_the_manual_says() {
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md")).unwrap();
    let command = manual.lines().find(|line| line.contains("sha256sum --check")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    Vendor::new().write(folder.path());
    let check = || std::process::Command::new("sh").args(["-ec", command]).current_dir(&folder).output().unwrap();
    assert!(check().status.success(), "{}", text(&check().stderr));
    fs::write(folder.path().join("records.csv"), "x").unwrap();
    let output = check();
    assert!(
        !output.status.success() && text(&output.stdout).contains("records.csv: FAILED"),
        "{}",
        text(&output.stdout)
    );
}

#[tokio::test]
async fn an_export_that_breaks_off_is_no_export() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    *region.state.export.lock().unwrap() = Some(tar(&vendor.export()));
    *region.state.break_off.lock().unwrap() = true;
    let folder = region.file("november");
    let arguments = ["audit", "export", "--from", "2026-11-24", "--to", "2026-11-25", folder.to_str().unwrap()];
    let output = region.run(&arguments).await;
    let stderr = text(&output.stderr);
    assert!(
        output.status.code() == Some(5) && stderr.contains("it broke off") && stderr.contains("proves nothing"),
        "{stderr}"
    );
}

#[tokio::test]
async fn records_are_lines_or_a_table_and_refusals_are_told() {
    let (region, vendor) = (Region::begin().await, Vendor::new());
    let lines = text_of(&vendor.export(), "records.jsonl");
    *region.state.records.lock().unwrap() = Some(lines.clone());
    let site = ["audit", "records", "--site", "site-lyon/hospices-rhone"];
    let output = region.run(&[&site[..], &["-o", "jsonl", "--engineer", "Anna@vendor.example"]].concat()).await;
    assert_eq!(text(&output.stdout), lines, "{}", text(&output.stderr));
    assert!(region.seen()[0].contains("engineer=anna%40vendor.example"), "{:?}", region.seen());
    let output = region.run(&site).await;
    let table = text(&output.stdout);
    assert!(table.starts_with("TIME") && table.contains("sessionStarted"), "{table}");
    assert_eq!(table.lines().count(), 13);

    *region.state.records.lock().unwrap() = None;
    let output = region.run(&site).await;
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(3) && stderr.contains("notAnAuditor"), "{stderr}");
}

#[tokio::test]
async fn a_subject_is_the_digest_that_an_erasure_names() {
    let region = Region::begin().await;
    let output = region.run(&["audit", "subject", "Anna@vendor.example"]).await;
    let subject = sallyport_audit::Subject::of(&"anna@vendor.example".parse().unwrap());
    assert_eq!(text(&output.stdout).trim(), subject.to_string());
}

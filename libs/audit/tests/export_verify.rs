//! What the verifier finds when the vendor itself cheats, with the region's key at hand: manifests here are signed anew.

#![allow(clippy::unwrap_used, reason = "a test")]

mod export_support;

use std::collections::BTreeMap;

use export_support::{Folder, World, about, at, check, key, period, region, signed_anew, verifier};
use sallyport_audit::export::{Check, Fault, Known, Trust, verify};
use sallyport_audit::tlog::checkpoint::Checkpoint;
use sallyport_audit::tlog::note::{KeyName, Signer};

fn faults(folder: &Folder, known: &[Known]) -> Vec<Fault> {
    check(folder, known).unwrap_err().faults
}

fn change(folder: &mut Folder, path: &str, from: &str, to: &str) {
    let text = String::from_utf8(folder[path].clone()).unwrap();
    assert!(text.contains(from), "{path}: {text}");
    folder.insert(path.to_owned(), text.replacen(from, to, 1).into_bytes());
}

#[test]
fn one_byte_of_a_record_names_the_record() {
    let world = World::new(&[300, 40]);
    let mut folder = world.export(period(0, 3000));
    let bundle = folder.get_mut("logs/0/tile/entries/001.p/44").unwrap();
    let place = bundle.windows(10).position(|ten| ten == b"\"n\":259,\"a").unwrap() + 30;
    bundle[place] ^= 1;
    for folder in [folder.clone(), signed_anew(&folder)] {
        let faults = faults(&folder, &[]);
        let named = |fault: &Fault| {
            fault.record == Some(259)
                && fault.file.as_deref() == Some("logs/0/tile/entries/001.p/44")
                && fault.log == Some(world.logs[0].origin.to_string())
        };
        assert!(faults.iter().any(named), "{faults:?}");
        assert!(!faults.iter().any(|fault| fault.record.is_some_and(|n| n != 259)), "{faults:?}");
    }
}

#[test]
fn a_torn_bundle_names_the_record_where_it_begins() {
    let mut folder = World::new(&[40]).export(period(0, 3000));
    let bundle = folder.get_mut("logs/0/tile/entries/000.p/40").unwrap();
    let place = bundle.windows(8).position(|eight| eight == b"{\"n\":12,").unwrap();
    bundle[place - 1] ^= 0x10; // its length
    let faults = faults(&signed_anew(&folder), &[]);
    assert!(faults.iter().any(|fault| fault.record == Some(12)), "{faults:?}");
}

#[test]
fn readable_files_that_lie_are_named_with_their_line() {
    let folder = World::new(&[40]).export(period(0, 400));
    for (path, from, to, line) in [
        ("records.jsonl", "\"n\":7,", "\"n\":8,", Some(8)),
        ("records.csv", ",7,tunnelUp", ",7,tunnelDown", Some(9)),
        ("report.html", "ended: idle", "ended: expired", None),
    ] {
        let mut folder = folder.clone();
        change(&mut folder, path, from, to);
        let faults = faults(&signed_anew(&folder), &[]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].check, faults[0].file.as_deref()), (Check::Readable, Some(path)));
        if let Some(line) = line {
            assert!(faults[0].to_string().contains(&format!("line {line}")), "{}", faults[0]);
        }
    }
    for path in ["records.jsonl", "records.csv", "report.html"] {
        for longer in [true, false] {
            let mut folder = folder.clone();
            let bytes = folder.get_mut(path).unwrap();
            let length = bytes.len();
            bytes.resize(if longer { length + 2 } else { length - 1 }, b'x');
            let faults = faults(&signed_anew(&folder), &[]);
            assert_eq!((faults.len(), faults[0].check), (1, Check::Readable), "{faults:?}");
        }
    }
}

#[test]
fn a_range_that_hides_its_first_or_last_record_is_found_by_its_neighbours() {
    let world = World::new(&[300]);
    for narrow in [period(30, 1000), period(0, 990)] {
        let mut folder = world.export(narrow);
        let mut lie = about(&folder);
        lie.period = period(20, 1000);
        let mut json = serde_json::to_vec_pretty(&lie).unwrap();
        json.push(b'\n');
        folder.insert("export.json".to_owned(), json);
        let faults = faults(&signed_anew(&folder), &[]);
        assert!(faults.iter().any(|fault| fault.check == Check::Completeness && fault.record.is_some()), "{faults:?}");
    }
}

#[test]
fn another_key_proves_nothing() {
    let folder = World::new(&[4]).export(period(0, 400));
    let verify_by = |key| verify(&folder, Trust { keys: &[key], witnesses: &[], known: &[] }).unwrap_err().to_string();
    let other = verify_by(verifier("sallyport.dev/dmz/frankfurt", 9));
    assert!(other.contains("is not signed by sallyport.dev/dmz/frankfurt"), "{other}");
    // The region's key under another name, with a manifest signed under that name.
    let name = KeyName::new("sallyport.dev/dmz/osaka").unwrap();
    let other = Signer::new(name, key(1));
    let mut note = sallyport_audit::tlog::note::Note::new(
        sallyport_audit::tlog::note::Note::parse(&folder["manifest"]).unwrap().text(),
    )
    .unwrap();
    note.sign(&other);
    let mut folder = folder.clone();
    folder.insert("manifest".to_owned(), note.to_string().into_bytes());
    let keys = [other.verifier_key().clone()];
    let faults = verify(&folder, Trust { keys: &keys, witnesses: &[], known: &[] }).unwrap_err().to_string();
    assert!(faults.contains("not the key of region dmz/frankfurt"), "{faults}");
}

#[test]
fn a_witness_that_did_not_cosign_is_missed() {
    let world = World::new(&[4]);
    let folder = world.export(period(0, 400));
    let keys = [region().verifier_key().clone()];
    let other = sallyport_audit::tlog::cosignature::Cosigner::new(KeyName::new("w.example").unwrap(), key(7));
    let trust = Trust { keys: &keys, witnesses: &[other.verifier_key().clone()], known: &[] };
    let faults = verify(&folder, trust).unwrap_err();
    assert!(faults.faults.iter().all(|fault| fault.check == Check::Checkpoints), "{faults}");
    assert!(faults.to_string().contains("is not signed by w.example"), "{faults}");
}

#[test]
fn what_was_known_before_is_contained_or_named() {
    let world = World::new(&[300, 40]);
    let folder = world.export(period(0, 400));
    let (first, second) = (&world.logs[0], &world.logs[1]);
    let note = |log: &export_support::Log, size| log.checkpoint_of(log.head_at(size)).to_string();
    let known = |text: String| [Known::read("mail.txt", text.as_bytes()).unwrap()];

    // A webhook's JSON, whatever is around the checkpoints.
    let webhook = serde_json::json!({ "site": "x", "logs": [{ "checkpoint": note(first, 1) }, note(first, 256), note(second, 40)] });
    let verified = check(&folder, &known(webhook.to_string())).unwrap();
    assert_eq!(verified.known, 3);

    let one = |known: &[Known], folder: &Folder| {
        let faults = faults(folder, known);
        assert_eq!((faults.len(), faults[0].check), (1, Check::Known), "{faults:?}");
        (faults[0].file.clone().unwrap(), faults[0].to_string())
    };
    // Rolled back: an older copy of the first log, signed by everybody as it was then.
    let mut older = World::new(&[280, 40]);
    older.keys.clone_from(&world.keys);
    let (file, words) = one(&known(note(first, 300)), &older.export(period(0, 400)));
    assert!(
        file == "mail.txt" && words.contains("rolled back") && words.contains(&first.origin.to_string()),
        "{words}"
    );
    // Forked: another record 5.
    let mut forked = world.clone();
    forked.logs[0] = export_support::Log::new(0);
    for (n, entry) in first.entries.iter().enumerate() {
        let other = export_support::record(&first.origin, n as u64, at(10 * n as i64 + i64::from(n == 5)));
        forked.logs[0].push([if n == 5 { sallyport_audit::encode(&other) } else { entry.clone() }]);
    }
    let forked = forked.export(period(0, 400));
    assert!(check(&forked, &[]).is_ok());
    let (_, words) = one(&known(note(first, 256)), &forked);
    assert!(words.contains("forked"), "{words}");
    assert!(check(&forked, &known(note(first, 5))).is_ok(), "up to there they are one");
    // A log that is not in the export at all.
    let mut without = world.clone();
    without.logs.pop();
    let (_, words) = one(&known(note(second, 3)), &without.export(period(0, 400)));
    assert!(words.contains("missing from the export") && words.contains(&second.origin.to_string()), "{words}");
    // Somebody else's word, and a checkpoint of somebody else.
    let foreign = Signer::new(KeyName::new(first.origin.to_string()).unwrap(), key(9));
    let lie = Checkpoint::new(foreign.verifier_key().name(), first.head_at(7)).sign(&foreign).unwrap();
    let (_, words) = one(&known(lie.to_string()), &folder);
    assert!(words.contains("signed by nobody who is trusted"), "{words}");
    let elsewhere = KeyName::new(first.origin.to_string().replace("lyon", "osaka")).unwrap();
    let elsewhere = Checkpoint::new(&elsewhere, first.head()).sign(&region()).unwrap();
    let (_, words) = one(&known(elsewhere.to_string()), &folder);
    assert!(words.contains("nothing can be compared"), "{words}");
    assert!(Known::read("x", b"no checkpoint").is_err());
}

#[test]
fn a_log_of_another_site_does_not_pass() {
    // Two exports of two sites, put together.
    let world = World::new(&[4]);
    let mut folder = world.export(period(0, 400));
    let mut lie = about(&folder);
    lie.scope = "site/site-osaka/hospital".parse().unwrap();
    let mut json = serde_json::to_vec_pretty(&lie).unwrap();
    json.push(b'\n');
    folder.insert("export.json".to_owned(), json);
    let words = check(&signed_anew(&folder), &[]).unwrap_err().to_string();
    assert!(words.contains("the log is none of region dmz/frankfurt and site/site-osaka/hospital"), "{words}");
}

#[test]
fn a_size_that_nobody_can_have_costs_nothing() {
    let world = World::new(&[300]);
    let mut folder = world.export(period(0, 400));
    let mut head = world.logs[0].head();
    for size in [u64::MAX, 1 << 62, 301] {
        head.size = size;
        let mut lie = about(&folder);
        (lie.logs[0].size, lie.logs[0].first, lie.logs[0].records) = (size, 0, size);
        let mut json = serde_json::to_vec_pretty(&lie).unwrap();
        json.push(b'\n');
        folder.insert("export.json".to_owned(), json);
        folder.insert("logs/0/checkpoint".to_owned(), world.logs[0].checkpoint_of(head).to_string().into_bytes());
        let faults = faults(&signed_anew(&folder), &[]);
        assert!(faults.iter().any(|fault| fault.to_string().contains("is missing")), "{faults:?}");
    }
}

#[test]
fn bytes_that_mean_nothing_are_faults() {
    let empty: Folder = BTreeMap::new();
    assert!(check(&empty, &[]).unwrap_err().to_string().contains("manifest: is missing"));
    for bytes in [&b""[..], b"\0", b"\n\n", b"a\n\n\xe2\x80\x94 a AAAAAAA=\n", &[0xff; 100]] {
        let folder = BTreeMap::from([("manifest".to_owned(), bytes.to_vec())]);
        let faults = faults(&folder, &[]);
        assert_eq!(faults[0].file.as_deref(), Some("manifest"), "{faults:?}");
    }
}

#[test]
fn faults_are_json_for_programs() {
    let mut folder = World::new(&[4]).export(period(0, 400));
    folder.remove("records.csv");
    let json = serde_json::to_value(check(&folder, &[]).unwrap_err()).unwrap();
    assert_eq!(json["faults"][0]["check"], "manifest");
    assert_eq!(json["faults"][0]["file"], "records.csv");
    assert_eq!(json["faults"][0]["what"], "is missing");
}

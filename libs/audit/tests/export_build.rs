//! What an export holds: exactly the records of the time, with their neighbours as proof, readable and harmless.

#![allow(clippy::unwrap_used, reason = "a test")]

mod export_support;

use export_support::{World, about, at, built, check, period};
use sallyport_audit::export::{Period, select};
use sallyport_audit::tlog::tree::Tree;
use sallyport_testkit::golden;

fn lines(folder: &export_support::Folder) -> Vec<serde_json::Value> {
    let text = String::from_utf8(folder["records.jsonl"].clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_selection_is_what_a_look_at_every_record_finds() {
    let world = World::new(&[700]);
    let log = &world.logs[0];
    let tree = Tree::new(&log.store, 700);
    // Record n is at second 10 n.
    for from in [-5, 0, 1, 10, 2550, 2551, 2559, 2560, 2561, 5120, 6989, 6990, 6991, 9000] {
        for length in [0, 1, 9, 10, 11, 2560, 10_000] {
            let period = period(from, from + length);
            let of_time = (0..700).filter(|n| period.contains(at(10 * n)));
            let found = select(&tree, period).unwrap();
            assert_eq!(found.end - found.first, of_time.count() as u64, "{from} {length}");
            assert_eq!(found.first, (0..700).filter(|n| at(10 * n) < period.from).count() as u64, "{from} {length}");
            let covered = found.covered();
            assert_eq!(covered.start, found.first.saturating_sub(1));
            assert_eq!(covered.end, (found.end + 1).min(700));
            assert!(found.bundles().all(|tile| tile.leaves().start < covered.end && tile.leaves().end > covered.start));
        }
    }
}

#[test]
fn bundles_that_were_deleted_are_said_and_the_rest_is_proven() {
    let mut world = World::new(&[700]);
    world.logs[0].store.retain(|tile, _| !tile.to_string().starts_with("tile/entries/000"));
    let folder = world.export(period(0, 4000));
    let log = &about(&folder).logs[0];
    assert_eq!((log.first, log.records, log.deleted_before), (256, 144, 256));
    let verified = check(&folder, &[]).unwrap();
    assert_eq!((verified.records, verified.logs[0].deleted_before), (144, 256));
    // A time of which all records are gone.
    let folder = world.export(period(0, 100));
    let verified = check(&folder, &[]).unwrap();
    assert_eq!((verified.records, verified.logs[0].deleted_before), (0, 256));
}

#[test]
fn all_logs_of_the_site_come_in_order_of_time_and_those_without_records_too() {
    let world = World::new(&[300, 5, 0, 40]);
    let (built, folder) = built(&world, period(20, 320));
    let lines = lines(&folder);
    let times: Vec<_> = lines.iter().map(|line| line["at"].as_str().unwrap().to_owned()).collect();
    assert!(times.is_sorted());
    // Records 2 to 31 of the first, 2 to 4 of the second, none, 2 to 31 of the fourth.
    assert_eq!((built.records, lines.len()), (63, 63));
    let records: Vec<_> = about(&folder).logs.iter().map(|log| (log.size, log.first, log.records)).collect();
    assert_eq!(records, [(300, 2, 30), (5, 2, 3), (0, 0, 0), (40, 2, 30)]);
    assert_eq!(built.files, folder.len());
    assert_eq!(built.bytes, folder.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    let verified = check(&folder, &[]).unwrap();
    assert_eq!((verified.records, verified.logs.len(), verified.erased), (63, 4, 0));
    assert_eq!(verified.witnesses[0].seen_at, Some(at(900_000)));
    assert_eq!(verified.collected_until, Some(at(950_000)));
    assert_eq!(verified.files, folder.len() as u64);
    assert_eq!(verified.bytes, built.bytes);
}

#[test]
fn whose_key_is_destroyed_is_erased_everywhere_and_the_export_holds() {
    let mut world = World::new(&[40]);
    world.keys.remove(&export_support::person_key(0).id());
    let folder = world.export(period(0, 400));
    assert!(folder.values().all(|bytes| !bytes.windows(4).any(|four| four == b"anna")));
    let erased = lines(&folder).iter().filter(|line| line["event"]["by"] == "erased").count() as u64;
    assert!(erased > 3);
    assert_eq!(check(&folder, &[]).unwrap().erased, erased);
}

#[test]
fn the_readable_files_are_those_of_version_1() {
    // They are computed again by the verifier: a change here is another version of the format.
    let folder = World::new(&[8, 5]).export(period(10, 60));
    for name in ["records.jsonl", "records.csv", "report.html", "export.json"] {
        let text = String::from_utf8(folder[name].clone()).unwrap();
        golden::check(format!("{}/tests/golden/export-v1/{name}", env!("CARGO_MANIFEST_DIR")), &text);
    }
}

#[test]
fn texts_of_peers_are_no_formulas_and_no_markup() {
    let folder = World::new(&[40]).export(period(0, 400));
    let csv = String::from_utf8(folder["records.csv"].clone()).unwrap();
    assert!(csv.contains(",'=1+1,") && csv.contains("\"tube arcing, \"\"log\"\" check\""), "{csv}");
    let cells = csv.split(['\n', ',']).filter(|cell| cell.starts_with(['=', '+', '-', '@']));
    assert_eq!(cells.collect::<Vec<_>>(), Vec::<&str>::new());
    let html = String::from_utf8(folder["report.html"].clone()).unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script") && !html.contains("<b>0.1.0"));
}

#[test]
fn an_export_without_any_log_holds_and_says_so() {
    let folder = World::new(&[]).export(period(0, 400));
    let verified = check(&folder, &[]).unwrap();
    assert_eq!((verified.records, verified.logs.len(), verified.collected_until), (0, 0, None));
    assert!(String::from_utf8_lossy(&folder["report.html"]).contains("No log of this site was collected"));
}

#[test]
fn an_hour_that_is_turned_around_is_empty() {
    let world = World::new(&[20]);
    let Period { from, to } = period(100, 50);
    let found = select(&Tree::new(&world.logs[0].store, 20), Period { from, to }).unwrap();
    assert_eq!(found.first, found.end);
}

use std::collections::BTreeMap;

use jiff::Timestamp;
use sallyport_audit::Subject;
use sallyport_audit::export::{Trust, verify};
use serde_json::Value;
use wire::query::What as Wire;

use super::*;
use crate::audit::collect::tests::journal::{Journal, at, session};
use crate::audit::tests::{Operator, operator};

/// Records of three logs.
async fn archived() -> (Operator, Journal) {
    let (operator, mut journal) = (operator(), Journal::new());
    journal.fill(60);
    operator.archive(&journal).await;
    (operator, journal)
}

fn query(site: &str, what: Wire) -> wire::Query {
    wire::Query {
        request: 1,
        by: Some(By::Auditor("rita@vendor".into())),
        site: site.into(),
        from_ms: at(0).as_millisecond(),
        to_ms: at(100_000).as_millisecond(),
        what: Some(what),
    }
}

fn records(change: impl FnOnce(&mut wire::Records)) -> Wire {
    let mut records = wire::Records { limit: 1000, ..wire::Records::default() };
    change(&mut records);
    Wire::Records(records)
}

/// The whole answer, or why there is none.
async fn asked(operator: &Operator, query: wire::Query) -> Result<Vec<u8>, wire::QueryRefused> {
    let (outbound, mut messages) = mpsc::channel(2);
    let mut answers = Answers::new(&operator.ctx, &operator.records, &operator.open, outbound);
    answers.begin(query);
    let mut bytes = Vec::new();
    while let Some(message) = messages.recv().await {
        let Some(Tell::Answer(answer)) = message.message else { panic!("no answer") };
        assert!(answer.chunk.len() <= 64 * 1024);
        bytes.extend(answer.chunk);
        if answer.last {
            return answer.refused.map_or(Ok(bytes), Err);
        }
    }
    panic!("the answer has no end")
}

async fn lines(operator: &Operator, query: wire::Query) -> Vec<Value> {
    let bytes = asked(operator, query).await.unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

fn logs_of(lines: &[Value]) -> Vec<String> {
    let mut logs: Vec<_> = lines.iter().map(|line| line["log"].as_str().unwrap().to_owned()).collect();
    logs.sort();
    logs.dedup();
    logs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_reads_its_own_records_in_order_and_persons_in_the_clear() {
    let (operator, journal) = archived().await;
    let lines = lines(&operator, query("lyon/hospital", records(|_| {}))).await;
    assert_eq!(logs_of(&lines), [journal.keeper.origin("site/lyon/hospital".parse().unwrap()).to_string()]);
    let users: Vec<_> = lines.iter().map(|line| &line["event"]["by"]["known"]["user"]).collect();
    assert_eq!(users, ["ben@vendor", "ada@vendor", "ben@vendor", "ada@vendor", "ben@vendor", "ada@vendor"]);
    let times: Vec<Timestamp> = lines.iter().map(|line| line["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_limit_and_cursor() {
    let (operator, _) = archived().await;
    let ada = Subject::of(&"ada@vendor".parse().unwrap()).to_string();
    let of_ada = lines(&operator, query("lyon/hospital", records(|r| r.engineer = ada.clone()))).await;
    assert_eq!(of_ada.len(), 3);
    let device = |name: &str| records(|r| r.device = name.to_owned());
    assert_eq!(lines(&operator, query("lyon/hospital", device("lyon/hospital-device"))).await.len(), 6);
    assert_eq!(lines(&operator, query("lyon/hospital", device("lyon/other"))).await.len(), 0);
    let incident = |name: &str| records(|r| r.incident = name.to_owned());
    assert_eq!(lines(&operator, query("lyon/hospital", incident("INC-7"))).await.len(), 6);
    assert_eq!(lines(&operator, query("lyon/hospital", incident("INC-8"))).await.len(), 0);

    let all = lines(&operator, query("", records(|_| {}))).await;
    let mut read: Vec<Value> = Vec::new();
    loop {
        let after = read.last().map(|line| format!("{}#{}", line["log"].as_str().unwrap(), line["n"]));
        let page = records(|r| {
            r.limit = 7;
            r.after = after.unwrap_or_default();
        });
        let page = lines(&operator, query("", page)).await;
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_reads_no_other_sites_folder() {
    let (operator, _) = archived().await;
    for site in [
        "lyon/../paris/clinic",
        "lyon/hospital/../../paris/clinic",
        "../region",
        "region",
        "lyon/",
        "/",
        "lyon/hospital\0",
        "LYON/hospital",
    ] {
        for what in [records(|_| {}), Wire::Export(wire::Export {})] {
            let refused = asked(&operator, query(site, what)).await.unwrap_err();
            assert_eq!(refused.code, "badRequest", "{site}");
        }
    }
    let refused = asked(&operator, query("rome/clinic", records(|_| {}))).await.unwrap_err();
    assert_eq!(refused.code, "unknownSite");
    // The cursor names a log too.
    let paris = lines(&operator, query("paris/clinic", records(|_| {}))).await;
    let cursor = format!("{}#0", paris[0]["log"].as_str().unwrap());
    let refused = asked(&operator, query("lyon/hospital", records(|r| r.after = cursor))).await.unwrap_err();
    assert_eq!(refused.code, "badRequest");
    // What an endpoint may read is its own site's, whatever a gateway lets it ask.
    operator.ctx.world.endpoints.put(
        serde_json::from_value(serde_json::json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "TunnelEndpoint",
            "metadata": { "name": "agent", "namespace": "lyon" },
            "spec": { "siteRef": { "name": "hospital" }, "webSocket": { "route": "direct" } },
        }))
        .unwrap(),
    );
    let by = |endpoint: &str, site: &str| wire::Query {
        by: Some(By::Endpoint(endpoint.into())),
        ..query(site, records(|_| {}))
    };
    assert_eq!(lines(&operator, by("lyon/agent", "lyon/hospital")).await.len(), 6);
    for (endpoint, site) in [
        ("lyon/agent", ""),
        ("lyon/agent", "paris/clinic"),
        ("lyon/other", "lyon/hospital"),
        ("agent", "lyon/hospital"),
    ] {
        assert_eq!(asked(&operator, by(endpoint, site)).await.unwrap_err().code, "badRequest", "{endpoint} {site}");
    }
}

/// Files of a tar.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        files.insert(path, content);
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_a_tar_of_one_sites_folder_signed_by_the_region() {
    let (operator, _) = archived().await;
    let tar = asked(&operator, query("lyon/hospital", Wire::Export(wire::Export {}))).await.unwrap();
    assert_eq!(tar.len() % 512, 0);
    let files = files(&tar);
    for name in [
        "manifest",
        "export.json",
        "records.jsonl",
        "records.csv",
        "report.html",
        "logs/0/checkpoint",
        "logs/0/keys.json",
    ] {
        assert!(files.contains_key(name), "{name} in {:?}", files.keys());
    }
    let keys = [operator.open.signer.verifier_key().clone()];
    let trust = Trust { keys: &keys, witnesses: &[], known: &[] };
    assert_eq!(verify(&files, trust).unwrap().logs.len(), 1);
    for (name, content) in &files {
        let mut changed = files.clone();
        let mut content = content.clone();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        changed.insert(name.clone(), content);
        assert!(verify(&changed, trust).is_err(), "{name}");
    }
    let everything: Vec<u8> = files.values().flatten().copied().collect();
    let everything = String::from_utf8_lossy(&everything);
    assert!(everything.contains("lyon/hospital") && !everything.contains("paris/clinic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_proves_itself_over_several_incarnations_and_after_deletion_and_erasure() {
    let (operator, mut first) = (operator(), Journal::new());
    for n in 0..600 {
        first.append(session("lyon/hospital", if n % 2 == 0 { "ada@vendor" } else { "ben@vendor" }), n);
    }
    operator.archive(&first).await;
    let mut second = Journal::new();
    for n in 600..640 {
        second.append(session("lyon/hospital", "ada@vendor"), n);
    }
    operator.archive(&second).await;
    // The oldest bundle is deleted, and a person's keys are.
    let origin = first.keeper.origin("site/lyon/hospital".parse().unwrap());
    let bundle = sallyport_audit::tlog::tile::grown(0, 600).next().unwrap();
    operator.open.archive.records.delete(&crate::audit::archive::layout::tile(&origin, bundle)).await.unwrap();
    let ada = Subject::of(&"ada@vendor".parse().unwrap());
    let person = crate::audit::archive::layout::person(&operator.records.id, ada);
    operator.open.archive.keys.delete(&person).await.unwrap();

    let tar = asked(&operator, query("lyon/hospital", Wire::Export(wire::Export {}))).await.unwrap();
    let files = files(&tar);
    let keys = [operator.open.signer.verifier_key().clone()];
    let verified = verify(&files, Trust { keys: &keys, witnesses: &[], known: &[] }).unwrap();
    assert_eq!(verified.logs.len(), 2);
    let lines = String::from_utf8(files["records.jsonl"].clone()).unwrap();
    assert_eq!(lines.lines().count(), 600 - 256 + 40);
    assert!(lines.contains("ben@vendor") && !lines.contains("ada@vendor"));
}

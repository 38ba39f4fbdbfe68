//! `make bench-revocation`: from the change of an object to the last byte at the engineer's end, many times, while a fleet
//! of agents and other engineers are at work.
//!
//! Each trial opens a session with the real CLI, lets bytes flow, changes the object (suspends the device or its site, or
//! revokes the agent's certificate) and notes when the last byte came. The clock starts before the request is sent.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a program for the terminal; a panic is its report"
)]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sallyport_e2e::api_server::Changes;
use sallyport_e2e::cut::Stream;
use sallyport_e2e::fleet::Fleet;
use sallyport_e2e::region::SITES;
use sallyport_e2e::traffic::{Conversation, Newcomers};
use sallyport_e2e::wait::eventually;
use sallyport_e2e::{Engineer, Region};
use serde_json::json;

/// How the access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Device,
    Site,
    Certificate,
}

impl Way {
    fn words(self) -> &'static str {
        match self {
            Self::Device => "Device suspended",
            Self::Site => "CustomerSite suspended",
            Self::Certificate => "TunnelCertificate revoked",
        }
    }
}

struct Trial {
    way: Way,
    milliseconds: f64,
}

/// Trials at once; each has devices of its own.
const WORKERS: usize = 4;
/// Sessions that go on meanwhile, on devices that nobody suspends.
const LOAD: usize = 6;

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

fn main() {
    let (size, trials, sites) = (number("AGENTS", 60), number("TRIALS", 1000), number("SITES", 100));
    let region = Arc::new(Region::ready());
    let echo = std::env::current_exe().expect("a path").with_file_name("echo_device");
    let fleet = Fleet::connected(&region, size, echo.to_str().expect("a path"));
    eprintln!("{size} agents are connected");
    let quiet: Vec<_> = (0..LOAD + 6).map(|n| fleet.device(n)).collect();
    let bob = region.engineer("bob@vendor.example", &["ct-service"]);
    let load: Vec<_> = quiet.iter().take(LOAD).map(|device| Conversation::begin(&bob, device)).collect();
    let newcomers = Newcomers::begin(region.clone(), bob, quiet[LOAD..].to_vec());

    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let results = Mutex::new(Vec::new());
    let began = Instant::now();
    let subjects: Vec<_> = (quiet.len()..size).collect();
    for (way, trials) in [(Way::Device, trials), (Way::Site, sites), (Way::Certificate, subjects.len())] {
        run(way, trials, &ada, &subjects, &results);
        eprintln!("{trials} x {} after {:?}", way.words(), began.elapsed());
    }
    let broken: Vec<_> = load.into_iter().filter_map(|conversation| conversation.end().broken).collect();
    let (opened, failed) = newcomers.end();
    let results = results.into_inner().expect("no holder panics");
    println!("way,milliseconds");
    for trial in &results {
        println!("{},{:.1}", trial.way.words(), trial.milliseconds);
    }
    eprintln!("{}", table(&results));
    eprintln!(
        "load: {LOAD} sessions with traffic all the time ({} broke), {opened} others opened and closed ({} failed), {WORKERS} trials at once",
        broken.len(),
        failed.len()
    );
    assert!(broken.is_empty() && failed.is_empty(), "others were disturbed: {broken:?} {failed:?}");
    let worst = results.iter().map(|trial| trial.milliseconds).fold(0.0, f64::max);
    assert!(worst <= 1000.0, "the last byte came {worst} ms after the change");
}

/// That many trials, shared by the workers.
fn run(way: Way, trials: usize, engineer: &Engineer, subjects: &[usize], results: &Mutex<Vec<Trial>>) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let next = &next;
            let mine: Vec<_> = subjects.iter().copied().skip(worker).step_by(WORKERS).collect();
            scope.spawn(move || {
                let mut changes = Changes::begin();
                let subjects: Box<dyn Iterator<Item = usize>> = match way {
                    // A revocation is final, so each endpoint has one.
                    Way::Certificate => Box::new(mine.into_iter()),
                    Way::Device | Way::Site => Box::new(mine.into_iter().cycle()),
                };
                for subject in subjects {
                    if way != Way::Certificate && next.fetch_add(1, Ordering::Relaxed) >= trials {
                        return;
                    }
                    let milliseconds = trial(way, &format!("fleet-{subject}"), engineer, &mut changes);
                    results.lock().expect("no holder panics").push(Trial { way, milliseconds });
                }
            });
        }
    });
}

fn trial(way: Way, name: &str, engineer: &Engineer, changes: &mut Changes) -> f64 {
    // After the last trial the device is coming back.
    let device = format!("{SITES}/{name}");
    let (stream, _) =
        eventually(Duration::from_secs(60), &format!("a session on {device}"), || Stream::begin(engineer, &device));
    let plural = match way {
        Way::Device => "devices",
        Way::Site => "customersites",
        Way::Certificate => "tunnelcertificates",
    };
    let withdrawn = match way {
        Way::Device | Way::Site => json!({"spec": {"suspended": true}}),
        Way::Certificate => json!({"spec": {"revoked": {"reason": "privilegeWithdrawn"}}}),
    };
    let changed = Instant::now();
    changes.patch(SITES, plural, name, &withdrawn);
    let (last, code, words) = stream.cut().unwrap_or_else(|why| panic!("{device}: {why}"));
    assert_eq!(code, Some(6), "{device}: {words}");
    if way != Way::Certificate {
        changes.patch(SITES, plural, name, &json!({"spec": {"suspended": false}}));
    }
    last.saturating_duration_since(changed).as_secs_f64() * 1000.0
}

fn table(results: &[Trial]) -> String {
    let mut text = "| access withdrawn by | trials | p50 ms | p99 ms | p100 ms |\n|---|---|---|---|---|\n".to_owned();
    let mut row = |words: &str, mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all[((all.len() as f64 * share).ceil() as usize).clamp(1, all.len()) - 1];
        let _ = writeln!(text, "| {words} | {} | {:.0} | {:.0} | {:.0} |", all.len(), at(0.5), at(0.99), at(1.0));
    };
    for way in [Way::Device, Way::Site, Way::Certificate] {
        let of_way: Vec<_> = results.iter().filter(|t| t.way == way).map(|t| t.milliseconds).collect();
        if !of_way.is_empty() {
            row(way.words(), of_way);
        }
    }
    row("all", results.iter().map(|trial| trial.milliseconds).collect());
    text
}

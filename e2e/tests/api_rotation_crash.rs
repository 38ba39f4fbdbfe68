//! An operator that is killed at any write of a rotation: before the API server has seen it, or after it was committed and
//! before the operator learns so. Started again, it ends where an undisturbed one does.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use sallyport_e2e::authority::{Objects, rotate};
use sallyport_e2e::fault_proxy::{Fault, FaultProxy, Moment};
use sallyport_e2e::kubectl::wait_condition;
use sallyport_e2e::operators::{Gone, Local, back, token};
use sallyport_e2e::wait::holds;
use sallyport_e2e::{apply, delete, eventually, kubectl, output};
use serde_json::Value;
use tempfile::TempDir;

/// Each has a namespace, a gateway and an operator of its own; the chart serves as many.
const ARENAS: usize = 3;
const NAME: &str = "crash";
const SITES: [&str; 2] = ["one", "two"];
/// A rotation takes seconds; a killed operator's, a few more.
const SOON: Duration = Duration::from_secs(90);
/// No certificate is issued whose predecessors would not fit into status, so they are made anew now and then.
const FRESH_AFTER: usize = 12;

/// A region with a real gateway, an authority and two endpoints, and an operator behind a proxy.
struct Arena {
    namespace: String,
    proxy: FaultProxy,
    kubeconfig: PathBuf,
    folder: TempDir,
    operator: Option<Local>,
    rotations: usize,
}

impl Arena {
    fn ready(number: usize) -> Self {
        let namespace = format!("e2e-crash-{number}");
        clean(&namespace);
        let folder = tempfile::tempdir().unwrap();
        let proxy = FaultProxy::start();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, proxy.kubeconfig(&token())).unwrap();
        let authorities = sallyport_testkit::EngineersCa::new().bundle().to_pem();
        let authorities: String = authorities.lines().map(|line| format!("    {line}\n")).collect();
        apply(
            &include_str!("../manifests/crash.yaml")
                .replace("NAMESPACE", &namespace)
                .replace("AUTHORITIES", &authorities),
        );
        let mut arena = Self { namespace, proxy, kubeconfig, folder, operator: None, rotations: 0 };
        arena.start();
        for site in SITES {
            apply(&site_yaml(&arena.namespace, site));
        }
        let region = (arena.namespace.as_str(), "dmz", NAME);
        wait_condition(region, "Ready", "True", Duration::from_secs(180));
        arena.wait_certificates();
        arena
    }

    fn start(&mut self) {
        self.operator = None;
        self.operator = Some(Local::start(&self.kubeconfig, &self.namespace, &self.folder.path().join("operator.log")));
    }

    fn wait_certificates(&self) {
        for site in SITES {
            wait_condition((&self.namespace, "tcert", site), "Ready", "True", SOON);
        }
    }

    /// One rotation, with the operator killed as told and started again.
    fn rotation(&mut self, kill: Option<(usize, Moment)>, wanted: Option<&Value>) -> Rotated {
        if self.rotations > 0 && self.rotations.is_multiple_of(FRESH_AFTER) {
            for site in SITES {
                delete(&self.namespace, "tcert", site);
                apply(&site_yaml(&self.namespace, site));
            }
            self.wait_certificates();
        }
        self.rotations += 1;
        let before = Objects::of(&self.namespace).issuing(NAME).expect("a generation signs");
        let victim = self.operator.as_ref().expect("an operator").pid();
        self.proxy.arm(kill.map(|(at, moment)| Fault { at, moment, victim }));
        rotate(&self.namespace, NAME, &format!("r{}", self.rotations));
        let (last, mut killed) = self.ends(before, kill, wanted);
        let writes = self.proxy.writes().len();
        // A fault that did not happen must not happen later; one that happens at the very end still counts.
        if self.proxy.arm(None) && !killed {
            eventually(SOON, "the killed operator ends", || {
                holds(self.operator.as_mut().expect("one").ended(), "alive")
            });
            self.revive();
            killed = true;
            return Rotated { last: self.ends(before, kill, wanted).0, killed, writes };
        }
        Rotated { last, killed, writes }
    }

    /// Waits for the end of a rotation, starting the operator again if it is killed. Gives what it came to, and whether.
    fn ends(&mut self, before: u64, kill: Option<(usize, Moment)>, wanted: Option<&Value>) -> (Value, bool) {
        let mut killed = false;
        let what = format!("the rotation of {} ends, killed at {kill:?}", self.namespace);
        let (last, _) = eventually(SOON, &what, || {
            if self.operator.as_mut().expect("an operator").ended() {
                assert!(self.proxy.arm(None), "the operator ended by itself: {}", self.log());
                self.revive();
                killed = true;
            }
            let now = Objects::of(&self.namespace).rotation(NAME, NAME, before);
            let reached = match wanted {
                Some(wanted) => now == *wanted,
                None => is_over(&now),
            };
            holds(reached, difference(&now, wanted)).map(|()| now)
        });
        (last, killed)
    }

    /// Starts the operator that was killed. It is dead, so its lease need not run out: 15 s for each of some fifty kills.
    fn revive(&mut self) {
        delete(&self.namespace, "lease", "local");
        self.start();
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("operator.log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(25).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// What a rotation came to.
struct Rotated {
    last: Value,
    killed: bool,
    /// Counted writes since the operator that ended it began.
    writes: usize,
}

impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("the operator of {} logged:\n{}", self.namespace, self.log()));
        }
        self.proxy.arm(None);
        clean(&self.namespace);
    }
}

/// What a rotation without any disturbance comes to, in words that do not depend on what this operator does.
fn is_over(now: &Value) -> bool {
    now["stages"] == serde_json::json!([[0, "Removed"], [1, "Issuing"]])
        && now["rotation"].is_null()
        // With the note of what the key was made for.
        && now["keys"] == serde_json::json!(["generation-1.crt", "generation-1.key", "generation-1.made"])
        && now["bundle"] == serde_json::json!([1])
        && now["region's bundle is the same"] == true
        && now["revocation lists"] == 1
        && now["bootstrap"] == 1
        && now["certificates"].as_array().is_some_and(|all| {
            let fine = |c: &Value| c["ready"] == true && c["issuer"] == 1 && c["delivered is recorded"] == true;
            all.len() == SITES.len() && all.iter().all(fine)
        })
        && now["gateways"].as_array().is_some_and(|all| {
            let fine =
                |g: &Value| g["certificates"].as_array().is_some_and(|c| c.len() == 3 && c.iter().all(|c| c[1] == 1));
            all.len() == 1 && all.iter().all(fine)
        })
}

/// Only what differs, or everything when there is nothing to compare with.
fn difference(now: &Value, wanted: Option<&Value>) -> String {
    let Some(wanted) = wanted.and_then(Value::as_object) else { return now.to_string() };
    let differs = wanted.iter().filter(|(key, value)| now[key.as_str()] != **value);
    differs.map(|(key, value)| format!("{key}: {} instead of {value}\n", now[key.as_str()])).collect()
}

fn site_yaml(namespace: &str, site: &str) -> String {
    include_str!("../manifests/crash_site.yaml").replace("NAMESPACE", namespace).replace("NAME", site)
}

/// Without an operator nobody takes finalizers away, and nothing is left to be cut.
fn clean(namespace: &str) {
    let all = ["--namespace", namespace, "get", "sallyport", "--output", "name"];
    for object in kubectl(&all).lines() {
        kubectl(&[
            "--namespace",
            namespace,
            "patch",
            object,
            "--type=merge",
            "--patch",
            r#"{"metadata":{"finalizers":null}}"#,
        ]);
    }
    for kinds in ["sallyport", "statefulset,service,secret,configmap,serviceaccount,pdb,networkpolicy,pvc,lease"] {
        let delete = ["--namespace", namespace, "delete", kinds, "--all", "--ignore-not-found", "--timeout=60s"];
        output(Command::new("kubectl").args(delete));
    }
}

#[test]
fn an_operator_killed_at_any_write_of_a_rotation_ends_where_an_undisturbed_one_does() {
    let gone = Gone::now();
    let began = Instant::now();
    let reports = std::thread::scope(|scope| {
        let arenas: Vec<_> = (0..ARENAS).map(|number| scope.spawn(move || every_write(number))).collect();
        arenas.into_iter().map(|arena| arena.join().expect("an arena's assertions hold")).collect::<Vec<_>>()
    });
    let killed: BTreeMap<_, _> = reports.iter().flat_map(|report| report.killed.clone()).collect();
    for ((at, moment), write) in &killed {
        say(&format!("killed at write {at:2} {moment:12} {write}"));
    }
    let writes = reports.iter().map(|report| report.undisturbed).min().unwrap_or_default();
    say(&format!("{} kills in {:?}; an undisturbed rotation writes {writes} times", killed.len(), began.elapsed()));
    assert!(writes >= 8, "a rotation writes more often than {writes} times");
    // Statuses that come together are written once, so one rotation has a write or two less than another.
    for at in 0..writes - COALESCED {
        for moment in ["BeforeCommit", "AfterCommit"] {
            assert!(killed.contains_key(&(at, moment.to_owned())), "nobody was killed at write {at}, {moment}");
        }
    }
    drop(gone);
    back();
}

/// By so many writes one undisturbed rotation may differ from another.
const COALESCED: usize = 3;

struct Report {
    /// Writes of a rotation that nobody disturbs.
    undisturbed: usize,
    /// The write at which the operator was killed, by its number and the moment.
    killed: BTreeMap<(usize, String), String>,
}

/// Every `ARENAS`-th write, from `number` on, until a rotation has no such write.
fn every_write(number: usize) -> Report {
    let mut arena = Arena::ready(number);
    let Rotated { last: wanted, writes: undisturbed, .. } = arena.rotation(None, None);
    let mut killed = BTreeMap::new();
    for moment in [Moment::BeforeCommit, Moment::AfterCommit] {
        for at in (number..).step_by(ARENAS) {
            let write = arena.killed_at(at, moment, &wanted);
            match write {
                Some(write) => killed.insert((at, format!("{moment:?}")), write),
                // Beyond the last write, which differs by one or two from run to run.
                None if at >= undisturbed => break,
                None => continue,
            };
        }
    }
    Report { undisturbed, killed }
}

impl Arena {
    /// Kills at this write; gives the write, or nothing if the rotation ended before it.
    fn killed_at(&mut self, at: usize, moment: Moment, wanted: &Value) -> Option<String> {
        let namespace = self.namespace.clone();
        // Two attempts: a rotation may end one write earlier than the one before.
        for _ in 0..2 {
            if self.rotation(Some((at, moment)), Some(wanted)).killed {
                return Some(self.proxy.killed_at().unwrap_or(namespace));
            }
        }
        None
    }
}

#[allow(clippy::print_stderr, reason = "the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}

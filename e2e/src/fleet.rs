//! Many agents at once: real processes, each with an endpoint and a device of its own, enrolled with a token of its own.
//! They share one network namespace and one echoing device behind it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::kubectl::{apply, get, kubectl};
use crate::region::{OUTER, Region, SITES};
use crate::run::{built, run, tree};
use crate::site::write_private;
use crate::wait::{eventually, holds};

/// Name of the site in `netns.sh`, and the beginning of every object's name.
const NAME: &str = "fleet";
/// Port of the device.
const PORT: u16 = 7007;
/// Enrolments at once, and objects are counted in so many at a time.
const AT_ONCE: &str = "8";

/// The agents. Dropping it removes them and their objects.
pub struct Fleet {
    /// How many.
    pub size: usize,
    folder: TempDir,
    agents: Vec<Child>,
    device: Option<Child>,
}

impl Fleet {
    /// Makes the objects, enrols every agent with its token, starts them and waits until each has two tunnels. `echo` is
    /// the program of the device.
    pub fn connected(region: &Region, size: usize, echo: &str) -> Self {
        assert!((1..=250).contains(&size), "each agent has a loopback address of its own");
        remove();
        let folder = tempfile::tempdir().expect("a folder");
        run(Command::new(tree().join("e2e/lab/netns.sh")).args(["up", NAME, OUTER]).stdout(Stdio::null()));
        let mut fleet = Self { size, folder, agents: Vec::new(), device: None };
        fleet.device = Some(fleet.inside(
            "device",
            Command::new(echo).arg(format!("10.77.0.10:{PORT}")),
            &fleet.folder.path().join("device.log"),
        ));
        let tokens: Vec<_> = (0..size).map(|_| token()).collect();
        apply(&objects(&tokens));
        fleet.wait(Duration::from_secs(120), "are known", |endpoint| ready(endpoint, "Ready"));
        for (number, token) in tokens.iter().enumerate() {
            fleet.write_files(region, number, token);
        }
        fleet.enrol();
        fleet.agents = (0..size).map(|number| fleet.agent(number)).collect();
        fleet.wait(Duration::from_secs(120), "have two tunnels", |endpoint| {
            endpoint["status"]["tunnels"].as_array().is_some_and(|tunnels| tunnels.len() == 2)
        });
        fleet
    }

    /// The device of an agent.
    pub fn device(&self, number: usize) -> String {
        format!("{SITES}/{}", name(number))
    }

    /// Waits until something holds for every endpoint.
    pub fn wait(&self, deadline: Duration, what: &str, holds_for: impl Fn(&Value) -> bool) -> Duration {
        let (_, took) = eventually(deadline, &format!("all {} agents {what}", self.size), || {
            let endpoints = endpoints();
            let good = endpoints.iter().filter(|endpoint| holds_for(endpoint)).count();
            let bad = endpoints.iter().find(|endpoint| !holds_for(endpoint));
            holds(good == self.size, format!("{good}; not {}", bad.map_or(Value::Null, |e| e["status"].clone())))
        });
        took
    }

    /// A counter of all agents together, by its labels as they are printed.
    pub fn counters(&self, metric: &str) -> BTreeMap<String, f64> {
        let url = format!("http://127.0.1.[1-{}]:9464/metrics", self.size);
        let text = run(Command::new(tree().join("e2e/lab/netns.sh")).args(["exec", NAME, "agent"]).args([
            "curl",
            "--silent",
            "--fail",
            "--max-time",
            "10",
            &url,
        ]));
        sums(&text, metric)
    }

    /// The end of an agent's log.
    pub fn log(&self, number: usize) -> String {
        let log = fs::read_to_string(self.file(number, "agent.log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(15).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn write_files(&self, region: &Region, number: usize, token: &str) {
        let folder = self.folder.path().join(name(number));
        fs::create_dir(&folder).expect("a folder");
        let here = folder.display();
        let config = format!(
            "gateway: {{ host: {OUTER}, port: {} }}\ncertificate: {here}/tls.crt\nkey: {here}/tls.key\ntrust: {here}/ca.crt\n\
             stateDirectory: {here}\nadmin: 127.0.1.{}:9464\nlog: {{ format: text, level: info }}\n",
            region.outer,
            number + 1
        );
        fs::write(folder.join("agent.yaml"), config).expect("a file");
        fs::write(folder.join("anchor.crt"), region.trust()).expect("a file");
        write_private(&folder.join("token"), token.as_bytes());
    }

    fn enrol(&self) {
        let script = format!(
            "seq 0 {} | xargs -P {AT_ONCE} -I % {} enrol --config {here}/{NAME}-%/agent.yaml --endpoint {SITES}/{NAME}-% \
             --trust {here}/{NAME}-%/anchor.crt --token-file {here}/{NAME}-%/token",
            self.size - 1,
            built("sallyport-agent").display(),
            here = self.folder.path().display(),
        );
        run(Command::new(tree().join("e2e/lab/netns.sh")).args(["exec", NAME, "agent", "bash", "-c", &script]));
    }

    fn agent(&self, number: usize) -> Child {
        let mut command = Command::new(built("sallyport-agent"));
        command.args(["run", "--config"]).arg(self.file(number, "agent.yaml"));
        self.inside("agent", &command, &self.file(number, "agent.log"))
    }

    /// Starts a program in one of the namespaces.
    fn inside(&self, which: &str, command: &Command, log: &Path) -> Child {
        let log = fs::File::create(log).expect("a log");
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &format!("{NAME}-{which}")]).arg(command.get_program()).args(command.get_args());
        inside.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("ip")
    }

    fn file(&self, number: usize, file: &str) -> PathBuf {
        self.folder.path().join(name(number)).join(file)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report(&format!("agent 0 of the fleet logged:\n{}", self.log(0)));
        }
        for child in self.agents.iter_mut().chain(&mut self.device) {
            let _ = child.kill();
            let _ = child.wait();
        }
        remove();
    }
}

fn name(number: usize) -> String {
    format!("{NAME}-{number}")
}

/// As `sallyportctl enrol token` makes them, but many.
fn token() -> String {
    let mut bytes = [0; 20];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).expect("randomness");
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn objects(tokens: &[String]) -> String {
    let ends = Timestamp::now() + SignedDuration::from_hours(1);
    let ends = ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let of = |(number, token): (usize, &String)| {
        let hash = hex(&Sha256::digest(token.as_bytes()));
        include_str!("../manifests/fleet.yaml")
            .replace("NAME", &name(number))
            .replace("PORT", &PORT.to_string())
            .replace("HASH", &hash)
            .replace("ENDS", &ends)
    };
    tokens.iter().enumerate().map(of).collect()
}

fn endpoints() -> Vec<Value> {
    let all = kubectl(&["--namespace", SITES, "get", "tep", "--selector", "fleet=1", "--output", "json"]);
    let all: Value = serde_json::from_str(&all).expect("JSON");
    all["items"].as_array().cloned().unwrap_or_default()
}

fn ready(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == condition && c["status"] == "True")
}

/// What is left of an earlier run goes too.
fn remove() {
    let _ = Command::new(tree().join("e2e/lab/netns.sh")).args(["down", NAME]).output();
    for kind in ["mdev", "tcert", "tep", "csite"] {
        kubectl(&[
            "--namespace",
            SITES,
            "delete",
            kind,
            "--selector",
            "fleet=1",
            "--ignore-not-found",
            "--timeout=120s",
        ]);
    }
}

/// Sums a metric over everything that was printed, by labels.
pub fn sums(text: &str, metric: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(metric) else { continue };
        let Some((labels, value)) = rest.rsplit_once(' ') else { continue };
        if labels.is_empty() || labels.starts_with('{') {
            *sums.entry(labels.to_owned()).or_insert(0.0) += value.parse::<f64>().expect("a number");
        }
    }
    sums
}

/// A metric of a gateway, by labels.
pub fn gateway_counters(namespace: &str, pod: &str, metric: &str) -> BTreeMap<String, f64> {
    let address = get(namespace, "pod", pod)["status"]["podIP"].as_str().expect("an address").to_owned();
    let url = format!("http://{address}:9464/metrics");
    sums(&run(Command::new("curl").args(["--silent", "--fail", "--max-time", "10", &url])), metric)
}

#[allow(clippy::print_stderr, reason = "a failing test's report")]
fn report(text: &str) {
    eprintln!("{text}");
}

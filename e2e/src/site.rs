//! A hospital site outside the cluster: network namespaces with a real sshd and nginx, and a real agent.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::kubectl::{apply, delete, get, wait_condition};
use crate::region::{OUTER, Region, SITES};
use crate::run::{built, output, run, text, tree};
use crate::wait::{eventually, holds};

/// How the agent comes to its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// From a Secret, as files.
    Delivered,
    /// Nobody has asked for one yet.
    ToBeEnrolled,
}

/// A site with its objects, its network namespaces and its agent. Dropping it removes them.
pub struct Site {
    /// Its name, and that of its endpoint.
    pub name: String,
    /// What `netns.sh show` says.
    pub facts: BTreeMap<String, String>,
    folder: TempDir,
    agent: Option<Child>,
}

impl Site {
    /// Makes it, and waits until its tunnels are up on both gateways.
    pub fn connected(region: &Region, name: &str) -> Self {
        let mut site = Self::made(region, name);
        site.start_agent();
        site.wait_gateways(2);
        site
    }

    /// Makes it without starting the agent.
    pub fn made(region: &Region, name: &str) -> Self {
        Self::with(region, name, Certificate::Delivered)
    }

    /// Makes it with a certificate that comes one way or the other, without starting the agent.
    pub fn with(region: &Region, name: &str, certificate: Certificate) -> Self {
        remove(name);
        let yaml = include_str!("../manifests/site.yaml").replace("NAME", name);
        match certificate {
            Certificate::Delivered => {
                apply(&yaml);
                wait_condition((SITES, "tcert", name), "Ready", "True", Duration::from_secs(30));
            }
            Certificate::ToBeEnrolled => {
                let yaml: Vec<_> = yaml.lines().filter(|line| !line.contains("secretName")).collect();
                apply(&yaml.join("\n"));
                wait_condition((SITES, "tep", name), "Ready", "True", Duration::from_secs(30));
            }
        }
        netns(&["up", name, OUTER]);
        let facts = netns(&["show", name]);
        let facts = facts.lines().filter_map(|line| line.split_once('='));
        let facts = facts.map(|(key, value)| (key.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect();
        let site = Self { name: name.to_owned(), facts, folder: tempfile::tempdir().expect("a folder"), agent: None };
        if certificate == Certificate::Delivered {
            site.write_certificate();
        }
        site.write_configuration(region);
        site
    }

    /// Starts the agent in the site's namespace.
    pub fn start_agent(&mut self) {
        let log = fs::File::create(self.path("agent.log")).expect("a log");
        let child = Command::new(tree().join("e2e/lab/netns.sh"))
            .args(["exec", &self.name, "agent"])
            .arg(built("sallyport-agent"))
            .args(["run", "--config"])
            .arg(self.path("agent.yaml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the agent");
        self.agent = Some(child);
    }

    /// Kills the agent without a word of farewell.
    pub fn kill_agent(&mut self) {
        let config = self.path("agent.yaml");
        run(Command::new("pkill").args([
            "-KILL",
            "--full",
            &format!("sallyport-agent run --config {}", config.display()),
        ]));
        if let Some(mut agent) = self.agent.take() {
            agent.wait().expect("it ended");
        }
    }

    /// Waits until the endpoint's status names that many gateways.
    pub fn wait_gateways(&self, number: usize) -> (Vec<String>, Duration) {
        eventually(Duration::from_secs(60), &format!("{} has tunnels to {number} gateways", self.name), || {
            let gateways = self.gateways();
            holds(gateways.len() == number, format!("{gateways:?}\n{}", self.log())).map(|()| gateways)
        })
    }

    /// Gateways that hold a tunnel, by the endpoint's status.
    pub fn gateways(&self) -> Vec<String> {
        let endpoint = get(SITES, "tep", &self.name);
        let tunnels = endpoint["status"]["tunnels"].as_array().cloned().unwrap_or_default();
        tunnels.iter().filter_map(|tunnel| tunnel["gateway"].as_str().map(str::to_owned)).collect()
    }

    /// The scanner's name.
    pub fn scanner(&self) -> String {
        format!("{SITES}/{}-ct", self.name)
    }

    /// Runs a program in one of its namespaces (`agent` or `device`).
    pub fn exec(&self, which: &str, command: &[&str]) -> String {
        run(Command::new(tree().join("e2e/lab/netns.sh")).args(["exec", &self.name, which]).args(command))
    }

    /// A fact of `netns.sh show`.
    pub fn fact(&self, name: &str) -> &str {
        &self.facts[name]
    }

    /// What the agent logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.path("agent.log")).unwrap_or_default();
        let text = text(&log);
        let tail = text.lines().rev().take(30).collect::<Vec<_>>();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A file of the site's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_certificate(&self) {
        let secret = get(SITES, "secret", &format!("{}-tunnel", self.name));
        for (key, file) in [("tls.crt", "tls.crt"), ("tls.key", "tls.key"), ("ca.crt", "ca.crt")] {
            write_private(&self.path(file), &decoded(&secret, key));
        }
    }

    fn write_configuration(&self, region: &Region) {
        let here = self.folder.path().display();
        let allow = "allow:\n- { host: 10.77.0.10, ports: [22, 443, 81] }\n";
        fs::write(self.path("allow.yaml"), allow).expect("a file");
        let config = format!(
            "gateway: {{ host: {OUTER}, port: {} }}\ncertificate: {here}/tls.crt\nkey: {here}/tls.key\ntrust: {here}/ca.crt\n\
             stateDirectory: {here}\nallow: {here}/allow.yaml\nlog: {{ format: text, level: info }}\n",
            region.outer
        );
        fs::write(self.path("agent.yaml"), config).expect("a file");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln(&format!("the agent of {} logged:\n{}", self.name, self.log()));
        }
        remove(&self.name);
        if let Some(agent) = &mut self.agent {
            // The namespace's removal ended it; this only reaps.
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

#[allow(clippy::print_stderr, reason = "a failing test's report")]
fn eprintln(text: &str) {
    eprintln!("{text}");
}

/// What is left of an earlier run goes first.
fn remove(name: &str) {
    output(Command::new(tree().join("e2e/lab/netns.sh")).args(["down", name]));
    for (kind, object) in [("mdev", format!("{name}-ct")), ("mdev", format!("{name}-mr"))] {
        delete(SITES, kind, &object);
    }
    for kind in ["tcert", "tep", "csite"] {
        delete(SITES, kind, name);
    }
    delete(SITES, "secret", &format!("{name}-tunnel"));
}

fn netns(args: &[&str]) -> String {
    run(Command::new(tree().join("e2e/lab/netns.sh")).args(args))
}

/// A Secret's value.
pub fn decoded(secret: &Value, key: &str) -> Vec<u8> {
    let encoded = secret["data"][key].as_str().unwrap_or_else(|| panic!("no {key} in {}", secret["metadata"]["name"]));
    let mut child =
        Command::new("base64").arg("--decode").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("base64");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), encoded.as_bytes()).expect("base64 reads");
    child.wait_with_output().expect("base64 ends").stdout
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, bytes: &[u8]) {
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
    std::io::Write::write_all(&mut file, bytes).expect("written");
}

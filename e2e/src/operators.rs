//! Operators: the chart's, taken away for a while, and one as a local process.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kubectl::{get, kubectl};
use crate::lab;
use crate::run::{built, run, text};
use crate::wait::{eventually, holds};

/// Where the chart is installed.
pub const NAMESPACE: &str = "sallyport-system";
const SELECTOR: [&str; 2] = ["--selector", "app.kubernetes.io/name=sallyport-operator"];

/// No operator of the chart's, for as long as this lives.
pub struct Gone(());

impl Gone {
    /// Takes them away, and waits until they are.
    pub fn now() -> Self {
        scale("0");
        let gone = Self(());
        eventually(Duration::from_secs(60), "no operator is left", || {
            let pods = kubectl(
                &[["--namespace", NAMESPACE, "get", "pods", "--output", "name"].as_slice(), &SELECTOR].concat(),
            );
            holds(pods.is_empty(), pods)
        });
        gone
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        scale("2");
    }
}

fn scale(replicas: &str) {
    kubectl(
        &[["--namespace", NAMESPACE, "scale", "deployment", "--replicas", replicas].as_slice(), &SELECTOR].concat(),
    );
}

/// Waits until the chart's operators are there again.
pub fn back() {
    let wait = ["--namespace", NAMESPACE, "rollout", "status", "deployment", "--timeout=90s"];
    kubectl(&[wait.as_slice(), &SELECTOR].concat());
}

/// The pod that leads now.
pub fn leader() -> Option<String> {
    let lease = get(NAMESPACE, "lease", "sallyport");
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    holder.split(['/', '_']).next().map(str::to_owned)
}

/// Kills the one that leads, without a word of farewell: its lease runs out before another may lead. In a cluster that is
/// not the lab its pod is deleted instead, which is gentler.
pub fn crash_leader() -> Option<String> {
    let pod = leader()?;
    if lab::is_here() {
        let named = format!("POD_NAME={pod}");
        let is_it = |environment: Vec<u8>| environment.split(|byte| *byte == 0).any(|entry| entry == named.as_bytes());
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let process = processes.into_iter().find(|entry| {
            let operator =
                std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|c| c.starts_with("sallyport-opera"));
            operator && std::fs::read(entry.path().join("environ")).is_ok_and(is_it)
        })?;
        run(Command::new("kill").arg("-KILL").arg(process.file_name()));
    }
    // A pod that crashes again and again is started more and more slowly; a new one is not.
    let delete = ["--namespace", NAMESPACE, "delete", "pod", &pod, "--grace-period=0", "--force", "--ignore-not-found"];
    kubectl(&delete);
    Some(pod)
}

/// An operator as a process of this machine, for one namespace.
pub struct Local {
    child: Child,
}

impl Local {
    /// Starts it. With the same name as the one that was killed, it need not wait for that one's lease to run out.
    pub fn start(kubeconfig: &Path, namespace: &str, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let child = Command::new(built("sallyport-operator"))
            .args(["run", "--pod-name=local", "--lease-name=local", "--admin-address=127.0.0.1:0", "--log-format=text"])
            .arg(format!("--gateway-image={}", lab::image("GATEWAY")))
            .arg(format!("--region-namespaces={namespace}"))
            .arg(format!("--operator-namespace={namespace}"))
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sallyport-operator");
        Self { child }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token of the chart's operator: a process that uses it may do exactly what the chart's may.
pub fn token() -> String {
    let made = Command::new("kubectl")
        .args(["--namespace", NAMESPACE, "create", "token", "sallyport", "--duration=2h"])
        .output()
        .expect("kubectl");
    assert!(made.status.success(), "{}", text(&made.stderr));
    text(&made.stdout).trim().to_owned()
}

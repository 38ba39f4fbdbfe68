//! kubectl against the cluster that KUBECONFIG names.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run::{output, run, text};
use crate::wait::{eventually, holds};

/// Runs kubectl and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn kubectl(args: &[&str]) -> String {
    run(Command::new("kubectl").args(args))
}

/// An object as JSON, or `Null` when there is none.
pub fn get(namespace: &str, kind: &str, name: &str) -> Value {
    let args = ["--namespace", namespace, "get", kind, name, "--output", "json", "--ignore-not-found"];
    serde_json::from_str(&kubectl(&args)).unwrap_or(Value::Null)
}

/// Applies YAML.
///
/// # Panics
/// When the API server refuses it.
pub fn apply(yaml: &str) {
    let output = try_apply(yaml);
    assert!(output.status.success(), "{}\n{yaml}", text(&output.stderr));
}

/// Changes an object by a merge patch.
pub fn patch((namespace, kind, name): (&str, &str, &str), patch: &Value) {
    kubectl(&["--namespace", namespace, "patch", kind, name, "--type=merge", "--patch", &patch.to_string()]);
}

/// The API server's words on YAML that it refuses.
///
/// # Panics
/// When it accepts it.
pub fn refused(yaml: &str) -> String {
    let output = try_apply(yaml);
    assert!(!output.status.success(), "accepted:\n{yaml}");
    text(&output.stderr)
}

/// Applies YAML without changing anything.
///
/// # Panics
/// When the API server refuses it.
pub fn apply_dry_run(yaml: &str) {
    let output = send(yaml, &["--dry-run=server"]);
    assert!(output.status.success(), "{}\n{yaml}", text(&output.stderr));
}

/// The API server's words on YAML that it refuses, without changing anything; `Err` when it accepts it.
pub fn refused_dry_run(yaml: &str) -> Result<String, &'static str> {
    let output = send(yaml, &["--dry-run=server"]);
    if output.status.success() { Err("accepted") } else { Ok(text(&output.stderr)) }
}

fn try_apply(yaml: &str) -> Output {
    send(yaml, &[])
}

fn send(yaml: &str, how: &[&str]) -> Output {
    let mut command = Command::new("kubectl");
    command.args(["apply", "--server-side", "--force-conflicts", "--validate=strict", "--filename", "-"]).args(how);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl");
    child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("kubectl reads");
    child.wait_with_output().expect("kubectl ends")
}

/// Deletes an object, if it exists, and waits until it is gone.
pub fn delete(namespace: &str, kind: &str, name: &str) {
    let args = ["--namespace", namespace, "delete", kind, name, "--ignore-not-found", "--timeout=60s"];
    output(Command::new("kubectl").args(args));
}

/// A condition of an object: its status, reason and message.
pub fn condition(object: &Value, kind: &str) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    let field = |name: &str| found.and_then(|c| c[name].as_str()).unwrap_or("").to_owned();
    (field("status"), field("reason"), field("message"))
}

/// Waits until a condition has a status, and gives its message and how long it took.
pub fn wait_condition(
    (namespace, kind, name): (&str, &str, &str),
    condition_type: &str,
    status: &str,
    deadline: Duration,
) -> (String, Duration) {
    eventually(deadline, &format!("{kind}/{name} {condition_type}={status}"), || {
        let (seen, reason, message) = condition(&get(namespace, kind, name), condition_type);
        holds(seen == status, format!("{seen} {reason}: {message}")).map(|()| message)
    })
}

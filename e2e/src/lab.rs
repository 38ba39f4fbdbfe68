//! The lab itself, for faults that only it can make.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{run, tree};

/// The lab's folder.
pub fn folder() -> PathBuf {
    std::env::var_os("SALLYPORT_LAB").map_or_else(|| PathBuf::from("/var/lib/sallyport-lab"), PathBuf::from)
}

/// Whether the cluster is the lab, on this machine. Elsewhere, its faults are reported as skipped, never as passed.
pub fn is_here() -> bool {
    let named = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    named.is_none_or(|named| named.starts_with(folder()))
}

/// Starts, stops or kills a component of the cluster.
pub fn component(verb: &str, name: &str) {
    run(Command::new(tree().join("e2e/lab/ctl.sh")).args([verb, name]));
}

/// An image that `make images` made.
pub fn image(variable: &str) -> String {
    let names = [
        folder().join("images.env"),
        PathBuf::from(std::env::var("HOME").expect("HOME")).join(".cache/sallyport/images.env"),
    ];
    let text = names.iter().find_map(|path| std::fs::read_to_string(path).ok()).expect("make images");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{variable}_IMAGE=")));
    line.unwrap_or_else(|| panic!("no {variable}_IMAGE: make images")).to_owned()
}

/// Write requests that a user made, as the API server's audit log has them, leases and events left out.
pub fn writes_by(user: &str) -> Vec<String> {
    let log = std::fs::read_to_string(folder().join("audit.log")).expect("the lab's audit log");
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
        .filter(|event| {
            matches!(event["verb"].as_str(), Some("create" | "update" | "patch" | "delete" | "deletecollection"))
        })
        .filter(|event| !matches!(event["objectRef"]["resource"].as_str(), Some("leases" | "events")))
        .map(|event| format!("{} {}", event["verb"].as_str().unwrap_or(""), event["requestURI"].as_str().unwrap_or("")))
        .collect()
}

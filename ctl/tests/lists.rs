//! What is printed, compared with the files in `golden/`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod scripted;

use std::os::unix::process::CommandExt;
use std::process::Command;

use sallyport_testkit::golden;
use scripted::{Region, text};

fn check(name: &str, actual: &str) {
    golden::check(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR")), actual);
}

#[tokio::test]
async fn tables_are_for_people() {
    let region = Region::begin().await;
    for command in ["devices", "sessions", "status", "whoami"] {
        let output = region.run(&[command]).await;
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        check(&format!("{command}.txt"), &text(&output.stdout));
    }
}

#[tokio::test]
async fn json_and_yaml_are_the_gateways_answer_with_what_this_version_does_not_know() {
    let region = Region::begin().await;
    let json = region.run(&["sessions", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["sessions"][0]["fromANewerGateway"], true);
    let yaml = region.run(&["sessions", "-o", "yaml"]).await;
    assert_eq!(serde_yaml::from_slice::<serde_json::Value>(&yaml.stdout).unwrap(), json);
}

#[test]
fn help_teaches() {
    for (name, arguments) in [
        ("help", vec!["--help"]),
        ("help-audit", vec!["audit", "--help"]),
        ("help-audit-export", vec!["audit", "export", "--help"]),
        ("help-audit-verify", vec!["audit", "verify", "--help"]),
        ("help-audit-witness", vec!["audit", "witness", "--help"]),
        ("help-ca-rotate", vec!["ca", "rotate", "--help"]),
        ("help-connect", vec!["connect", "--help"]),
        ("help-enrol-token", vec!["enrol", "token", "--help"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_sallyportctl")).args(arguments).env_clear().output().unwrap();
        check(&format!("{name}.txt"), &text(&output.stdout));
    }
}

#[test]
fn as_a_plugin_of_kubectl_it_calls_itself_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyportctl"));
    let output = command.arg0("/usr/local/bin/kubectl-sallyport").args(["connect", "--help"]).output().unwrap();
    let help = text(&output.stdout);
    assert!(help.contains("Usage: kubectl sallyport connect"), "{help}");
    assert!(!help.contains("sallyportctl"), "{help}");
}

#[test]
fn completion_scripts_are_made_for_three_shells() {
    for shell in ["bash", "fish", "zsh"] {
        let output = Command::new(env!("CARGO_BIN_EXE_sallyportctl")).args(["completion", shell]).output().unwrap();
        let script = text(&output.stdout);
        assert!(script.contains("connect") && script.contains("rotate") && script.contains("kubeconfig"), "{shell}");
    }
}

#[tokio::test]
async fn a_context_is_written_once_and_used_from_then_on() {
    let region = Region::begin().await;
    let set = region.run(&["config", "set", "frankfurt"]).await;
    assert!(set.status.success(), "{}", text(&set.stderr));

    let bare = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallyportctl"));
        command.args(arguments).env_clear().env("HOME", region.folder.path());
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let whoami = bare(&["whoami"]).await.unwrap();
    assert!(text(&whoami.stdout).contains("anna@vendor.example"), "{}", text(&whoami.stderr));
    let view = text(&bare(&["config", "view"]).await.unwrap().stdout);
    assert!(view.contains("current: frankfurt"), "{view}");
    let unknown = bare(&["config", "use", "osaka"]).await.unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("there are: frankfurt"), "{}", text(&unknown.stderr));
}

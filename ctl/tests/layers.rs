//! The two groups of commands do not know each other: an engineer needs no kubeconfig, the platform team no inner door.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn only_the_cluster_commands_know_kubernetes_and_they_know_no_inner_door() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (cluster, cli) = (src.join("cluster"), src.join("cli"));
    let (mut inside, mut outside) = (0, 0);
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let forbidden: &[&str] = if path.starts_with(&cluster) {
            inside += 1;
            &["crate::api", "crate::connect", "crate::door", "crate::list", "crate::settings"]
        } else {
            outside += 1;
            // The platform team's command line parses the API's own types.
            if path.starts_with(&cli) {
                &["kube::", "k8s_openapi"]
            } else {
                &["kube::", "k8s_openapi", "sallyport_api"]
            }
        };
        for word in forbidden {
            assert!(!text.contains(word), "{} knows {word}", path.display());
        }
    }
    assert!(inside > 10 && outside > 10, "the folders moved: {inside} {outside}");
}

#[test]
fn each_group_says_what_it_misses_without_looking_for_what_the_other_needs() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sallyportctl"));
        let output = command.args(arguments).env_clear().env("HOME", home.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, words) = run(&["devices"]);
    assert!(code == Some(2) && words.contains("no server is known") && !words.contains("kubeconfig"), "{words}");
    let (code, words) = run(&["ca", "status"]);
    assert!(code == Some(2) && words.contains("no cluster is known") && !words.contains("--server"), "{words}");
}

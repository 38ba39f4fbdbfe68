//! What the API server accepts and refuses by itself, before the operator sees anything. Dry runs: nothing is changed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::Path;

use sallyport_e2e::kubectl::{apply_dry_run, refused_dry_run};
use sallyport_e2e::run::tree;

fn documents(folder: &str) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(tree().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| is_yaml(p))
        .collect();
    files.sort();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    files.iter().flat_map(|path| text(path).split("\n---\n").map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

#[test]
fn every_sample_is_accepted() {
    let samples: Vec<_> = documents("manifests/samples").into_iter().filter(|text| text.contains("kind:")).collect();
    assert!(samples.len() >= 9, "only {} samples", samples.len());
    for sample in samples {
        apply_dry_run(&sample);
    }
}

#[test]
fn everything_wrong_is_refused_with_the_words_it_promises() {
    let refusals = documents("manifests/refused");
    assert!(refusals.len() >= 30, "only {} refusals", refusals.len());
    let mut wrong = Vec::new();
    for text in refusals {
        let words = text.lines().find_map(|line| line.strip_prefix("# refused: ")).expect("a promise of words");
        match refused_dry_run(&text) {
            Err(accepted) => wrong.push(format!("{accepted}:\n{text}")),
            Ok(message) if !message.contains(words) => wrong.push(format!("{message}\nhas no {words:?}:\n{text}")),
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// As `status.rotation.blockers` names them.
#[test]
fn whoever_a_rotation_waits_for_can_be_named_lost() {
    for name in ["site-lyon/lyon", "gateway dmz-frankfurt/frankfurt-gateway-0", "bootstrap dmz-frankfurt/frankfurt"] {
        apply_dry_run(&format!(
            "apiVersion: sallyport.dev/v1alpha1\nkind: CertificateAuthority\nmetadata: {{ name: lost, namespace: \
             dmz-frankfurt }}\nspec:\n  subject: {{ commonName: X }}\n  lostPeers: [{{ name: {name}, reason: X }}]\n"
        ));
    }
}

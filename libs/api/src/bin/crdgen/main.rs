//! Writes everything that follows from the types of `sallyport-api`: the definitions for `kubectl apply`, the same as
//! templates of the Helm chart, and the reference manual. `--check` writes nothing and fails on a difference, which
//! it shows.
//!
//! ```text
//!  sallyport_api::crd::all() ─┬─ definition ─┬─▶ crds/PLURAL.sallyport.dev.yaml
//!                             │              └─▶ charts/sallyport/templates/crds/PLURAL.yaml
//!                             └─ manual ───────▶ docs/reference/KIND.md, README.md
//! ```

mod definition;
mod manual;
#[cfg(test)]
mod samples;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use tree::Tree;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--check"] => true,
        _ => {
            say("usage: crdgen [--check]");
            return ExitCode::from(2);
        }
    };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    match run(&root, check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            say("crdgen: the files above do not follow from libs/api; run `make generate` and commit the result");
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("crdgen: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the tree is now, or with `check` was already, as the types say.
fn run(root: &std::path::Path, check: bool) -> Result<bool, tree::TreeError> {
    let tree = generated();
    if check {
        let differences = tree.differences(root)?;
        differences.iter().for_each(|difference| say(difference));
        return Ok(differences.is_empty());
    }
    for path in tree.write(root)? {
        say(&format!("wrote {}", path.display()));
    }
    Ok(true)
}

fn generated() -> Tree {
    let definitions = sallyport_api::crd::all();
    let mut tree = Tree::new(&["crds", "charts/sallyport/templates/crds", "docs/reference"]);
    for crd in &definitions {
        let plural = &crd.spec.names.plural;
        let yaml = definition::yaml(crd);
        tree.add(format!("crds/{plural}.sallyport.dev.yaml"), definition::file(&yaml));
        tree.add(format!("charts/sallyport/templates/crds/{plural}.yaml"), definition::template(&yaml));
        tree.add(format!("docs/reference/{}", manual::file_name(crd)), manual::page(crd));
    }
    tree.add("docs/reference/README.md".to_owned(), manual::index(&definitions));
    tree
}

#[allow(clippy::print_stderr, reason = "a tool at a terminal")]
fn say(text: &str) {
    eprintln!("{text}");
}

//! Expected output as files in the tree.

use std::fs;
use std::path::Path;

use similar::TextDiff;

/// Compares with the file, and panics with a diff if they differ. `UPDATE_GOLDEN=1` writes the file instead, for a human
/// to review as a change. Give the path from the crate: `concat!(env!("CARGO_MANIFEST_DIR"), "/golden/x.json")`.
///
/// # Panics
/// When they differ, or the file cannot be read or written.
#[track_caller]
pub fn check(path: impl AsRef<Path>, actual: &str) {
    let path = path.as_ref();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        update(path, actual);
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display());
    });
    if expected != actual {
        panic!("{} differs; UPDATE_GOLDEN=1 accepts this change:\n{}", path.display(), diff(&expected, actual));
    }
}

fn update(path: &Path, actual: &str) {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
    // An unchanged file keeps its time, so that nothing is built again for it.
    if fs::read_to_string(path).ok().as_deref() != Some(actual) {
        fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn diff(expected: &str, actual: &str) -> String {
    TextDiff::from_lines(expected, actual).unified_diff().context_radius(3).header("expected", "actual").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "one\ntwo\n").unwrap();
        check(&path, "one\ntwo\n");
    }

    #[test]
    #[should_panic(expected = "-two\n+three")]
    fn another_text_is_shown_as_a_diff() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "one\ntwo\n").unwrap();
        check(&path, "one\nthree\n");
    }

    #[test]
    #[should_panic(expected = "UPDATE_GOLDEN=1 writes it")]
    fn a_missing_file_says_what_to_do() {
        check("/nonexistent/golden.txt", "");
    }
}

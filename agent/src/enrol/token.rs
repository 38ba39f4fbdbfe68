//! Where the one-time token comes from: a file, the environment, or standard input. Never the command line, which every
//! user of the host can read.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use sallyport_runtime::files::{FileError, read_text};
use zeroize::Zeroizing;

use crate::est::Token;

/// The environment variable.
pub const VARIABLE: &str = "SALLYPORT_ENROLMENT_TOKEN";

/// No token is longer; what follows is not read.
const MAX: u64 = 1024;

/// Reads the token: of the file if one is named, else of the environment if it is there, else of standard input.
///
/// # Errors
/// See [`TokenError`].
pub fn read(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    input: impl FnOnce() -> Box<dyn Read>,
) -> Result<Token, TokenError> {
    if let Some(path) = file {
        let text = Zeroizing::new(read_text(path)?);
        return Token::parse(&text).ok_or_else(|| TokenError::File(path.to_owned()));
    }
    if let Some(text) = variable(VARIABLE).map(Zeroizing::new) {
        return Token::parse(&text).ok_or(TokenError::Variable);
    }
    let mut text = Zeroizing::new(String::new());
    input().take(MAX).read_to_string(&mut text).map_err(TokenError::Input)?;
    Token::parse(&text).ok_or(TokenError::Nothing)
}

/// One line of a terminal, or all of a pipe.
pub fn standard_input() -> Box<dyn Read> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Box::new(input);
    }
    let mut line = String::new();
    // What could not be read is as nothing, and [`read`] says so.
    let _ = input.read_line(&mut line);
    Box::new(io::Cursor::new(line))
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file holds none.
    #[error("{path} holds no token: one word, as sallyportctl printed it", path = .0.display())]
    File(PathBuf),
    /// Standard input broke.
    #[error("the token cannot be read from standard input")]
    Input(#[source] io::Error),
    /// Nothing was given.
    #[error("no token: name a file with --token-file, set {VARIABLE}, or pipe it in")]
    Nothing,
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
    /// The variable holds none.
    #[error("{VARIABLE} holds no token: one word, as sallyportctl printed it")]
    Variable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_counts_before_the_environment_before_the_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "of-the-file\n").unwrap();
        let set = |_: &str| Some("of-the-environment".to_owned());
        let unset = |_: &str| None;
        let pipe = |text: &'static [u8]| move || Box::new(text) as Box<dyn Read>;
        let shown = |token: Result<Token, _>| token.map(|token| token.expose().to_owned());
        assert_eq!(shown(read(Some(&path), set, pipe(b"of-the-input"))).unwrap(), "of-the-file");
        assert_eq!(shown(read(None, set, pipe(b"of-the-input"))).unwrap(), "of-the-environment");
        assert_eq!(shown(read(None, unset, pipe(b"of-the-input\n"))).unwrap(), "of-the-input");
        assert!(matches!(read(None, unset, pipe(b"")), Err(TokenError::Nothing)));
        assert!(matches!(read(None, |_| Some("two words".to_owned()), pipe(b"")), Err(TokenError::Variable)));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(read(Some(&path), set, pipe(b"")), Err(TokenError::File(_))));
        let missing = read(Some(&folder.path().join("missing")), set, pipe(b"")).unwrap_err();
        assert!(missing.to_string().contains("missing"), "{missing}");
    }
}

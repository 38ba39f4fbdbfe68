//! Standard output for answers, standard error for everything else, so that answers can be piped.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::Format;
use crate::failure::Failure;

/// Prints answers in the chosen format.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// The answer as it came, or as `table` makes it for people.
    pub(crate) fn answer(&self, answer: &Value, table: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.line(table().trim_end()),
            Format::Json => self.line(&serde_json::to_string_pretty(answer).unwrap_or_default()),
            Format::Yaml => self.line(serde_yaml::to_string(answer).unwrap_or_default().trim_end()),
        }
    }

    /// One or more lines. That nobody reads any more (`| head`) is no failure.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Local { what: "cannot write the answer".to_owned(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// A line on standard error. When even that is closed, nobody is there to be told.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Columns wide enough for what is in them; the last one ends where it ends.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|title| title.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_letters_not_bytes() {
        let rows = [vec!["Rhône".to_owned(), "x".to_owned()], vec!["a".to_owned(), "longer".to_owned()]];
        assert_eq!(table(&["NAME", "B"], &rows), "NAME    B\nRhône   x\na       longer\n");
    }
}

//! A length of time as people write it: `90s`, `15m`, `8h`, `90d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A whole number of seconds (`s`), minutes (`m`), hours (`h`) or days (`d`, of 24 h), at most six digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    text: String,
    length: Duration,
}

impl Span {
    /// The length.
    pub fn length(&self) -> Duration {
        self.length
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let refused = || SpanError { text: text.chars().take(40).collect() };
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return Err(refused()),
        };
        let digits = &text[..text.len() - 1];
        if !(1..=6).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        let number: u64 = digits.parse().map_err(|_| refused())?;
        Ok(Self { text: text.to_owned(), length: Duration::from_secs(number * unit) })
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.text
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "maxLength": 7 })
    }
}

/// The text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a length of time; write a number and s, m, h or d, such as 90d")]
pub struct SpanError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_parse_and_keep_their_spelling() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("8h", 28_800), ("90d", 7_776_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.length().as_secs(), span.to_string().as_str()), (seconds, text));
        }
        for text in ["", "m", "1", "1w", "-1s", "1.5h", "1234567s", "1 h", "١s", "1é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}

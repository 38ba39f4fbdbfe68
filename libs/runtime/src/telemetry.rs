//! Logs on standard error: one JSON object a line for machines, text for people.

use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One object a line, the event's fields at the top level.
    #[default]
    Json,
    /// For a terminal.
    Text,
}

impl FromStr for Format {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, TelemetryError> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(TelemetryError::Format { text: text.chars().take(40).collect() }),
        }
    }
}

/// Begins logging for this process. `filter` is a level (`info`) or directives (`info,sallyport_gateway=debug`).
///
/// # Errors
/// When the filter cannot be read or logging has begun already.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| TelemetryError::Filter { why: e.to_string() })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Colours are for eyes, not for files.
    let subscriber = subscriber.with_ansi(io::stderr().is_terminal());
    let begun = match format {
        Format::Json => subscriber.json().flatten_event(true).with_span_list(false).finish().try_init(),
        Format::Text => subscriber.finish().try_init(),
    };
    begun.map_err(|_| TelemetryError::Begun)
}

/// Why there are no logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// It was called before.
    #[error("logging has begun already")]
    Begun,
    /// The filter makes no sense.
    #[error("log filter is refused: {why}")]
    Filter {
        /// What the library says.
        why: String,
    },
    /// Neither `json` nor `text`.
    #[error("log format {text:?} is neither json nor text")]
    Format {
        /// What was given.
        text: String,
    },
}

//! `sallyport-agent check`: everything between this host and a tunnel, in the order in which it would fail, each with
//! what was seen and what to do. Written for a hospital's firewall team.
//!
//! ```text
//!  files: configuration ─ files ─ key ─ endpoint ─ validity ─ renewal ─ trust ─ allow-list
//!  network: proxy ─ name ─ port ─ TLS ─ clock ─ gateway's answer
//! ```
//!
//! A check that needs what an earlier one did not find is skipped, never guessed.

mod files;
mod network;
mod renewal;
mod witness;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::surroundings::Surroundings;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It will not work like this.
    Failed,
    /// Fine.
    Ok,
    /// An earlier check failed, so this one means nothing.
    Skipped,
    /// It works now; somebody should look at it.
    Warning,
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All checks, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each check.
    pub findings: Vec<Finding>,
}

/// The checks' names, in order. Every report has exactly these.
pub const NAMES: [&str; 14] = [
    "configuration",
    "certificate files",
    "key fits certificate",
    "certificate names an endpoint",
    "certificate valid now",
    "certificate renewal",
    "trust",
    "allow-list",
    "direct route",
    "gateway name resolves",
    "gateway port reachable",
    "tls handshake",
    "clock",
    "gateway accepts this endpoint",
];

/// Runs all checks. `variable` reads the environment.
pub async fn run(config: &Path, surroundings: &Surroundings, variable: impl Fn(&str) -> Option<String>) -> Report {
    let mut report = Report::default();
    let Some(ready) = files::check(config, surroundings.now(), &mut report) else { return report.filled() };
    network::check(&ready, surroundings, variable, &mut report).await;
    report.filled()
}

impl Report {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding.outcome, Outcome::Ok | Outcome::Warning))
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        serde_json::json!({ "passed": self.passed(), "checks": self.findings }).to_string()
    }

    fn ok(&mut self, name: &'static str, seen: impl Into<String>) {
        self.findings.push(Finding { name, outcome: Outcome::Ok, seen: seen.into(), remedy: None });
    }

    fn warning(&mut self, name: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.findings.push(Finding { name, outcome: Outcome::Warning, seen: seen.into(), remedy });
    }

    fn failed(&mut self, name: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.findings.push(Finding { name, outcome: Outcome::Failed, seen: seen.into(), remedy });
    }

    /// What was not reached is skipped, because of the last failure.
    fn filled(mut self) -> Self {
        let failed = self.findings.iter().rfind(|finding| finding.outcome == Outcome::Failed);
        let because = failed.map_or("an earlier check", |finding| finding.name);
        let seen = format!("because of: {because}");
        let skipped = |name: &'static str| {
            self.findings.iter().find(|finding| finding.name == name).cloned().unwrap_or_else(|| Finding {
                name,
                outcome: Outcome::Skipped,
                seen: seen.clone(),
                remedy: None,
            })
        };
        self.findings = NAMES.into_iter().map(skipped).collect();
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { name, outcome, seen, remedy } in &self.findings {
            let mark = match outcome {
                Outcome::Failed => "FAIL",
                Outcome::Ok => "ok",
                Outcome::Skipped => "skipped",
                Outcome::Warning => "warning",
            };
            writeln!(f, "{mark:<8} {name}: {seen}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "         -> {remedy}")?;
            }
        }
        let end = if self.passed() { "all checks passed" } else { "not ready: see FAIL above" };
        writeln!(f, "{end}")
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

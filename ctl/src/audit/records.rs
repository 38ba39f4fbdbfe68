//! `audit records`: pages of records, as lines or as a table.

use serde_json::Value;

use crate::cli::Format;
use crate::cli::audit::{Records, RecordsFormat};
use crate::door::Door;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::words;

/// What a gateway gives at once.
const PAGE: u64 = 10_000;
/// A page of the longest records would be 650 MB; real ones have some 500 bytes.
const LARGEST_PAGE: usize = 64 * 1024 * 1024;

pub(crate) async fn run(door: &mut Door, wish: &Records, format: Format) -> Result<(), Failure> {
    let format = match (wish.output, format) {
        (Some(format), _) => format,
        (None, Format::Table) => RecordsFormat::Table,
        (None, Format::Json) => RecordsFormat::Jsonl,
        (None, Format::Yaml) => return Err(Failure::Usage("records are printed with -o table or -o jsonl".to_owned())),
    };
    let output = Output::new(Format::Table);
    let (mut left, mut after, mut rows) = (wish.limit, None, Vec::new());
    while left > 0 {
        let asked = left.min(PAGE);
        let text = page(door, &path(wish, asked, after.as_deref())).await?;
        let lines: Vec<&str> = text.lines().collect();
        let got = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        match format {
            RecordsFormat::Jsonl if lines.is_empty() => {}
            RecordsFormat::Jsonl => output.line(text.trim_end())?,
            RecordsFormat::Table => {
                for line in &lines {
                    rows.push(row(&read(door, line)?));
                }
            }
        }
        left = left.saturating_sub(got);
        match lines.last() {
            Some(last) if got >= asked => after = Some(cursor(&read(door, last)?)),
            _ => break,
        }
    }
    if format == RecordsFormat::Table {
        if rows.is_empty() {
            return output.line("There are no such records.");
        }
        let head = ["TIME", "WHAT", "WHO", "DEVICE", "SERVICE", "INCIDENT", "OUTCOME", "LOG", "RECORD"];
        output.line(table(&head, &rows).trim_end())?;
    }
    Ok(())
}

async fn page(door: &mut Door, path: &str) -> Result<String, Failure> {
    let mut download = door.download(path).await?;
    let mut body = Vec::new();
    while let Some(chunk) = download.next().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_PAGE {
            return Err(door.unexpected("more than a page can hold".to_owned()));
        }
    }
    String::from_utf8(body).map_err(|_| door.unexpected("something that is no text".to_owned()))
}

fn path(wish: &Records, limit: u64, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    };
    add("site", wish.site.as_ref().map(ToString::to_string));
    add("from", wish.from.map(|at| at.to_string()));
    add("to", wish.to.map(|at| at.to_string()));
    add("engineer", wish.engineer.as_ref().map(ToString::to_string));
    add("device", wish.device.as_ref().map(ToString::to_string));
    add("incident", wish.incident.as_ref().map(ToString::to_string));
    add("limit", Some(limit.to_string()));
    add("after", after.map(str::to_owned));
    format!("/v1/audit/records?{}", query.finish())
}

fn read(door: &Door, line: &str) -> Result<Value, Failure> {
    serde_json::from_str(line).map_err(|error| door.unexpected(format!("a line that is no record ({error})")))
}

/// Where the next page begins.
fn cursor(record: &Value) -> String {
    format!("{}#{}", text(&record["log"]), record["n"])
}

/// A record of whatever kind; a newer gateway may have kinds that this program does not know.
fn row(record: &Value) -> Vec<String> {
    let event = &record["event"];
    let person = if event["by"].is_null() { &event["to"] } else { &event["by"] };
    let who = match person {
        Value::String(word) => word.clone(),
        person => text(&person["known"]["user"]),
    };
    let outcome = ["outcome", "reason", "why", "health"].iter().map(|name| text(&event[*name])).find(|t| !t.is_empty());
    let at = text(&record["at"]).parse().map_or_else(|_| text(&record["at"]), words::time);
    // Gateway and incarnation: the rest of a log's name is the same for all of a site.
    let log = text(&record["log"]);
    let log = log.split('/').skip(3).take(2).collect::<Vec<_>>().join("/");
    let [device, service, incident] = ["device", "service", "incident"].map(|name| text(&event[name]));
    let kind = text(&event["kind"]);
    vec![at, kind, who, device, service, incident, outcome.unwrap_or_default(), log, record["n"].to_string()]
}

/// A text, or nothing. What a peer wrote into a record must not move the cursor of a terminal.
fn text(value: &Value) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    value.as_str().unwrap_or_default().chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_shows_who_did_what_and_how_it_went() {
        let record = json!({ "log": "sallyport.dev/dmz/eu/eu-gateway-0/00ff12ab/site/a/b", "n": 7,
            "at": "2026-11-24T15:00:00.5Z", "event": { "kind": "sessionDenied", "device": "a/ct", "service": "ssh",
            "by": { "known": { "user": "anna@vendor.example" } }, "reason": "noPolicyForDevice" } });
        let expected = [
            "2026-11-24 15:00:00Z",
            "sessionDenied",
            "anna@vendor.example",
            "a/ct",
            "ssh",
            "",
            "noPolicyForDevice",
            "eu-gateway-0/00ff12ab",
            "7",
        ];
        assert_eq!(row(&record), expected);
        let erased = json!({ "event": { "kind": "\u{1b}[2Jx", "by": "erased" }, "n": 1 });
        assert_eq!(row(&erased)[1..3], ["\u{fffd}[2Jx", "erased"]);
        assert_eq!(cursor(&record), "sallyport.dev/dmz/eu/eu-gateway-0/00ff12ab/site/a/b#7");
    }
}

//! `records.csv` (RFC 4180): one row a record.

use super::facts::Facts;
use crate::person::Shown;
use crate::record::Record;
use crate::scope::Origin;

/// The first row.
pub(crate) const HEAD: &[u8] = b"at,log,record,kind,user,groups,reason,from,site,device,service,id,incident,outcome,\
details,clockSynced,clockErrorMs,clockBehindMs\r\n";

/// A record as a row, its end of line included.
pub(crate) fn row(log: &Origin, record: &Record<Shown>) -> Vec<u8> {
    let facts = Facts::of(&record.event);
    let clock = record.clock;
    let cells = [
        record.at.to_string(),
        log.to_string(),
        record.n.to_string(),
        facts.kind.to_owned(),
        facts.who.user(),
        facts.who.groups(),
        facts.who.reason(),
        facts.who.from(),
        facts.details(),
        clock.synced.to_string(),
        clock.error_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        clock.behind_ms.to_string(),
    ];
    let [at, origin, n, kind, user, groups, reason, from, details, synced, error, behind] = cells;
    let Facts { site, device, service, id, incident, outcome, .. } = facts;
    let row = [
        at, origin, n, kind, user, groups, reason, from, site, device, service, id, incident, outcome, details, synced,
        error, behind,
    ];
    let mut line = row.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",").into_bytes();
    line.extend_from_slice(b"\r\n");
    line
}

/// A cell. Spreadsheets take what begins with certain letters for a formula, and texts of peers are among them: an
/// apostrophe before it makes it a text.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    let quoted = text.contains([',', '"', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(cell("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"");
        for text in ["+1", "-1", "@x", "\tx"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
    }
}

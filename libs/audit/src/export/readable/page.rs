//! `report.html`: one file without script or anything from elsewhere, to be read and printed. Every text goes through
//! the template's escaping; nothing here is marked as already escaped but our own style sheet.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::facts::Who;
use super::report::{Other, Outcome, Place, Report, Session};
use crate::export::about::About;
use crate::scope::Scope;

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em;color:#111}h1{font-size:1.5em}h2{font-size:1.2em;\
margin-top:2em}table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.25em .5em;text-align:left;\
vertical-align:top;overflow-wrap:anywhere}th{background:#eee}thead{display:table-header-group}tr{break-inside:avoid}\
.no{color:#a00}code{font-size:.9em;overflow-wrap:anywhere}@media print{body{margin:0;font-size:9px}}";

/// No script, no picture, no connection, whatever a text of a record might bring.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn page(about: &About, report: &Report) -> String {
    let title = match &about.scope {
        Scope::Region => format!("Remote service records of region {}", about.region),
        Scope::Site(site) => format!("Remote service records of site {site}"),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (summary(about, report))
                (logs(about))
                (how_to_verify(about))
                h2 { "Sessions" }
                (sessions(report))
                h2 { "Everything else" }
                (others(report))
                @if report.omitted {
                    p.no { "Tables of this report end after ten thousand rows. " code { "records.csv" } " has all records." }
                }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn summary(about: &About, report: &Report) -> Markup {
    html! {
        p {
            "Region " b { (about.region) } ", from " b { (time(about.period.from)) } " until before "
            b { (time(about.period.to)) } ". All times are UTC. " (report.records) " records"
            @if report.erased > 0 {
                "; of " (report.erased) " the person was erased on lawful request"
            }
            ". Made at " (time(about.made.at)) " for " (about.made.by) "."
        }
    }
}

fn logs(about: &About) -> Markup {
    html! {
        h2 { "Logs" }
        @if about.logs.is_empty() {
            p.no { "No log of this " @if about.scope == Scope::Region { "region" } @else { "site" } " was collected." }
        } @else {
            table {
                thead { tr { th { "No." } th { "Log" } th { "Records in this time" } th { "Collected until" } } }
                tbody {
                    @for (number, log) in about.logs.iter().enumerate() {
                        tr {
                            td { (number) }
                            td { code { (log.origin) } }
                            td {
                                @if log.records == 0 { "none" } @else {
                                    (log.first) " to " (log.first.saturating_add(log.records - 1))
                                }
                                " of " (log.size)
                                @if log.deleted_before > 0 {
                                    "; those before " (log.deleted_before) " were deleted when their time was over"
                                }
                            }
                            td { (time(log.collected_until)) }
                        }
                    }
                }
            }
        }
    }
}

fn how_to_verify(about: &About) -> Markup {
    html! {
        h2 { "How to verify" }
        p {
            "This report is one file of an export. It proves nothing by itself: anybody can write such a page. The command"
        }
        p { code { "sallyportctl audit verify FOLDER --key VERIFIER" } }
        p {
            "checks without a network that every record of the logs in this time is in the folder and unchanged, and that \
             this report says what they say. VERIFIER is the public key named "
            code { "sallyport.dev/" (about.region) }
            ", which you were given when your site was connected. Do not take it from the export. With "
            code { "--known FILE" }
            " it checks besides that the logs still contain what you were told before."
        }
    }
}

fn sessions(report: &Report) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "Began" } th { "Ended" } th { "Who" } th { "Reason" } th { "Device" } th { "Service" }
                    th { "Incident" } th { "Outcome" } th { "Bytes to / from device" } th { "Session" } th { "Record" }
                }
            }
            tbody { @for (place, session) in report.sessions() { (session_row(place, session)) } }
        }
    }
}

fn session_row((at, log, n): &Place, session: &Session) -> Markup {
    let never = matches!(session.outcome, Outcome::Denied(_) | Outcome::Unanswered | Outcome::Asked);
    html! {
        tr {
            td {
                @match session.began {
                    Some(began) => (time(began)),
                    None if never => { "asked " (time(*at)) }
                    None => "before this time",
                }
            }
            td { @if let Some(ended) = session.ended { (time(ended)) } }
            td { (who(&session.who)) }
            td { (session.who.reason()) }
            td { (session.device) }
            td { (session.service) }
            td { (session.incident) }
            td {
                @match &session.outcome {
                    Outcome::Asked => "asked for; not answered in this time",
                    Outcome::Denied(why) => { span.no { "denied" } ": " (words(why)) }
                    Outcome::Ended(why) => { "ended: " (words(why)) }
                    Outcome::Open => "did not end in this time",
                    Outcome::Unanswered => "nobody at the site answered",
                }
            }
            td { @if let Some((out, back)) = &session.bytes { (out) " / " (back) } }
            td { (session.id) }
            td { (log) "/" (n) }
        }
        "\n"
    }
}

fn others(report: &Report) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "When" } th { "What" } th { "Who" } th { "Reason" } th { "Device" } th { "Id" } th { "Outcome" }
                    th { "Details" } th { "Record" }
                }
            }
            tbody { @for (place, other) in report.others() { (other_row(place, other)) } }
        }
    }
}

fn other_row((at, log, n): &Place, Other { facts }: &Other) -> Markup {
    html! {
        tr {
            td { (time(*at)) }
            td { (words(facts.kind)) }
            td { (who(&facts.who)) }
            td { (facts.who.reason()) }
            td { (facts.device) }
            td { (facts.id) }
            td { (words(&facts.outcome)) }
            td { (facts.details()) }
            td { (log) "/" (n) }
        }
        "\n"
    }
}

fn who(who: &Who) -> Markup {
    html! {
        @match who {
            Who::Nobody => "",
            Who::Erased => i { "erased" },
            Who::Known(_) => { (who.user()) @if !who.groups().is_empty() { " (" (who.groups()) ")" } }
        }
    }
}

/// To the second.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `sessionStarted` as `session started`. Texts that are not one word of ours stay as they are.
fn words(label: &str) -> String {
    if !label.bytes().all(|b| b.is_ascii_alphabetic()) {
        return label.to_owned();
    }
    label.chars().fold(String::with_capacity(label.len() + 4), |mut words, letter| {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
        words
    })
}

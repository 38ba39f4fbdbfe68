//! A report for people.

use jiff::Timestamp;
use sallyport_api::certificate_authority::{GivenUp, HistoryEntry, RotationStatus};

use super::report::{Dropped, Report, Site};
use crate::output::table;
use crate::words;

/// Names that a line of a table holds; the rest is counted, and JSON has them all.
const NAMES: usize = 5;
/// Lines of those who would be cut; the rest is counted.
const CUT: usize = 20;
/// Steps of the history that the status shows.
const STEPS: usize = 5;

/// All of it.
pub(crate) fn status(report: &Report, now: Timestamp) -> String {
    let mut parts = vec![head(report), generations(report)];
    parts.extend(report.rotation.as_ref().map(rotation));
    parts.extend(
        (!report.given_up.is_empty()).then(|| format!("rotations went on without\n{}", given_up(&report.given_up))),
    );
    parts.push(sites(report, now));
    parts.extend((report.regions.iter().any(|region| !region.gateways.is_empty())).then(|| gateways(report)));
    parts.extend(report.if_dropped.iter().map(dropped));
    parts.extend((!report.history.is_empty()).then(|| latest(report)));
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n")
}

/// The table of transitions, the newest last.
pub(crate) fn history(entries: &[HistoryEntry]) -> String {
    let rows = entries.iter().map(|entry| {
        vec![time(&entry.at), entry.generation.to_string(), format!("{:?}", entry.state), entry.why.clone()]
    });
    table(&["AT", "GENERATION", "STATE", "WHY"], &rows.collect::<Vec<_>>())
}

/// The peers that rotations went on without.
pub(crate) fn given_up(peers: &[GivenUp]) -> String {
    let rows = peers
        .iter()
        .map(|peer| vec![peer.name.clone(), peer.generation.to_string(), time(&peer.at), peer.reason.clone()]);
    table(&["PEER", "GENERATION", "AT", "WHY"], &rows.collect::<Vec<_>>())
}

fn head(report: &Report) -> String {
    let ready = report.ready.as_ref().map_or_else(
        || "the operator has not looked at it yet".to_owned(),
        |ready| match ready.status.as_str() {
            "True" => "ready".to_owned(),
            _ => format!("not ready ({}): {}", ready.reason, ready.message),
        },
    );
    let mut text = format!("certificate authority {}/{}, {ready}", report.namespace, report.name);
    if let Some(digest) = &report.trust_digest {
        text += &format!("\ntrust bundle {}, digest {}", report.trust_sequence, short(digest));
    }
    if let Some(lists) = &report.revocation_lists {
        let (next, renew) = (time(&lists.next_update), time(&lists.renew_at));
        text +=
            &format!("\n{} certificates revoked; the lists end {next} and are signed anew by {renew}", lists.revoked);
    }
    text
}

fn generations(report: &Report) -> String {
    if report.generations.is_empty() {
        return "no generation was made yet".to_owned();
    }
    let rows = report.generations.iter().map(|generation| {
        let drops = generation.drop_others_at.as_deref().map(time).unwrap_or_default();
        vec![
            generation.number.to_string(),
            format!("{:?}", generation.state),
            time(&generation.since),
            time(&generation.not_after),
            format!("{:?}", generation.cause),
            generation.holders.to_string(),
            short(&generation.fingerprint).to_owned(),
            drops,
        ]
    });
    let head = ["GENERATION", "STATE", "SINCE", "EXPIRES", "CAUSE", "HOLDERS", "FINGERPRINT", "DROPS OLDER AT"];
    table(&head, &rows.collect::<Vec<_>>())
}

fn rotation(rotation: &RotationStatus) -> String {
    let mut text = format!(
        "rotation to generation {}: {}; {} of {} done",
        rotation.to, rotation.waits_for, rotation.done, rotation.of
    );
    if let Some(next) = &rotation.next_step {
        text += &format!("; looked at again {}", time(next));
    }
    if !rotation.blockers.is_empty() {
        let rows = rotation.blockers.iter().map(|blocker| vec![blocker.name.clone(), blocker.reason.clone()]);
        text += &format!("\n{}", table(&["BLOCKER", "REASON"], &rows.collect::<Vec<_>>()));
        text += &more(usize::try_from(rotation.blocked_by).unwrap_or(0), rotation.blockers.len());
    }
    text
}

fn sites(report: &Report, now: Timestamp) -> String {
    if report.sites.is_empty() {
        return "no site attaches to a region of this authority".to_owned();
    }
    let target = report.target.map_or_else(|| "NEWEST".to_owned(), |number| format!("GENERATION {number}"));
    let head = ["SITE", "REGION", "ENDPOINTS", &target, "OLDER", "NONE", "ACKNOWLEDGED", "OFFLINE"];
    let rows: Vec<_> = report.sites.iter().map(|site| row(site, now)).collect();
    let mut text = table(&head, &rows);
    let endpoints = || report.sites.iter().flat_map(|site| &site.endpoints);
    let silent = endpoints()
        .filter(|endpoint| !endpoint.acknowledged && endpoint.certificate.as_ref().is_some_and(|held| !held.delivered));
    let foreign =
        endpoints().filter(|endpoint| endpoint.certificate.as_ref().is_some_and(|held| held.generation.is_none()));
    for (what, names) in [
        ("not acknowledged by", silent.map(|endpoint| endpoint.name.as_str()).collect::<Vec<_>>()),
        ("issued by a generation that this authority does not know", foreign.map(|e| e.name.as_str()).collect()),
    ] {
        if !names.is_empty() {
            text += &format!("{what}: {}\n", listed(&names));
        }
    }
    text
}

fn row(site: &Site, now: Timestamp) -> Vec<String> {
    let offline = site.endpoints.iter().filter_map(|endpoint| {
        let name = endpoint.name.rsplit('/').next().unwrap_or(&endpoint.name);
        match &endpoint.offline_since {
            Some(since) => Some(format!("{name} since {}{}", time(since), ago(since, now))),
            None if !endpoint.connected => Some(format!("{name} never connected")),
            None => None,
        }
    });
    let offline: Vec<String> = offline.collect();
    let name = format!("{}/{}", site.namespace, site.name);
    vec![
        if site.suspended { format!("{name} (suspended)") } else { name },
        site.region.clone(),
        site.endpoints.len().to_string(),
        site.newest.to_string(),
        site.older.to_string(),
        site.without.to_string(),
        site.acknowledged.to_string(),
        listed(&offline.iter().map(String::as_str).collect::<Vec<_>>()),
    ]
}

fn gateways(report: &Report) -> String {
    let all = report.regions.iter().flat_map(|region| &region.gateways);
    let rows = all.map(|gateway| {
        let number = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let certificates = gateway.certificates.iter();
        let certificates = certificates.map(|held| format!("{} {}", held.purpose, number(held.generation)));
        vec![
            gateway.name.trim_start_matches("gateway ").to_owned(),
            yes(gateway.attached).to_owned(),
            yes(gateway.acknowledged).to_owned(),
            certificates.collect::<Vec<_>>().join(", "),
        ]
    });
    table(&["GATEWAY", "ATTACHED", "ACKNOWLEDGED", "GENERATIONS OF ITS CERTIFICATES"], &rows.collect::<Vec<_>>())
}

fn dropped(dropped: &Dropped) -> String {
    if dropped.cut.is_empty() {
        return format!("if generation {} were dropped now, nobody would be cut", dropped.generation);
    }
    let mut text =
        format!("if generation {} were dropped now, these {} would be cut:\n", dropped.generation, dropped.cut.len());
    for cut in dropped.cut.iter().take(CUT) {
        text += &format!("  {}: {}\n", cut.name, cut.why.join("; "));
    }
    text + &more(dropped.cut.len(), CUT)
}

fn latest(report: &Report) -> String {
    let skipped = report.history.len().saturating_sub(STEPS);
    let mut text = format!("history\n{}", history(&report.history[skipped..]));
    if skipped > 0 {
        text += &format!(
            "{skipped} steps before: sallyportctl ca history {} --namespace {}\n",
            report.name, report.namespace
        );
    }
    text
}

fn listed(names: &[&str]) -> String {
    let rest = names.len().saturating_sub(NAMES);
    let shown = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    if rest == 0 { shown } else { format!("{shown} and {rest} more") }
}

fn more(all: usize, shown: usize) -> String {
    if all > shown { format!("  and {} more\n", all - shown) } else { String::new() }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

/// Enough of a digest to compare by eye.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// As it is when it is no time.
pub(crate) fn time(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), words::time)
}

fn ago(since: &str, now: Timestamp) -> String {
    let Ok(since) = since.parse::<Timestamp>() else { return String::new() };
    let hours = now.duration_since(since).as_hours();
    match hours {
        ..1 => String::new(),
        1..48 => format!(" ({hours}h)"),
        _ => format!(" ({}d)", hours / 24),
    }
}

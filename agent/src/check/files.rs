//! What can be said without the network.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect::{self, Validity};

use super::{Report, chain, renewal};
use crate::allow::Allow;
use crate::config::Config;
use crate::material::Files;

/// Renewal is due when a third of a certificate's 90 days is left; below a third of that it has failed for long.
const SOON: SignedDuration = SignedDuration::from_hours(10 * 24);

/// What the network's checks need.
pub(super) struct Ready {
    pub(super) config: Config,
    pub(super) files: Files,
    pub(super) trust: TrustBundle,
}

/// Nothing if the network's checks would mean nothing.
pub(super) fn check(path: &Path, now: Timestamp, report: &mut Report) -> Option<Ready> {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => {
            report.failed("configuration", chain(&error), "correct the file; an example is in sallyport-agent --help");
            return None;
        }
    };
    report.ok("configuration", format!("{}, gateway {}:{}", path.display(), config.gateway.host, config.gateway.port));
    allow_list(&config, report);

    let read = Files::read(&config).and_then(|files| Ok((files.leaf()?, files.trust()?, files)));
    let (leaf, trust, files) = match read {
        Ok(read) => read,
        Err(error) => {
            let remedy = "enrol (sallyport-agent enrol --help), or copy the certificate, the key and the trust file from the vendor's delivery again, readable for the agent's user";
            report.failed("certificate files", chain(&error), remedy);
            return None;
        }
    };
    report.ok("certificate files", describe(&leaf));
    key_fits(&files, &leaf, report);
    names_an_endpoint(&files, &leaf, report);
    valid_now(inspect::validity(&leaf).ok(), now, report);
    renewal::check(&config, &files, &leaf, &trust, now, report);
    Some(Ready { config, files, trust })
}

fn describe(leaf: &[u8]) -> String {
    match inspect::describe(leaf) {
        Ok(description) => description.to_string(),
        Err(error) => chain(&error),
    }
}

fn allow_list(config: &Config, report: &mut Report) {
    match Allow::load(config.allow.as_deref()) {
        (_, Some(error)) => {
            report.failed(
                "allow-list",
                error.to_string(),
                "correct the file, or remove `allow` from the configuration",
            );
        }
        (Allow::AllOffered, None) => report.ok("allow-list", "none: what the vendor's signed offer names is reached"),
        (_, None) => report.ok("allow-list", "narrows what the vendor's signed offer names"),
    }
}

fn key_fits(files: &Files, leaf: &[u8], report: &mut Report) {
    match files.key(leaf) {
        Ok(_) => report.ok("key fits certificate", "yes"),
        Err(error) => report.failed("key fits certificate", chain(&error), "copy both files from the same delivery"),
    }
}

fn names_an_endpoint(files: &Files, leaf: &[u8], report: &mut Report) {
    match files.endpoint(leaf) {
        Ok((region, endpoint)) => {
            report.ok("certificate names an endpoint", format!("endpoint {endpoint} of region {region}"));
        }
        Err(error) => {
            let remedy = "use the certificate that the vendor delivered for this site";
            report.failed("certificate names an endpoint", chain(&error), remedy);
        }
    }
}

fn valid_now(validity: Option<Validity>, now: Timestamp, report: &mut Report) {
    const NAME: &str = "certificate valid now";
    let Some(Validity { not_before, not_after }) = validity else {
        return report.failed(NAME, "its dates cannot be read", "ask the vendor for a new certificate");
    };
    if now < not_before {
        let seen = format!("only from {not_before}, and this host's clock says {now}");
        return report.failed(NAME, seen, "the clock of this host is probably wrong: set it, best by NTP");
    }
    if now > not_after {
        let seen = format!("until {not_after}, and this host's clock says {now}");
        let remedy = "enrol again with a new token of the vendor's; if the date above is wrong, set this host's clock";
        return report.failed(NAME, seen, remedy);
    }
    let left = not_after.duration_since(now);
    let seen = format!("until {not_after}, for {} more days", left.as_hours() / 24);
    match left < SOON {
        true => report.warning(NAME, seen, "see \"certificate renewal\"; it has to be replaced before that day"),
        false => report.ok(NAME, seen),
    }
}

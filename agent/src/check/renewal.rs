//! Whether this agent will have a certificate, and the right trust, next year.

use jiff::Timestamp;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;

use super::{Report, chain};
use crate::config::Config;
use crate::material::Files;
use crate::pair::{self, Pair};
use crate::renew::when;
use crate::trust::{self, Announcements, Judge, Taken};

pub(super) fn check(
    config: &Config,
    files: &Files,
    leaf: &[u8],
    trust: &TrustBundle,
    now: Timestamp,
    report: &mut Report,
) {
    certificate(config, leaf, trust, now, report);
    let taken = files.endpoint(leaf).ok().and_then(|(region, _)| {
        Announcements::load(&config.state_directory, Judge { trust, region: &region, now }).taken()
    });
    trusted(config, trust, taken.as_ref(), report);
}

fn certificate(config: &Config, leaf: &[u8], trust: &TrustBundle, now: Timestamp, report: &mut Report) {
    const NAME: &str = "certificate renewal";
    let (Ok(description), Ok(validity)) = (inspect::describe(leaf), inspect::validity(leaf)) else {
        return report.failed(NAME, "the certificate cannot be read", "ask the vendor for a new certificate");
    };
    let issuer = match trust.issuer_of(leaf) {
        Some(fingerprint) => format!("issued by {} (sha256 {fingerprint})", description.issuer),
        None => {
            let seen = format!("issued by {}, which the trust file does not hold", description.issuer);
            let remedy = "the region may have changed its CA while this agent was away: enrol again with a new token of the vendor's";
            return report.warning(NAME, seen, remedy);
        }
    };
    if !config.renew {
        return report.ok(NAME, format!("{issuer}; not renewed by the agent (`renew: false`)"));
    }
    let pair = Pair { certificate: &config.certificate, key: &config.key };
    let (from, to) = (when::regular(validity, 1.0), when::regular(validity, 0.0));
    let seen = match now > to {
        true => format!("{issuer}; due since {from}"),
        false => format!("{issuer}; renewed between {from} and {to}"),
    };
    match pair.is_writable() {
        Err(error) => report.warning(NAME, seen, chain(&error)),
        Ok(()) if now > to => {
            let remedy = "it should have been renewed: see what the running agent logs (journalctl -u sallyport-agent)";
            report.warning(NAME, seen, remedy);
        }
        Ok(()) => report.ok(NAME, format!("{seen}; the files are writable for the user who runs this check")),
    }
}

fn trusted(config: &Config, trust: &TrustBundle, taken: Option<&Taken>, report: &mut Report) {
    const NAME: &str = "trust";
    let held = format!("{} certificate authorities, digest {}", trust.len(), trust.digest());
    let announced = match trust::newest(&config.state_directory) {
        Ok(Some(sequence)) => format!("announcement {sequence} was taken"),
        Ok(None) => "no announcement was taken yet".to_owned(),
        Err(error) => {
            let remedy = "make the file readable for this user; if it is damaged, enrol again";
            return report.failed(NAME, format!("{held}; {}", chain(&error)), remedy);
        }
    };
    let seen = format!("{held}; {announced}");
    if let Some(taken) = taken
        && taken.digest != trust.digest()
    {
        let seen = format!("{seen}, of a bundle with digest {}", taken.digest);
        let remedy = "the trust file was changed since, and is used until the next announcement; if nobody meant it, enrol again, or put the announced bundle back";
        return report.warning(NAME, seen, remedy);
    }
    match pair::folder_is_writable(&config.trust) {
        Ok(()) => report.ok(NAME, seen),
        Err(error) => report.warning(NAME, seen, chain(&error)),
    }
}

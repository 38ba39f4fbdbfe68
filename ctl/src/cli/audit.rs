//! The audit's commands. Three kinds of people call them: auditors with their certificate at the inner door, the platform
//! team with a kubeconfig, and whoever holds an export and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sallyport_audit::tlog::note::{KeyName, VerifierKey};
use sallyport_core::engineer::{Reason, UserId};
use sallyport_core::name::{DeviceId, SiteId};

use super::Format;
use super::platform::{Kube, Wait};

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Fetch a site's records of a span of time with the proof that they are all, and verify them
    #[command(after_help = "\
Examples:
  sallyportctl audit export --site site-lyon/hospices-rhone --from 2026-11-01 --to 2026-12-01 \\
      --verifier 'sallyport.dev/dmz/frankfurt+1f0c5a3e+AZk...' november
      november/report.html is for reading, records.csv for spreadsheets; hand over the whole folder
  sallyportctl audit export --from 2026-11-24 --to 2026-11-25 region-records
      the region's own records

The export is recorded in the site's log, where the customer sees it. Without --verifier it is
fetched and not verified; the platform team sees the key with `audit key`.")]
    Export(Export),
    /// Show records, of one site or the region's own
    #[command(after_help = "\
Examples:
  sallyportctl audit records --site site-lyon/hospices-rhone --from 2026-11-24
  sallyportctl audit records --site site-lyon/hospices-rhone --incident 4711 -o jsonl | jq .event
  sallyportctl audit records --site site-lyon/hospices-rhone --engineer anna@vendor.example --limit 20

Each reading is recorded in the site's log, where the customer sees it.")]
    Records(Records),
    /// Print the digest by which a person's records are found without naming them
    #[command(after_help = "Examples:\n  sallyportctl audit subject anna@vendor.example")]
    Subject {
        /// The user id
        user: UserId,
    },
    /// Check an export without a network: nothing missing, nothing changed, nothing invented
    #[command(after_help = "\
Examples:
  sallyportctl audit verify november --key 'sallyport.dev/dmz/frankfurt+1f0c5a3e+AZk...'
  sallyportctl audit verify november --key \"$KEY\" --witness \"$WITNESS\" --known webhook.json
      the logs must be cosigned by the witness, and contain what the webhook delivered before

KEY is the region's verifier key that you were given when your site was connected; never take it
from the export itself. Exit code 0: verified; 8: something does not hold, and is named.")]
    Verify(Verify),
    /// Be a witness: countersign the logs' checkpoints, so that nobody can be shown another history
    #[command(after_help = "\
Examples:
  sallyportctl audit witness --listen 0.0.0.0:8451 --state /var/lib/witness \\
      --name witness.hospital.example --region 'sallyport.dev/dmz/frankfurt+1f0c5a3e+AZk...' \\
      --tls-cert tls.pem --tls-key tls.key
      makes a key at its first start and prints its verifier key: give that line and the address
      to the vendor's platform team, who write them to spec.audit.witnesses of the region
  sallyportctl audit witness --once november --state /var/lib/witness --region \"$KEY\"
      without a network: cosigns the checkpoints of an export, of a request or of a mail, and
      prints them to be sent back

The state is the witness' memory: keep it on a disk that survives, and never run two with one.")]
    Witness(Witness),
    #[command(flatten)]
    Cluster(AuditCluster),
}

/// The platform team's part.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCluster {
    /// Platform team: erase who a person was from all records of a region; it cannot be undone
    #[command(after_help = "\
Examples:
  sallyportctl audit erase anna@vendor.example frankfurt -n dmz-frankfurt \\
      --legal-basis 'GDPR article 17, request 2026-118' --wait

The keys of the person are destroyed in the archive; the records stay and still prove
themselves. Exports that were handed out before are not reached. Asks first.")]
    Erase {
        /// The person's user id; only its digest is written to the cluster
        user: UserId,
        /// The DmzRegion
        region: String,
        /// By what law or whose decision, for the record; it must not name the person
        #[arg(long, value_name = "TEXT")]
        legal_basis: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        wait: Wait<10>,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: print a region's verifier key, by which customers check every export
    #[command(after_help = "Examples:\n  sallyportctl audit key frankfurt -n dmz-frankfurt")]
    Key {
        /// The DmzRegion
        region: String,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: show how far each gateway's records are archived, and whether all is well
    #[command(after_help = "Examples:\n  sallyportctl audit status frankfurt -n dmz-frankfurt")]
    Status {
        /// The DmzRegion
        region: String,
        #[command(flatten)]
        kube: Kube,
    },
}

impl AuditCluster {
    pub(crate) fn kube_mut(&mut self) -> &mut Kube {
        match self {
            Self::Erase { kube, .. } | Self::Key { kube, .. } | Self::Status { kube, .. } => kube,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Folder to write to; it must be empty or not be there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The CustomerSite, NAMESPACE/NAME [default: the region's own records]
    #[arg(long, value_name = "NS/NAME")]
    pub site: Option<SiteId>,
    /// The first time, a date (UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Timestamp,
    /// The end, which does not belong to it
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Timestamp,
    /// The region's verifier key; several if it ever had another
    #[arg(long, value_name = "VERIFIER")]
    pub verifier: Vec<VerifierKey>,
}

#[derive(Args, Debug)]
pub(crate) struct Records {
    /// The CustomerSite, NAMESPACE/NAME [default: the region's own records]
    #[arg(long, value_name = "NS/NAME")]
    pub site: Option<SiteId>,
    /// The first time, a date (UTC) or RFC 3339 [default: the oldest record]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Timestamp>,
    /// The end, which does not belong to it [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
    /// Only of this engineer, by user id
    #[arg(long, value_name = "USER")]
    pub engineer: Option<UserId>,
    /// Only of this device, NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME")]
    pub device: Option<DeviceId>,
    /// Only of this incident
    #[arg(long, value_name = "NUMBER")]
    pub incident: Option<Reason>,
    /// At most so many, the oldest first
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    // An id of its own: the engineers' option has other values.
    /// Print a table for people, or each record as a line of JSON [default: table]
    #[arg(id = "records-output", long = "output", short = 'o', value_enum, value_name = "FORMAT")]
    pub output: Option<RecordsFormat>,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordsFormat {
    Table,
    Jsonl,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The export's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The region's verifier key; several if it ever had another
    // An id of its own: the engineers' option of this name is a file.
    #[arg(id = "verifier-key", long = "key", value_name = "VERIFIER", required = true)]
    pub key: Vec<VerifierKey>,
    /// A witness who must have cosigned every log
    #[arg(long, value_name = "VERIFIER")]
    pub witness: Vec<VerifierKey>,
    /// Checkpoints from before: what the webhook delivered, a log's file `checkpoint`, or an earlier export's folder
    #[arg(long, value_name = "FILE")]
    pub known: Vec<PathBuf>,
    /// Print for people, or everything for programs [default: table]
    #[arg(id = "verify-output", long = "output", short = 'o', value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Witness {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", required_unless_present = "once")]
    pub listen: Option<SocketAddr>,
    /// Folder of its key and its memory; made at the first start
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Verifier key of a region whose logs it cosigns
    #[arg(long, value_name = "VERIFIER", required = true)]
    pub region: Vec<VerifierKey>,
    /// Name of its key, to be chosen at the first start [default: one made of the key]
    #[arg(long, value_name = "NAME")]
    pub name: Option<KeyName>,
    /// TLS certificate (PEM); without it the witness speaks plain HTTP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Cosign what is in this file, or in this export's folder, print it and end
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "tls_cert"])]
    pub once: Option<PathBuf>,
}

/// A time: RFC 3339, or a date, which is its midnight in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    // A date alone first: what has a time of day must say its zone.
    let date_only = text.len() == 10;
    let parsed = if date_only { midnight() } else { text.parse().ok() };
    parsed.ok_or_else(|| "write a date as 2026-11-24 (UTC), or a time as 2026-11-24T15:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_rfc_3339() {
        assert_eq!(time("2026-11-24").unwrap(), "2026-11-24T00:00:00Z".parse().unwrap());
        assert_eq!(time("2026-11-24T15:00:00+01:00").unwrap(), "2026-11-24T14:00:00Z".parse().unwrap());
        for wrong in ["", "24.11.2026", "2026-11-24T15:00", "2026-13-01", "yesterday", "2026-11-2"] {
            assert!(time(wrong).unwrap_err().contains("2026-11-24T15:00:00Z"), "{wrong}");
        }
    }
}

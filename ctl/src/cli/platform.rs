//! The platform team's commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sallyport_api::span::Span;
use sallyport_api::tunnel_certificate::RevocationReason;

use super::Format;

/// How they reach the cluster.
// Ids of their own: clap passes a global argument's value on by its id, also that of the engineers' option before the
// command, and so SALLYPORT_CONTEXT.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of the platform team's commands")]
pub(crate) struct Kube {
    /// kubeconfig [default: $KUBECONFIG, ~/.kube/config, or in a pod its service account]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(id = "kube-context", long = "context", global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace [default: the context's]
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Print a table for people, or everything for programs [default: table]
    #[arg(id = "kube-output", long = "output", short = 'o', global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Waiting for what the operator makes of it.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Wait<const MINUTES: u64> {
    /// Stay until it is done, and say how it went
    #[arg(long)]
    wait: bool,
    /// Exit code 7 after this long; what was asked for goes on
    #[arg(long, value_name = "LENGTH", value_parser = length, requires = "wait")]
    timeout: Option<Duration>,
}

impl<const MINUTES: u64> Wait<MINUTES> {
    /// For how long to wait; nothing: not at all.
    pub(crate) fn within(&self) -> Option<Duration> {
        self.within_or(Duration::from_secs(MINUTES * 60))
    }

    /// The same, with another default.
    pub(crate) fn within_or(&self, default: Duration) -> Option<Duration> {
        self.wait.then(|| self.timeout.unwrap_or(default))
    }
}

/// `spec.rotateRequest.dropWithin`, when it is not given.
const EMERGENCY: Duration = Duration::from_secs(3600);
const AFTER_DEADLINE: Duration = Duration::from_secs(1800);

fn length(text: &str) -> Result<Duration, sallyport_api::span::SpanError> {
    text.parse::<Span>().map(|span| span.length())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Platform {
    /// Platform team: certificate authorities, their rotation, and who would be cut
    Ca {
        #[command(subcommand)]
        command: Ca,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: revoke certificates
    Certificate {
        #[command(subcommand)]
        command: Certificate,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: one-time tokens with which sites enrol
    Enrol {
        #[command(subcommand)]
        command: Enrol,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: give a suspended site or device its access back
    #[command(after_help = "\
Examples:
  sallyportctl resume site lyon --namespace site-lyon
  sallyportctl resume device ct-scanner --namespace site-lyon --wait")]
    Resume {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: cut a site or a device at once, until it is resumed
    #[command(after_help = "\
Examples:
  sallyportctl suspend site lyon --namespace site-lyon --wait
      cuts every tunnel and session of the site, and says how long that took
  sallyportctl suspend device ct-scanner --namespace site-lyon")]
    Suspend {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        kube: Kube,
    },
    /// Platform team: keep a context's trust file up with its region's authority
    Trust {
        #[command(subcommand)]
        command: Trust,
        #[command(flatten)]
        kube: Kube,
    },
}

impl Platform {
    pub(crate) fn kube_mut(&mut self) -> &mut Kube {
        match self {
            Self::Ca { kube, .. }
            | Self::Certificate { kube, .. }
            | Self::Enrol { kube, .. }
            | Self::Resume { kube, .. }
            | Self::Suspend { kube, .. }
            | Self::Trust { kube, .. } => kube,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Show what happened to an authority's generations
    #[command(after_help = "Examples:\n  sallyportctl ca history frankfurt --namespace dmz-frankfurt")]
    History {
        /// The CertificateAuthority
        name: String,
    },
    /// Let rotations go on without a peer: an endpoint then comes back only by enrolling again
    #[command(after_help = "\
Examples:
  sallyportctl ca lost frankfurt site-lyon/lyon --reason 'router destroyed' -n dmz-frankfurt
  sallyportctl ca lost frankfurt 'gateway dmz-frankfurt/frankfurt-gateway-1' --reason 'node destroyed' -n dmz-frankfurt
  sallyportctl ca lost frankfurt site-lyon/lyon --undo -n dmz-frankfurt
      the next rotation waits for it again; if one went on without it, enrol it again")]
    Lost {
        /// The CertificateAuthority
        name: String,
        /// NAMESPACE/NAME of a TunnelEndpoint, 'gateway NAMESPACE/POD' or 'bootstrap NAMESPACE/REGION'
        peer: String,
        /// Why, for status, events and the audit
        #[arg(long, short, value_name = "TEXT", required_unless_present = "undo")]
        reason: Option<String>,
        /// Take it back
        #[arg(long, conflicts_with = "reason")]
        undo: bool,
    },
    /// Make a new generation, wait for the fleet to trust it, let it sign, and drop the old ones
    #[command(after_help = "\
Examples:
  sallyportctl ca rotate frankfurt --reason 'yearly exercise' -n dmz-frankfurt --wait
  sallyportctl ca rotate frankfurt --reason 'key leaked' --emergency --drop-within 1h --wait
      whoever has no new certificate after an hour is cut; asks first, and reports who was cut

With --wait, exit code 0: the new generation signs and the old ones are removed; 6: another
rotation overtook it; 7: it is not done within --timeout (30m; in an emergency, its deadline and 30m) and goes on.")]
    Rotate(Rotate),
    /// Show generations, the rotation under way, each site's progress, and whom dropping a generation would cut
    #[command(after_help = "\
Examples:
  sallyportctl ca status --namespace dmz-frankfurt
  sallyportctl ca status frankfurt -n dmz-frankfurt -o json | jq '.authorities[0].ifDropped'")]
    Status {
        /// The CertificateAuthority [default: all of the namespace]
        name: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// The CertificateAuthority
    pub name: String,
    /// Why, for status, events and the audit
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// A key leaked: renew everything at once and drop the old generations by a deadline, whoever still needs them
    #[arg(long)]
    pub emergency: bool,
    /// The deadline of an emergency, from the making of its generation; 1m to 30d [default: 1h]
    #[arg(long, value_name = "LENGTH", requires = "emergency")]
    pub drop_within: Option<Span>,
    /// Do not ask before an emergency
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: Wait<30>,
}

impl Rotate {
    /// For how long to wait. An emergency is over at its deadline, so without a `--timeout` that is waited for, and half an
    /// hour for what follows it.
    pub(crate) fn within(&self) -> Option<Duration> {
        let deadline = self.drop_within.as_ref().map_or(EMERGENCY, Span::length);
        if self.emergency { self.wait.within_or(deadline + AFTER_DEADLINE) } else { self.wait.within() }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Revoke everything that was issued for a TunnelCertificate, at once and for good
    #[command(after_help = "\
Examples:
  sallyportctl certificate revoke lyon -n site-lyon --reason key-compromise --wait
      its tunnels are cut and it is refused from then on; says how long that took

To let the endpoint back in, create a new TunnelCertificate and enrol.")]
    Revoke {
        /// The TunnelCertificate
        name: String,
        /// Why (RFC 5280, section 5.3.1)
        #[arg(long, short, value_enum)]
        reason: Reason,
        /// In words, for status and events
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        wait: Wait<2>,
    },
}

/// `sallyport_api`'s, as a command line spells it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Reason {
    #[value(alias = "affiliationChanged")]
    AffiliationChanged,
    #[value(alias = "cessationOfOperation")]
    CessationOfOperation,
    #[value(alias = "keyCompromise")]
    KeyCompromise,
    #[value(alias = "privilegeWithdrawn")]
    PrivilegeWithdrawn,
    Superseded,
    Unspecified,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            Reason::Superseded => Self::Superseded,
            Reason::Unspecified => Self::Unspecified,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Enrol {
    /// Make a one-time token; it is printed once, and the cluster keeps only its hash
    #[command(after_help = "\
Examples:
  sallyportctl enrol token lyon --namespace site-lyon
      prints the token, and on standard error the command for the site's host
  sallyportctl enrol token lyon --namespace site-lyon --valid-for 15m > token

A new token replaces the one before. It is used up by the first certificate that is issued for it.")]
    Token {
        /// The TunnelEndpoint that shall enrol: NAME, or NAMESPACE/NAME
        endpoint: String,
        /// How long it can be used; at most 7d
        #[arg(long, value_name = "LENGTH", default_value = "1h")]
        valid_for: Span,
        /// The TunnelCertificate to enrol for [default: the endpoint's only one that is not delivered in a Secret]
        #[arg(long, value_name = "NAME")]
        certificate: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Target {
    /// What it is
    #[arg(value_enum)]
    pub kind: TargetKind,
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub wait: Wait<2>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    Device,
    Site,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Write an authority's current trust bundle to a context's trust file
    #[command(after_help = "\
Examples:
  sallyportctl trust update --from-cluster frankfurt --namespace dmz-frankfurt
  sallyportctl trust update osaka --from-cluster osaka --namespace dmz-osaka

During a rotation the bundle holds the old and the new generation, so a file that was updated
while one was under way does not break at its end. A file that holds any other certificate is
left alone. Engineers without a kubeconfig are handed the file.")]
    Update {
        /// Context of sallyportctl's configuration file, as `config view` lists them [default: the current one]
        #[arg(value_name = "CONTEXT")]
        engineers_context: Option<String>,
        /// The CertificateAuthority of the context's region
        #[arg(long, value_name = "NAME")]
        from_cluster: String,
        /// Configuration file [default: ~/.config/sallyport/config.yaml]
        #[arg(long, env = "SALLYPORT_CONFIG", hide_env_values = true, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

//! What an enrolment tells: how it ended, and why it takes long.

use std::fmt;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sallyport_core::name::{EndpointId, RegionId};

/// The certificate is issued and has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When it begins, by this host's clock.
    pub until: Timestamp,
    /// By how much the region's clock is ahead of this host's.
    pub ahead: SignedDuration,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until, ahead } = self;
        let seconds = ahead.as_secs();
        write!(
            f,
            "the certificate is issued and kept, and begins at {until}: the region's clock is ahead of this host's by {} min {} s. Waiting until then; set this host's clock, best by NTP, and it is shorter",
            seconds / 60,
            seconds % 60
        )
    }
}

/// What the certificate was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The token of an earlier run, whose certificate could not be used then.
    Earlier,
    /// The token of this run.
    Token,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Of which region.
    pub region: RegionId,
    /// End of the certificate.
    pub not_after: Timestamp,
    /// How many CAs are trusted.
    pub authorities: usize,
    /// Where key, certificate and trust are.
    pub files: [PathBuf; 3],
    /// What the certificate was issued for.
    pub right: Right,
    /// Whether the agent renews it by itself.
    pub renew: bool,
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, not_after, authorities, files, right, renew } = self;
        let [key, certificate, trust] = files.each_ref().map(|path| path.display());
        writeln!(f, "enrolled endpoint {endpoint} of region {region}, until {not_after}")?;
        writeln!(f, "  key          {key} (made here, 0600; it never left this host)")?;
        writeln!(f, "  certificate  {certificate}")?;
        writeln!(f, "  trust        {trust} ({authorities} certificate authorities)")?;
        match right {
            Right::Earlier => {
                writeln!(f, "the certificate is one that an earlier run was issued; the token was not sent")?;
            }
            Right::Token => writeln!(f, "the token is used up")?,
        }
        if *renew {
            writeln!(f, "the agent renews the certificate by itself at two thirds of its life")?;
        } else {
            writeln!(f, "`renew: false` is configured: somebody has to replace the certificate before it ends")?;
        }
        writeln!(f, "next: sallyport-agent check && systemctl enable --now sallyport-agent")
    }
}

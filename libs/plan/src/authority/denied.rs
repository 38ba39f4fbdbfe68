//! Certificates that are revoked and on no list, because nobody can sign the list of their generation: its key is lost, or
//! cannot be reached. Gateways refuse them by name, and the ConfigMap remembers them until a list has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sallyport_api::tunnel_certificate::RevocationReason;
use sallyport_pki::revocation::RevocationList;

use super::lists::{LONGEST_LIFE, Wanted};
use crate::revocation::RevokedCertificate;

/// The longest serial number (RFC 5280 section 4.1.2.2), in hexadecimal.
const LONGEST_SERIAL: usize = 40;
/// SHA-256 in hexadecimal.
const FINGERPRINT: usize = 64;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// Fingerprint of the generation that issued it: SHA-256 in lower-case hexadecimal.
    pub issuer: String,
    /// Its serial number, in lower-case hexadecimal.
    pub serial: String,
    /// Its end. A day later it needs to be refused no more.
    pub not_after: Timestamp,
}

impl Denied {
    /// As gateways are told: `FINGERPRINT:SERIAL`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.issuer, self.serial)
    }
}

/// As the ConfigMap has it: `FINGERPRINT:SERIAL END`, the end by RFC 3339.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.issuer, self.serial, self.not_after)
    }
}

impl FromStr for Denied {
    type Err = NotDenied;

    fn from_str(line: &str) -> Result<Self, NotDenied> {
        let (name, end) = line.split_once(' ').ok_or(NotDenied)?;
        let (issuer, serial) = name.split_once(':').ok_or(NotDenied)?;
        let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if issuer.len() != FINGERPRINT || !(1..=LONGEST_SERIAL).contains(&serial.len()) {
            return Err(NotDenied);
        }
        if !is_hex(issuer) || !is_hex(serial) {
            return Err(NotDenied);
        }
        let not_after = end.trim().parse().map_err(|_| NotDenied)?;
        Ok(Self { issuer: issuer.to_owned(), serial: serial.to_owned(), not_after })
    }
}

/// A line that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no line `FINGERPRINT:SERIAL END`")]
pub struct NotDenied;

/// What was denied before and belongs on the list of this generation now, if that can be signed.
pub fn as_revoked(
    denied: &BTreeSet<Denied>,
    issuer: &str,
    issuer_generation: u32,
    now: Timestamp,
) -> Vec<RevokedCertificate> {
    let mine = denied.iter().filter(|one| one.issuer == issuer);
    let revoked = mine.map(|one| RevokedCertificate {
        serial: one.serial.clone(),
        issuer_generation,
        not_after: one.not_after,
        reason: RevocationReason::Unspecified,
        at: now,
    });
    revoked.collect()
}

/// What a list that cannot be signed would have had beyond the last one. `ends` says when certificates end that objects
/// still know, `revoked` when those end that are revoked; of another nobody knows more than how long one can live.
pub fn unlisted(
    issuer: &str,
    wanted: &Wanted,
    last: Option<&RevocationList>,
    revoked: &[RevokedCertificate],
    ends: &BTreeMap<String, Timestamp>,
) -> BTreeSet<Denied> {
    let known: BTreeMap<_, _> = revoked.iter().map(|one| (&one.serial, one.not_after)).collect();
    let missing = wanted.entries.iter().filter(|entry| !last.is_some_and(|last| last.revokes(&entry.serial_hex)));
    let denied = missing.map(|entry| {
        let longest = || entry.at.saturating_add(LONGEST_LIFE).unwrap_or(Timestamp::MAX);
        let end = known.get(&entry.serial_hex).or_else(|| ends.get(&entry.serial_hex)).copied();
        Denied { issuer: issuer.to_owned(), serial: entry.serial_hex.clone(), not_after: end.unwrap_or_else(longest) }
    });
    denied.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn denied(serial: &str) -> Denied {
        Denied { issuer: "ab".repeat(32), serial: serial.into(), not_after: at(100) }
    }

    #[test]
    fn a_line_is_read_back_and_nothing_else_is_a_line() {
        let one = denied("4a");
        assert_eq!(one.to_string().parse(), Ok(one.clone()));
        assert_eq!(one.name(), format!("{}:4a", "ab".repeat(32)));
        let fingerprint = "ab".repeat(32);
        for line in [
            String::new(),
            format!("{fingerprint}:4a"),
            format!("{fingerprint}:4a soon"),
            format!("{fingerprint}: 2027-01-15T08:00:00Z"),
            format!("{fingerprint}:4A 2027-01-15T08:00:00Z"),
            format!("{fingerprint}:{} 2027-01-15T08:00:00Z", "4".repeat(41)),
            "ab:4a 2027-01-15T08:00:00Z".to_owned(),
        ] {
            assert_eq!(line.parse::<Denied>(), Err(NotDenied), "{line:?}");
        }
    }
}

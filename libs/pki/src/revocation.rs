//! What a CA has revoked: certificate revocation lists (RFC 5280 section 5), read. [`crate::authority::Authority`] signs
//! them; TLS enforces them.

use jiff::Timestamp;
use rcgen::RevocationReason;
use webpki::BorrowedCertRevocationList;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::bundle::TrustBundle;
use crate::inspect;

/// A larger list is refused unread. An entry takes about 50 bytes, so this is more than 300 000 of them.
pub const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// One certificate that counts no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number, as [`inspect::serial_hex`] writes it.
    pub serial_hex: String,
    /// Since when, in whole seconds.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate is revoked (RFC 5280 section 5.3.1), in so far as it is final and about leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its holder belongs to somebody else now.
    AffiliationChanged,
    /// Its holder is out of service.
    CessationOfOperation,
    /// Somebody else may have the key.
    KeyCompromise,
    /// The right to it was withdrawn.
    PrivilegeWithdrawn,
    /// Replaced by another certificate.
    Superseded,
    /// None of the others. It is written as no reason at all.
    Unspecified,
}

impl Reason {
    pub(crate) fn code(self) -> RevocationReason {
        match self {
            Self::AffiliationChanged => RevocationReason::AffiliationChanged,
            Self::CessationOfOperation => RevocationReason::CessationOfOperation,
            Self::KeyCompromise => RevocationReason::KeyCompromise,
            Self::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
            Self::Superseded => RevocationReason::Superseded,
            Self::Unspecified => RevocationReason::Unspecified,
        }
    }

    /// What is not final or not about leaves was written by somebody else, and is as good as unspecified.
    fn read(code: Option<webpki::RevocationReason>) -> Self {
        use webpki::RevocationReason as Code;
        match code {
            Some(Code::AffiliationChanged) => Self::AffiliationChanged,
            Some(Code::CessationOfOperation) => Self::CessationOfOperation,
            Some(Code::KeyCompromise) => Self::KeyCompromise,
            Some(Code::PrivilegeWithdrawn) => Self::PrivilegeWithdrawn,
            Some(Code::Superseded) => Self::Superseded,
            _ => Self::Unspecified,
        }
    }
}

/// A list, read. Its signature counts only after [`RevocationList::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    entries: Vec<Revocation>,
}

impl RevocationList {
    /// Reads one complete list, DER.
    ///
    /// # Errors
    /// [`ListRefused::TooLarge`] and [`ListRefused::Unreadable`], also for delta, partial and indirect lists, for unknown
    /// critical extensions, and for a list without number or end; hostile bytes never panic.
    pub fn parse(der: &[u8]) -> Result<Self, ListRefused> {
        if der.len() > MAX_LIST_BYTES {
            return Err(ListRefused::TooLarge);
        }
        let entries = entries(der).ok_or(ListRefused::Unreadable)?;
        let list = parse(der)?;
        // Critical would be a delta, or a list for some certificates only: neither says who else is revoked.
        if list.extensions().iter().any(|extension| extension.critical) {
            return Err(ListRefused::Unreadable);
        }
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok()).ok_or(ListRefused::Unreadable)?;
        let next_update = list.next_update().ok_or(ListRefused::Unreadable)?;
        Ok(Self {
            der: der.to_vec(),
            number,
            this_update: instant(list.last_update()).ok_or(ListRefused::Unreadable)?,
            next_update: instant(next_update).ok_or(ListRefused::Unreadable)?,
            entries,
        })
    }

    /// The CA of the bundle that signed it: the SHA-256 fingerprint of its certificate, in hex.
    ///
    /// # Errors
    /// [`ListRefused::Untrusted`] when none of them did, or its certificate does not let it sign lists.
    pub fn verify(&self, trust: &TrustBundle) -> Result<String, ListRefused> {
        let list = parse(&self.der)?;
        let signed = trust.certificates().find(|der| {
            inspect::parse(der).is_ok_and(|authority| {
                let may_sign = authority.key_usage().is_ok_and(|usage| usage.is_none_or(|u| u.value.crl_sign()));
                may_sign
                    && authority.subject().as_raw() == list.issuer().as_raw()
                    && list.verify_signature(authority.public_key()).is_ok()
            })
        });
        signed.map(|der| inspect::fingerprint(&der)).ok_or(ListRefused::Untrusted)
    }

    /// The list itself, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Rises with every list of its CA.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was signed.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// From here on it says nothing any more, and whoever needs it is refused.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// What it revokes, in its order.
    pub fn entries(&self) -> &[Revocation] {
        &self.entries
    }

    /// Whether it revokes a serial number, as [`inspect::serial_hex`] writes it.
    pub fn revokes(&self, serial_hex: &str) -> bool {
        self.entries.iter().any(|entry| entry.serial_hex == serial_hex)
    }
}

/// webpki's reader: it is the one that TLS uses, so both see the same entries.
fn entries(der: &[u8]) -> Option<Vec<Revocation>> {
    let list = BorrowedCertRevocationList::from_der(der).ok()?;
    let read = |entry: webpki::BorrowedRevokedCert<'_>| {
        let at = i64::try_from(entry.revocation_date.as_secs()).ok()?;
        let serial = entry.serial_number;
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Some(Revocation {
            serial_hex: crate::hex::encode(&serial[zeros..]),
            at: Timestamp::from_second(at).ok()?,
            reason: Reason::read(entry.reason_code),
        })
    };
    list.into_iter().map(|entry| read(entry.ok()?)).collect()
}

fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, ListRefused> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) | Err(_) => Err(ListRefused::Unreadable),
    }
}

fn instant(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}

/// Why a revocation list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// See [`MAX_LIST_BYTES`].
    #[error("revocation list is larger than {MAX_LIST_BYTES} bytes")]
    TooLarge,
    /// Nobody who is trusted signed it.
    #[error("revocation list is not signed by a trusted certificate authority")]
    Untrusted,
    /// Not one complete list of the kind that is enforced.
    #[error("revocation list is not a complete X.509 list with number and next update, in DER")]
    Unreadable,
}

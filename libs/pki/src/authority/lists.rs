//! Signing what a generation has revoked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use super::{Authority, ListError, date};
use crate::inspect;
use crate::revocation::Revocation;

/// A longer serial number is none (RFC 5280 section 4.1.2.2).
const MAX_SERIAL_BYTES: usize = 20;

impl Authority {
    /// The list of what this generation has revoked (RFC 5280 section 5), DER. A serial that is named several times
    /// counts with its earliest date. `number` must rise with every list of this generation.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn revocation_list(
        &self,
        revoked: &[Revocation],
        number: u64,
        this_update: Timestamp,
        next_update: Timestamp,
    ) -> Result<Vec<u8>, ListError> {
        let mut entries: BTreeMap<Vec<u8>, &Revocation> = BTreeMap::new();
        for revocation in revoked {
            let serial = serial(&revocation.serial_hex)?;
            let first = entries.entry(serial).or_insert(revocation);
            if revocation.at < first.at {
                *first = revocation;
            }
        }
        let revoked_certs: Option<Vec<_>> = entries.into_iter().map(|(serial, known)| entry(serial, known)).collect();
        let params = CertificateRevocationListParams {
            this_update: date(this_update).ok_or(ListError::Period)?.to_datetime(),
            next_update: date(next_update).ok_or(ListError::Period)?.to_datetime(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.ok_or(ListError::Period)?,
            key_identifier_method: self.key_identifier(),
        };
        if next_update.as_second() <= this_update.as_second() {
            return Err(ListError::Period);
        }
        let issuer = self.issuer().map_err(|_| ListError::Sign)?;
        Ok(params.signed_by(&issuer).map_err(|_| ListError::Sign)?.der().to_vec())
    }

    /// The one that the CA's certificate gives itself: leaves and lists must name the same.
    fn key_identifier(&self) -> KeyIdMethod {
        inspect::subject_key_identifier(&self.der).map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
    }
}

fn entry(serial: Vec<u8>, revocation: &Revocation) -> Option<RevokedCertParams> {
    Some(RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date(revocation.at)?.to_datetime(),
        reason_code: Some(revocation.reason.code()),
        invalidity_date: None,
    })
}

/// Without leading zeros, so that the same number is the same bytes.
fn serial(hex: &str) -> Result<Vec<u8>, ListError> {
    let refused = || ListError::Serial { serial: hex.chars().take(64).collect() };
    let bytes = crate::hex::decode(hex).ok_or_else(refused)?;
    let significant = bytes.iter().position(|byte| *byte != 0).ok_or_else(refused)?;
    let number = &bytes[significant..];
    // A first byte with its highest bit set needs a zero in front of it to stay positive.
    let written = number.len() + usize::from(number[0] >> 7);
    if written > MAX_SERIAL_BYTES { Err(refused()) } else { Ok(number.to_vec()) }
}

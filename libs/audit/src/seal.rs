//! Sealing a person: AES-256-GCM, bound to the place in the log, so that it cannot be moved to another record.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::person::{Person, PersonKey, Sealed, SealedData};
use crate::scope::Origin;

/// Random bytes for one sealing. Never used twice with one key: 12 random bytes, and a key seals far fewer than 2^32
/// records (one person, one log, one year).
pub type SealNonce = [u8; NONCE_LEN];

/// The plaintext's length is a multiple of this, so that the length tells little.
const BLOCK: usize = 64;

/// Seals a person for the record `index` of a log.
///
/// # Errors
/// See [`SealError::Unsealable`].
pub fn seal(
    person: &Person,
    key: &PersonKey,
    origin: &Origin,
    index: u64,
    nonce: SealNonce,
) -> Result<Sealed, SealError> {
    let mut text = serde_json::to_vec(person).map_err(|_| SealError::Unsealable)?;
    text.resize(text.len().next_multiple_of(BLOCK), b' ');
    let place = Aad::from(place(origin, index));
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    cipher(key)?.seal_in_place_append_tag(nonce_used, place, &mut text).map_err(|_| SealError::Unsealable)?;
    let data = SealedData::new([nonce.as_slice(), &text].concat()).ok_or(SealError::Unsealable)?;
    Ok(Sealed { key: key.id(), data })
}

/// Opens what was sealed for the record `index` of a log.
///
/// # Errors
/// See [`SealError`]; hostile bytes never panic.
pub fn open(sealed: &Sealed, key: &PersonKey, origin: &Origin, index: u64) -> Result<Person, SealError> {
    if key.id() != sealed.key {
        return Err(SealError::AnotherKey);
    }
    let (nonce, text) = sealed.data.as_bytes().split_first_chunk::<NONCE_LEN>().ok_or(SealError::NotAuthentic)?;
    let mut text = text.to_vec();
    let place = Aad::from(place(origin, index));
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = cipher(key)?.open_in_place(nonce, place, &mut text).map_err(|_| SealError::NotAuthentic)?;
    let plain = plain.trim_ascii_end();
    let person: Person = serde_json::from_slice(plain).map_err(|_| SealError::NotAPerson)?;
    // As with records, a person has one spelling.
    if serde_json::to_vec(&person).is_ok_and(|spelled| spelled == plain) {
        Ok(person)
    } else {
        Err(SealError::NotAPerson)
    }
}

/// Why a person could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not the one that the record names.
    #[error("the record's person is sealed with another key")]
    AnotherKey,
    /// It opens, but what it says is no person.
    #[error("what the record seals is no person in its canonical spelling")]
    NotAPerson,
    /// It was changed, or belongs to another record or log.
    #[error("the record's person was not sealed for this place of this log")]
    NotAuthentic,
    /// The cipher failed, or the person is longer than can be; no known input does this.
    #[error("the person cannot be sealed")]
    Unsealable,
}

fn cipher(key: &PersonKey) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new).map_err(|_| SealError::Unsealable)
}

fn place(origin: &Origin, index: u64) -> Vec<u8> {
    format!("{origin}\n{index}").into_bytes()
}

#[cfg(test)]
mod tests;

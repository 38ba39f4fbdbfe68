//! The hashes of a Merkle tree (RFC 9162, section 2.1.1): a leaf and an inner node are hashed with different first bytes,
//! so neither can pass for the other.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes a hash has.
pub const HASH_BYTES: usize = 32;

/// Leaves of at most these lengths are hashed from the stack in one call, which is much faster than feeding a context
/// that the crypto library keeps on the heap. A record has a few hundred bytes; to clear a larger place than it needs
/// would cost a tenth of its hash.
const SMALL: usize = 511;
const LARGE: usize = 2047;

/// A SHA-256 hash: of a leaf, of a subtree, of a whole tree. Shown and stored in base64, as C2SP's formats write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The root of the tree without leaves: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// The hash of a leaf.
    pub fn leaf(bytes: &[u8]) -> Self {
        if bytes.len() <= SMALL {
            return Self::leaf_on_the_stack::<{ SMALL + 1 }>(bytes);
        }
        if bytes.len() <= LARGE {
            return Self::leaf_on_the_stack::<{ LARGE + 1 }>(bytes);
        }
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(bytes);
        Self::of(context.finish().as_ref())
    }

    /// `N` is more than the leaf's length.
    fn leaf_on_the_stack<const N: usize>(bytes: &[u8]) -> Self {
        let mut prefixed = [0; N];
        let end = bytes.len() + 1;
        prefixed[1..end].copy_from_slice(bytes);
        Self::sha256(&prefixed[..end])
    }

    /// The hash of the node over two subtrees.
    pub fn node(left: Self, right: Self) -> Self {
        let mut prefixed = [1; 1 + 2 * HASH_BYTES];
        prefixed[1..=HASH_BYTES].copy_from_slice(&left.0);
        prefixed[1 + HASH_BYTES..].copy_from_slice(&right.0);
        Self::sha256(&prefixed)
    }

    /// Reads 44 characters of base64.
    ///
    /// # Errors
    /// [`NotAHash`] for any other text, also for base64 that is not in its only canonical spelling.
    pub fn from_base64(text: &str) -> Result<Self, NotAHash> {
        let bytes = STANDARD.decode(text).map_err(|_| NotAHash)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAHash)?))
    }

    /// 64 hexadecimal digits, lower case.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Plain SHA-256, without the tree's prefixes.
    pub(crate) fn sha256(bytes: &[u8]) -> Self {
        Self::of(digest(&SHA256, bytes).as_ref())
    }

    fn of(digest: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(digest); // SHA-256 has exactly 32 bytes
        Self(hash)
    }
}

/// Two lower-case digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_base64(&text).map_err(serde::de::Error::custom)
    }
}

/// A text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: 32 bytes in base64 are expected")]
pub struct NotAHash;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_rfc() {
        assert_eq!(Hash::EMPTY, Hash::sha256(b""));
        assert_eq!(Hash::leaf(b"").to_hex(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        let node = Hash::node(Hash::leaf(b""), Hash::leaf(b"\0"));
        assert_eq!(node.to_hex(), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }

    #[test]
    fn a_leaf_hashes_alike_on_the_stack_and_on_the_heap() {
        for length in [0, SMALL - 1, SMALL, SMALL + 1, LARGE - 1, LARGE, LARGE + 1, 70_000] {
            let leaf = vec![7; length];
            let prefixed: Vec<u8> = [0].into_iter().chain(leaf.iter().copied()).collect();
            assert_eq!(Hash::leaf(&leaf), Hash::sha256(&prefixed), "{length}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = Hash::leaf(b"x");
        let text = hash.to_string();
        assert_eq!(Hash::from_base64(&text), Ok(hash));
        assert_eq!(serde_json::from_str::<Hash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        let last = text.trim_end_matches('=');
        for bad in [last, &text[..40], &format!("{text}A"), &format!(" {text}"), "", &Hash::EMPTY.to_hex()] {
            assert_eq!(Hash::from_base64(bad), Err(NotAHash), "{bad}");
        }
        // The last character of 32 bytes carries two bits that must be zero.
        let unclean = format!("{}V=", &Hash::EMPTY.to_string()[..42]);
        assert_eq!(Hash::from_base64(&unclean), Err(NotAHash));
    }
}

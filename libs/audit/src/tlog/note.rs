//! Signed text (C2SP signed-note): a text, an empty line, and a line for each signature.
//!
//! ```text
//!  Note::parse ──▶ Note ── open(keys) ──▶ Opened     text that a known key signed
//!                   ▲
//!  Signer ── sign ──┘
//! ```
//!
//! The text of a [`Note`] is only claimed; an [`Opened`] has been verified and is made nowhere else. Signatures of
//! unknown keys are kept and say nothing.

mod key;
mod signer;

use std::fmt;
use std::str::FromStr;

use base64::{Engine, engine::general_purpose::STANDARD};

pub use key::{KeyId, KeyName, KeyNameError, SignatureType, Statement, VerifierKey, VerifierKeyError};
pub use signer::{Signer, SigningKey, SigningKeyError};

/// The longest note that is read: room for the 16 signatures that every reader must take, even if all are post-quantum
/// (7 kB of base64 each), and for an export's manifest: 110 bytes for each of 150,000 files, two of which a log has for
/// 256 records.
pub const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The most signatures that are read: each known one costs a verification.
pub const MOST_SIGNATURES: usize = 64;

/// A text and signatures of which none has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text that nobody has signed yet.
    ///
    /// # Errors
    /// [`NoteError::Text`] unless it ends in a newline and has no other control characters below U+0020.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if text.ends_with('\n') && plain(&text) && text.len() <= MOST_BYTES {
            Ok(Self { text, signatures: Vec::new() })
        } else {
            Err(NoteError::Text)
        }
    }

    /// Reads a note. It must have at least one signature; `to_string` gives back exactly these bytes.
    ///
    /// # Errors
    /// See [`NoteError`]; hostile bytes never panic.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MOST_BYTES {
            return Err(NoteError::TooLong { bytes: bytes.len() });
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if !plain(note) {
            return Err(NoteError::Text);
        }
        // The text may have empty lines of its own: the last one divides.
        let end = note.rfind("\n\n").ok_or(NoteError::Unsigned)? + 1;
        let (text, signatures) = (&note[..end], &note[end + 1..]);
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        if lines.split('\n').count() > MOST_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        let signatures = lines.split('\n').map(Signature::from_str).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// What is signed, its last newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who claims to have signed it.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signs it. A signature of the same key is replaced.
    pub fn sign(&mut self, signer: &Signer) {
        self.add(signer.sign(&self.text));
    }

    /// Adds a signature that came from elsewhere, instead of one of the same name and key id.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.retain(|old| (&old.name, old.id) != (&signature.name, signature.id));
        self.signatures.push(signature);
    }

    /// Verifies every signature of these keys.
    ///
    /// # Errors
    /// [`OpenError::Bad`] when a signature of one of them does not hold, however many others do;
    /// [`OpenError::Unknown`] when there is none of them.
    pub fn open(self, keys: &[VerifierKey]) -> Result<Opened, OpenError> {
        let mut by = Vec::new();
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| *key.name() == signature.name && key.id() == signature.id) {
                let statement = key.verify(&self.text, &signature.payload);
                let statement = statement.ok_or_else(|| OpenError::Bad { name: signature.name.clone() })?;
                by.push((key.clone(), statement));
            }
        }
        if by.is_empty() { Err(OpenError::Unknown) } else { Ok(Opened { note: self, by }) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// A note of which at least one signature was verified, and none of a known key failed. Only [`Note::open`] makes it.
#[derive(Clone, Debug)]
pub struct Opened {
    note: Note,
    by: Vec<(VerifierKey, Statement)>,
}

impl Opened {
    /// What was signed.
    pub fn text(&self) -> &str {
        &self.note.text
    }

    /// The note, with the signatures of unknown keys too.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The keys whose signatures hold, and what each states.
    pub fn by(&self) -> &[(VerifierKey, Statement)] {
        &self.by
    }

    /// What this key states, if it has signed.
    pub fn statement_of(&self, key: &VerifierKey) -> Option<Statement> {
        self.by.iter().find(|(signer, _)| signer == key).map(|(_, statement)| *statement)
    }
}

/// One signature line, which nobody has verified. `Display` and `FromStr` are the line without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    payload: Vec<u8>,
}

impl Signature {
    pub(crate) fn new(name: KeyName, id: KeyId, payload: Vec<u8>) -> Self {
        Self { name, id, payload }
    }

    /// Whose it claims to be.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Of which of the signer's keys it claims to be.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the signature type makes of it: the bare signature, or a time before it.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0, self.payload.as_slice()].concat();
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let parse = || {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let bytes = STANDARD.decode(signature).ok()?;
            let (id, payload) = bytes.split_first_chunk::<4>()?;
            let name = KeyName::new(name).ok()?;
            (!payload.is_empty()).then(|| Self { name, id: KeyId(*id), payload: payload.to_vec() })
        };
        parse().ok_or(NoteError::Signature)
    }
}

/// No control characters below U+0020 but newlines.
fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\n' || byte >= 0x20)
}

/// Why something is no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A line behind the text is no signature.
    #[error("note has a line among its signatures that is none")]
    Signature,
    /// Not text, or control characters in it.
    #[error("note is not plain UTF-8 text that ends in a newline")]
    Text,
    /// Beyond [`MOST_BYTES`].
    #[error("note has {bytes} bytes, more than the {MOST_BYTES} that are read")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Beyond [`MOST_SIGNATURES`].
    #[error("note has more than the {MOST_SIGNATURES} signatures that are read")]
    TooMany,
    /// No signatures.
    #[error("note has no signatures")]
    Unsigned,
}

/// Why a note is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A signature of a known key does not hold.
    #[error("signature of {name} does not hold")]
    Bad {
        /// Whose key it is said to be.
        name: KeyName,
    },
    /// Nobody signed who is known.
    #[error("note is signed by no known key")]
    Unknown,
}

//! Checkpoints (C2SP tlog-checkpoint): which log, how many leaves, which root, and who says so.

use std::fmt;

use super::cosignature::{CosignError, Cosigner};
use super::decimal;
use super::hash::Hash;
use super::note::{KeyName, Note, NoteError, OpenError, Opened, Signature, Signer, Statement, VerifierKey};
use super::tree::Head;

/// The longest checkpoint that is read: a note may be an export's manifest and much longer, but a checkpoint comes from
/// strangers, and all its signatures fit in here even if they are post-quantum (7 kB each).
pub const MOST_BYTES: usize = 512 * 1024;

/// What a checkpoint says. `to_string` is the text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: Head,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint of one of our own logs. The origin is a key name too, because the log signs under it.
    pub fn new(origin: &KeyName, head: Head) -> Self {
        Self { origin: origin.to_string(), head, extensions: Vec::new() }
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let size = decimal::parse(size).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).map_err(|_| CheckpointError::Root)?;
        Ok(Self { origin: origin.to_owned(), head: Head { size, root }, extensions })
    }

    /// Which log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How far it has grown.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Lines behind the root whose meaning is unknown here. Our own logs have none and refuse to have any.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs it. That no other checkpoint of the same size was signed is the caller's to know.
    ///
    /// # Errors
    /// [`CheckpointError::Extension`] when it has extension lines: nothing checks what they say.
    pub fn sign(self, signer: &Signer) -> Result<SignedCheckpoint, CheckpointError> {
        if !self.extensions.is_empty() {
            return Err(CheckpointError::Extension);
        }
        let mut note = Note::new(self.to_string())?;
        note.sign(signer);
        Ok(SignedCheckpoint { checkpoint: self, note })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.head.size, self.head.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint with signatures of which none has been verified. `to_string` is the file `checkpoint` of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a note whose text is a checkpoint.
    ///
    /// # Errors
    /// See [`CheckpointError`]; hostile bytes never panic.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() > MOST_BYTES {
            return Err(CheckpointError::TooLong { bytes: bytes.len() });
        }
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// What it claims.
    pub fn claimed(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, for its signatures.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds the signature of somebody who verified it, like the region's key on the checkpoint of a gateway.
    pub fn sign(&mut self, signer: &Signer) {
        self.note.sign(signer);
    }

    /// Adds a signature that came from elsewhere, a witness' mostly. It is verified when the checkpoint is opened.
    pub fn add(&mut self, signature: Signature) {
        self.note.add(signature);
    }

    /// A witness' cosignature over it. Whether it may be given is [`super::witness::decide`]'s to say.
    pub(crate) fn cosign(&self, cosigner: &Cosigner, now: jiff::Timestamp) -> Result<Signature, CosignError> {
        cosigner.cosign(self.note.text(), now)
    }

    /// Verifies it by any of these keys, for which log it may be.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(self, keys: &[VerifierKey]) -> Result<OpenedCheckpoint, OpenError> {
        Ok(OpenedCheckpoint { checkpoint: self.checkpoint, opened: self.note.open(keys)? })
    }

    /// Verifies a checkpoint of one of our own logs.
    ///
    /// # Errors
    /// [`OpenOursError`]: another log's, extension lines, or a signature that does not hold.
    pub fn open_ours(self, origin: &KeyName, keys: &[VerifierKey]) -> Result<OpenedCheckpoint, OpenOursError> {
        let found = &self.checkpoint.origin;
        if found != origin.as_str() {
            return Err(OpenOursError::Origin { found: found.clone(), expected: origin.clone() });
        }
        if !self.checkpoint.extensions.is_empty() {
            return Err(OpenOursError::Extension { origin: origin.clone() });
        }
        Ok(self.open(keys)?)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}

/// A checkpoint that somebody known has signed. Only [`SignedCheckpoint::open`] makes it.
#[derive(Clone, Debug)]
pub struct OpenedCheckpoint {
    checkpoint: Checkpoint,
    opened: Opened,
}

impl OpenedCheckpoint {
    /// Which log.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// How far it has grown.
    pub fn head(&self) -> Head {
        self.checkpoint.head
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Who says so, and since when witnesses do.
    pub fn by(&self) -> &[(VerifierKey, Statement)] {
        self.opened.by()
    }

    /// What this key states, if it has signed.
    pub fn statement_of(&self, key: &VerifierKey) -> Option<Statement> {
        self.opened.statement_of(key)
    }

    /// The checkpoint with its signatures, to store it or to have it signed by more.
    pub fn signed(&self) -> SignedCheckpoint {
        SignedCheckpoint { checkpoint: self.checkpoint.clone(), note: self.opened.note().clone() }
    }
}

/// Why something is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Extension lines where none may be.
    #[error("checkpoint has extension lines, which our logs do not sign")]
    Extension,
    /// Not origin, size, root and non-empty lines.
    #[error("checkpoint is not made of origin, size and root, one line each")]
    Lines,
    /// Not a signed note.
    #[error("checkpoint is no signed note")]
    Note(#[from] NoteError),
    /// Not a root.
    #[error("checkpoint's third line is not a hash in base64")]
    Root,
    /// Not a size.
    #[error("checkpoint's second line is not a number of leaves")]
    Size,
    /// Beyond [`MOST_BYTES`].
    #[error("checkpoint has {bytes} bytes, more than the {MOST_BYTES} that are read")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

/// Why a checkpoint of one of our logs is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenOursError {
    /// It has lines that nobody can check.
    #[error("checkpoint of {origin} has extension lines, which our logs do not have")]
    Extension {
        /// Of which log.
        origin: KeyName,
    },
    /// Not signed as it should be.
    #[error("checkpoint is not signed as it should be")]
    Open(#[from] OpenError),
    /// Another log's.
    #[error("checkpoint is of {found:?}, not of {expected}")]
    Origin {
        /// What it says.
        found: String,
        /// Of which log it should be.
        expected: KeyName,
    },
}

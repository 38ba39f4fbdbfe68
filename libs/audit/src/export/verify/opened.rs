//! Manifest, description and checkpoints: who says what the export is, and how far its logs had grown.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Check, Fault, What};
use super::folder::{Files, Folder};
use super::{Trust, known};
use crate::export::about::{About, AboutLog, Period, VERSION};
use crate::export::keys::LogKeys;
use crate::export::manifest::{Manifest, region_key_name};
use crate::export::paths;
use crate::hex::{Incarnation, PublicKey};
use crate::scope::Origin;
use crate::tlog::checkpoint::SignedCheckpoint;
use crate::tlog::note::{KeyName, MOST_BYTES, Note, OpenError, Statement, VerifierKey};
use crate::tlog::tile::WIDTH;
use crate::tlog::tree::Head;

/// A description of some thousand logs; a region has some dozens.
const MOST_ABOUT: usize = 4 * 1024 * 1024;
/// A checkpoint with the signatures of every witness that there may be.
const MOST_CHECKPOINT: usize = 256 * 1024;
/// Keys of a hundred thousand people and years.
const MOST_KEYS: usize = 16 * 1024 * 1024;

/// What the export is, as far as signatures say so.
pub(super) struct Opened {
    pub(super) about: About,
    pub(super) logs: Vec<OpenedLog>,
    /// Checkpoints that were known and are of logs of the export.
    pub(super) compared: usize,
}

/// One log.
pub(super) struct OpenedLog {
    pub(super) about: AboutLog,
    /// The time that was asked for.
    pub(super) period: Period,
    /// What its gateway signed; nothing when that cannot be believed.
    pub(super) head: Option<Head>,
    pub(super) keys: LogKeys,
    /// Since when each witness says so.
    pub(super) cosigned: BTreeMap<String, u64>,
    /// What was known of it: size, root, and who knew.
    pub(super) known: Vec<(Head, String)>,
}

impl Opened {
    pub(super) fn origins(&self) -> Vec<Origin> {
        self.logs.iter().map(|log| log.about.origin.clone()).collect()
    }
}

/// Nothing, when the manifest or the description cannot be read: then nothing else means anything.
pub(super) fn open(folder: &mut Folder<'_, impl Files>, trust: Trust<'_>) -> Option<Opened> {
    let manifest = manifest(folder, trust)?;
    folder.expect(manifest.files.clone());
    let about = about(folder, &manifest)?;
    let mut seen = BTreeSet::new();
    let mut logs = Vec::new();
    for (number, log) in about.logs.iter().enumerate() {
        let path = paths::checkpoint(number);
        let origin = &log.origin;
        if origin.scope != about.scope || origin.keeper.region != about.region {
            let expected = format!("region {} and {}", about.region, about.scope);
            folder.file(Check::Checkpoints, &path, What::AnotherScope { expected });
        }
        if !seen.insert(origin) {
            folder.file(Check::Checkpoints, &path, What::Duplicate);
        }
        logs.push(log_of(folder, number, (log, about.period), trust));
    }
    let compared = known::assign(folder, &about, &mut logs, trust);
    Some(Opened { about, logs, compared })
}

fn manifest(folder: &mut Folder<'_, impl Files>, trust: Trust<'_>) -> Option<Manifest> {
    let bytes = folder.read(paths::MANIFEST, MOST_BYTES)?;
    let mut unreadable = |why: String| {
        folder.file(Check::Manifest, paths::MANIFEST, What::Manifest { why });
        None
    };
    let note = match Note::parse(&bytes) {
        Ok(note) => note,
        Err(error) => return unreadable(error.to_string()),
    };
    let manifest = match Manifest::parse(note.text()) {
        Ok(manifest) => manifest,
        Err(error) => return unreadable(error.to_string()),
    };
    let signed = note.open(trust.keys);
    let what = match signed {
        Ok(opened) => {
            let ours = region_key_name(&manifest.region).ok();
            match opened.by().iter().find(|(key, _)| Some(key.name()) != ours.as_ref()) {
                // One that names another key too, or the same one twice, is not as it was made.
                None if opened.note().signatures().len() == 1 => return Some(manifest),
                None => What::Manifest { why: "it has other signatures than the region's one".to_owned() },
                Some((key, _)) => {
                    What::SignedByAnother { name: key.name().to_string(), region: manifest.region.to_string() }
                }
            }
        }
        Err(OpenError::Bad { name }) => What::Signature { name: name.to_string() },
        Err(OpenError::Unknown) => What::Unsigned { name: names(trust.keys) },
    };
    folder.file(Check::Manifest, paths::MANIFEST, what);
    None
}

fn names(keys: &[VerifierKey]) -> String {
    let names: Vec<_> = keys.iter().map(|key| format!("{} (key {})", key.name(), key.id())).collect();
    if names.is_empty() { "any trusted key: none was given".to_owned() } else { names.join(" or ") }
}

fn about(folder: &mut Folder<'_, impl Files>, manifest: &Manifest) -> Option<About> {
    let bytes = folder.read(paths::ABOUT, MOST_ABOUT)?;
    let about: About = match serde_json::from_slice(&bytes) {
        Ok(about) => about,
        Err(error) => {
            let what = match serde_json::from_slice::<Versioned>(&bytes) {
                Ok(Versioned { version }) if version != VERSION => What::Version { version, reads: VERSION },
                _ => What::Damaged { why: error.to_string() },
            };
            folder.file(Check::Manifest, paths::ABOUT, what);
            return None;
        }
    };
    if about.version != VERSION {
        folder.file(Check::Manifest, paths::ABOUT, What::Version { version: about.version, reads: VERSION });
        return None;
    }
    if about.to_json() != bytes {
        let why = "it is not in the one spelling that it has".to_owned();
        folder.file(Check::Manifest, paths::ABOUT, What::Damaged { why });
    }
    let differing = [
        ("region", about.region != manifest.region),
        ("scope", about.scope != manifest.scope),
        ("period", about.period != manifest.period),
    ];
    for (field, _) in differing.into_iter().filter(|(_, differs)| *differs) {
        folder.file(Check::Manifest, paths::ABOUT, What::Description { field });
    }
    Some(about)
}

#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

fn log_of(
    folder: &mut Folder<'_, impl Files>,
    number: usize,
    (about, period): (&AboutLog, Period),
    trust: Trust<'_>,
) -> OpenedLog {
    let mut cosigned = BTreeMap::new();
    let head = head(folder, number, about, trust, &mut cosigned);
    let path = paths::keys(number);
    let keys = folder.read(&path, MOST_KEYS).and_then(|bytes| {
        let keys = LogKeys::parse(&bytes);
        if keys.is_none() {
            folder.file(Check::Entries, &path, What::Keys);
        }
        keys
    });
    let head = head.filter(|head| fits(folder, number, about, *head));
    OpenedLog { about: about.clone(), period, head, keys: keys.unwrap_or_default(), cosigned, known: Vec::new() }
}

/// The checkpoint, if gateway and region have signed it.
fn head(
    folder: &mut Folder<'_, impl Files>,
    number: usize,
    about: &AboutLog,
    trust: Trust<'_>,
    cosigned: &mut BTreeMap<String, u64>,
) -> Option<Head> {
    let path = paths::checkpoint(number);
    let bytes = folder.read(&path, MOST_CHECKPOINT)?;
    let checkpoint = match SignedCheckpoint::parse(&bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let why = chain(&error);
            folder.file(Check::Checkpoints, &path, What::Checkpoint { why });
            return None;
        }
    };
    let claimed = checkpoint.claimed();
    let origin = about.origin.to_string();
    let mut faults = Vec::new();
    if claimed.origin() != origin {
        faults.push(What::AnotherOrigin { found: claimed.origin().escape_debug().to_string() });
    }
    if !claimed.extensions().is_empty() {
        faults.push(What::Checkpoint { why: "it has lines that our logs do not have".to_owned() });
    }
    let key = &about.verifier_key;
    if KeyName::new(&*origin).as_ref() != Ok(key.name())
        || Incarnation::of(&PublicKey(*key.public_key())) != about.origin.keeper.incarnation
    {
        faults.push(What::Incarnation);
    }
    faults.extend(signed(&checkpoint, std::slice::from_ref(key)).err());
    faults.extend(signed(&checkpoint, trust.keys).err());
    let head = claimed.head();
    if head.size != about.size {
        faults.push(What::Size { says: about.size, size: head.size });
    }
    // That a witness is missed says nothing against the log.
    let believed = faults.is_empty();
    for witness in trust.witnesses {
        match signed(&checkpoint, std::slice::from_ref(witness)) {
            Ok(statements) => {
                for statement in statements {
                    if let Statement::Cosigned { at } = statement {
                        cosigned.insert(witness.name().to_string(), at);
                    }
                }
            }
            Err(what) => faults.push(what),
        }
    }
    faults.into_iter().for_each(|what| folder.file(Check::Checkpoints, &path, what));
    believed.then_some(head)
}

fn signed(checkpoint: &SignedCheckpoint, keys: &[VerifierKey]) -> Result<Vec<Statement>, What> {
    match checkpoint.clone().open(keys) {
        Ok(opened) => Ok(opened.by().iter().map(|(_, statement)| *statement).collect()),
        Err(OpenError::Bad { name }) => Err(What::Signature { name: name.to_string() }),
        Err(OpenError::Unknown) => Err(What::Unsigned { name: names(keys) }),
    }
}

/// Whether the range is one of this log. What follows computes with it.
fn fits(folder: &mut Folder<'_, impl Files>, number: usize, about: &AboutLog, head: Head) -> bool {
    let end = about.first.checked_add(about.records);
    if end.is_none_or(|end| end > head.size) {
        folder.file(Check::Completeness, &paths::checkpoint(number), What::Range { size: head.size });
        return false;
    }
    let before = about.deleted_before;
    let whole = before == head.size || before.is_multiple_of(u64::from(WIDTH));
    if before != 0 && (before != about.first || !whole) {
        let what = What::DeletedBefore { number: before };
        folder.fault(Fault {
            check: Check::Completeness,
            file: Some(paths::ABOUT.to_owned()),
            log: Some(about.origin.to_string()),
            record: None,
            what,
        });
        return false;
    }
    true
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

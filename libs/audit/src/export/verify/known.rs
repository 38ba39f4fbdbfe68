//! Checkpoints that the customer had before: mailed, from the webhook, of an earlier export. The log of today must
//! contain them.

use serde_json::Value;

use super::Trust;
use super::fault::{Check, Fault, What};
use super::folder::{Files, Folder};
use super::opened::OpenedLog;
use crate::export::about::About;
use crate::scope::Origin;
use crate::tlog::checkpoint::SignedCheckpoint;

/// Checkpoints of one file.
#[derive(Clone, Debug)]
pub struct Known {
    name: String,
    checkpoints: Vec<SignedCheckpoint>,
}

impl Known {
    /// Reads a file: a signed checkpoint, or JSON with signed checkpoints among its texts, as the webhook delivers them.
    /// `name` is what the file is called in faults.
    ///
    /// # Errors
    /// [`KnownError`] when there is none in it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, KnownError> {
        let mut checkpoints = Vec::new();
        match serde_json::from_slice(bytes) {
            Ok(json) => gather(&json, &mut checkpoints),
            Err(_) => checkpoints.extend(SignedCheckpoint::parse(bytes)),
        }
        if checkpoints.is_empty() {
            return Err(KnownError { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), checkpoints })
    }

    /// What was read.
    pub fn checkpoints(&self) -> &[SignedCheckpoint] {
        &self.checkpoints
    }
}

/// The parser bounds how deep this goes.
fn gather(json: &Value, checkpoints: &mut Vec<SignedCheckpoint>) {
    match json {
        Value::Array(values) => values.iter().for_each(|value| gather(value, checkpoints)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, checkpoints)),
        Value::String(text) => checkpoints.extend(SignedCheckpoint::parse(text.as_bytes())),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

/// No checkpoint is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} holds no signed checkpoint: give a log's file `checkpoint`, or what the webhook delivered")]
pub struct KnownError {
    name: String,
}

/// Gives each log what was known of it, to be compared when its hashes pass. Says how many checkpoints there are to
/// compare.
pub(super) fn assign(
    folder: &mut Folder<'_, impl Files>,
    about: &About,
    logs: &mut [OpenedLog],
    trust: Trust<'_>,
) -> usize {
    let mut compared = 0;
    for known in trust.known {
        let mut concerned = false;
        for checkpoint in &known.checkpoints {
            let claimed = checkpoint.claimed();
            let Ok(origin) = claimed.origin().parse::<Origin>() else { continue };
            if origin.scope != about.scope || origin.keeper.region != about.region {
                continue;
            }
            concerned = true;
            let mut keys: Vec<_> = trust.keys.iter().chain(trust.witnesses).cloned().collect();
            let log = logs.iter_mut().find(|log| log.about.origin == origin);
            keys.extend(log.as_ref().map(|log| log.about.verifier_key.clone()));
            let head = claimed.head();
            let what = match (checkpoint.clone().open(&keys), log) {
                (Err(_), _) => What::KnownUnsigned,
                (Ok(_), None) => What::LogMissing { size: head.size },
                (Ok(_), Some(log)) => {
                    compared += 1;
                    log.known.push((head, known.name.clone()));
                    continue;
                }
            };
            let (file, log) = (Some(known.name.clone()), Some(origin.to_string()));
            folder.fault(Fault { check: Check::Known, file, log, record: None, what });
        }
        if !concerned {
            folder.file(Check::Known, &known.name, What::KnownElsewhere);
        }
    }
    compared
}

//! A rotation that was asked for, followed object by object until it is done or something else took its place.

use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::{
    CaGeneration, CertificateAuthorityStatus, GenerationCause, GenerationState, RotationStatus,
};

/// Blockers that a line names.
const NAMED: usize = 3;

/// What has been seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Follow {
    /// `spec.rotateRequest.id`.
    request: String,
    /// The highest generation when it was asked for.
    before: u32,
    /// The generation that was made for it.
    generation: Option<u32>,
    last: String,
}

/// What an object says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The new generation signs, and the old ones are removed.
    Done { generation: u32 },
    /// Something that was not said before, or nothing new.
    Goes { line: Option<String> },
    /// It will not be done.
    Overtaken { why: String },
}

impl Follow {
    /// `before` is the object as it was read before the request was written.
    pub(crate) fn new(request: &str, before: &CertificateAuthority) -> Self {
        let numbers = before.status.iter().flat_map(|status| &status.generations).map(|generation| generation.number);
        Self { request: request.to_owned(), before: numbers.max().unwrap_or(0), generation: None, last: String::new() }
    }

    /// Looks at the object as it is now.
    pub(crate) fn see(&mut self, authority: &CertificateAuthority) -> Turn {
        let status = authority.status.clone().unwrap_or_default();
        if self.generation.is_none() && status.last_request.as_deref() == Some(&self.request) {
            self.generation =
                status.generations.iter().filter(|made| self.is_for_us(made)).map(|made| made.number).max();
        }
        let Some(number) = self.generation else {
            return self.not_made(authority, &status);
        };
        let Some(own) = status.generations.iter().find(|generation| generation.number == number) else {
            return Turn::Overtaken { why: format!("generation {number} is gone") };
        };
        let old_are_removed = status.generations.iter().filter(|other| other.number < number).all(is_removed);
        match own.state {
            GenerationState::Removed => {
                Turn::Overtaken { why: format!("generation {number} was removed; another rotation overtook it") }
            }
            GenerationState::Issuing | GenerationState::PhasingOut if old_are_removed => {
                Turn::Done { generation: number }
            }
            _ => self.say(line(own, status.rotation.as_ref())),
        }
    }

    /// Where it stood last.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    fn is_for_us(&self, made: &CaGeneration) -> bool {
        made.number > self.before && matches!(made.cause, GenerationCause::Emergency | GenerationCause::Request)
    }

    fn not_made(&mut self, authority: &CertificateAuthority, status: &CertificateAuthorityStatus) -> Turn {
        let request = authority.spec.rotate_request.as_ref();
        if let Some(other) = request.filter(|request| request.id != self.request) {
            let why = format!("another request took its place before it was taken up: {} ({})", other.id, other.reason);
            return Turn::Overtaken { why };
        }
        let taken = status.last_request.as_deref() == Some(&self.request);
        match (&status.rotation, taken) {
            (_, true) => self.say("the operator took it up and makes the new generation".to_owned()),
            (Some(rotation), false) => self.say(format!(
                "it begins after the rotation to generation {}, which {}",
                rotation.to,
                progress(rotation)
            )),
            (None, false) => self.say("asked for; the operator has not taken it up yet".to_owned()),
        }
    }

    fn say(&mut self, line: String) -> Turn {
        if line == self.last {
            return Turn::Goes { line: None };
        }
        self.last.clone_from(&line);
        Turn::Goes { line: Some(line) }
    }
}

fn is_removed(generation: &CaGeneration) -> bool {
    generation.state == GenerationState::Removed
}

fn line(own: &CaGeneration, rotation: Option<&RotationStatus>) -> String {
    let about = rotation.filter(|rotation| rotation.to == own.number);
    let about = about.map(|rotation| format!("; it {}", progress(rotation))).unwrap_or_default();
    format!("generation {} is {:?}{about}", own.number, own.state)
}

fn progress(rotation: &RotationStatus) -> String {
    let mut text = format!("waits for: {} ({} of {} done)", rotation.waits_for, rotation.done, rotation.of);
    let names: Vec<&str> = rotation.blockers.iter().take(NAMED).map(|blocker| blocker.name.as_str()).collect();
    if !names.is_empty() {
        let rest = usize::try_from(rotation.blocked_by).unwrap_or(0).saturating_sub(names.len());
        let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        text += &format!(", blocked by {}{rest}", names.join(", "));
    }
    text
}

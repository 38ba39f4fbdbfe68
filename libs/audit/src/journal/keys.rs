//! The keys that a gateway has for the people in its logs: one for each person, log and calendar year, as far as it
//! remembers. One that it forgot is followed by another, which is stored beside it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::hex::Subject;
use crate::person::PersonKey;
use crate::scope::Scope;

/// A person's key as found in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// For which log.
    pub scope: Scope,
    /// For whom.
    pub subject: Subject,
    /// For which calendar year, by UTC.
    pub year: i16,
    /// The key.
    pub key: PersonKey,
}

/// Keys in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(BTreeMap<(Scope, Subject), (i16, PersonKey)>);

/// Keys that are remembered: bounds memory at some 15 MB (invariant I10). A region has far fewer engineers times sites.
const MOST: usize = 64 * 1024;

impl Keys {
    pub(super) fn find(&self, scope: &Scope, subject: Subject, year: i16) -> Option<&PersonKey> {
        self.0.get(&(scope.clone(), subject)).filter(|(of, _)| *of == year).map(|(_, key)| key)
    }

    pub(super) fn keep(&mut self, kept: KeptKey) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert((kept.scope, kept.subject), (kept.year, kept.key));
    }

    /// In one log or, for the region's, in all.
    pub(super) fn forget(&mut self, scope: &Scope, subject: Subject) {
        self.0.retain(|(of, whose), _| *whose != subject || (*scope != Scope::Region && of != scope));
    }

    pub(super) fn into_kept(self) -> impl Iterator<Item = KeptKey> {
        self.0.into_iter().map(|((scope, subject), (year, key))| KeptKey { scope, subject, year, key })
    }
}

pub(super) fn year(at: Timestamp) -> i16 {
    at.to_zoned(TimeZone::UTC).year()
}

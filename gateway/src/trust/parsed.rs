//! A [`wire::Trust`], read and checked as a whole.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use sallyport_control::{digest, wire};
use sallyport_pki::bundle::{BundleError, TrustBundle};
use sallyport_pki::inspect;
use sallyport_pki::revocation::{ListRefused, RevocationList};
use sallyport_runtime::tls::{Admission, Reason, TlsError};

use crate::certificate::InUse;

/// Authorities with at most one revocation list each, and what agents are told of them.
///
/// An authority without a list, or whose list has ended, is no reason to refuse the others' news: its key may be lost for
/// good. Doors let nobody in by its certificates, which is what [`Admission`] makes sure of for each authority alone.
#[derive(Debug)]
pub struct Trust {
    message: wire::Trust,
    bundle: TrustBundle,
    /// Fingerprints of the bundle's certificates.
    authorities: Vec<String>,
    lists: Vec<List>,
    /// Serial numbers that are revoked besides the lists, by issuer.
    denied: BTreeMap<String, HashSet<String>>,
    admission: Admission,
    /// Shared by all tunnels that it is pushed into.
    announcement: Bytes,
}

/// The revocation list of one authority.
#[derive(Debug)]
pub struct List {
    /// Fingerprint of the authority's certificate.
    pub issuer: String,
    /// The list.
    pub list: RevocationList,
    /// The list in DER, shared by all downloads of it.
    pub der: Bytes,
    /// Serial numbers that it revokes: asked for every tunnel at every change.
    revoked: HashSet<String>,
}

impl Trust {
    /// Reads a message. Lists may be missing or have ended; see [`Trust`].
    ///
    /// # Errors
    /// See [`TrustRefused`]. Nothing of a message that is refused is used.
    pub fn parse(message: wire::Trust) -> Result<Self, TrustRefused> {
        if digest::of_trust(&message) != message.digest {
            return Err(TrustRefused::Digest);
        }
        let bundle = TrustBundle::from_pem(&message.certificates)?;
        let authorities: Vec<String> = bundle.certificates().map(|der| inspect::fingerprint(&der)).collect();
        if !authorities.contains(&message.issuer) {
            return Err(TrustRefused::Issuer { issuer: message.issuer.chars().take(64).collect() });
        }
        let mut lists = Vec::new();
        for (index, der) in message.revocation_lists.iter().enumerate() {
            let refused = |source| TrustRefused::List { position: index + 1, source };
            let list = RevocationList::parse(der).map_err(refused)?;
            let issuer = list.verify(&bundle).map_err(refused)?;
            let revoked = list.entries().iter().map(|entry| entry.serial_hex.clone()).collect();
            lists.push(List { issuer, list, der: Bytes::copy_from_slice(der), revoked });
        }
        for authority in &authorities {
            let count = lists.iter().filter(|list| list.issuer == *authority).count();
            if count > 1 {
                return Err(TrustRefused::Lists { authority: authority.clone(), count });
            }
        }
        let denied = denied(&message.revoked_serials)?;
        let admission = Admission::checked(&bundle, &message.revocation_lists)?;
        let announcement = Bytes::copy_from_slice(&message.announcement);
        Ok(Self { message, bundle, authorities, lists, denied, admission, announcement })
    }

    /// That this one is not older than `current`, as a whole or in one of its lists: what was revoked stays so, whichever
    /// operator's word comes last.
    ///
    /// # Errors
    /// [`TrustRefused::Older`] and [`TrustRefused::OlderList`].
    pub(super) fn may_follow(&self, current: &Self) -> Result<(), TrustRefused> {
        let (sequence, in_force) = (self.sequence(), current.sequence());
        if sequence < in_force {
            return Err(TrustRefused::Older { sequence, in_force });
        }
        for list in &self.lists {
            let (authority, number) = (&list.issuer, list.list.number());
            let known = current.list_of(authority).map(|known| known.list.number());
            if let Some(in_force) = known.filter(|known| number < *known) {
                return Err(TrustRefused::OlderList { authority: authority.clone(), number, in_force });
            }
        }
        Ok(())
    }

    /// Rises with every bundle.
    pub fn sequence(&self) -> u64 {
        self.message.sequence
    }

    /// What is acknowledged.
    pub fn digest(&self) -> &str {
        &self.message.digest
    }

    /// The authorities.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Their lists.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    /// Each authority's fingerprint, with its list if there is one.
    pub fn authorities(&self) -> impl Iterator<Item = (&str, Option<&List>)> {
        self.authorities.iter().map(|authority| (authority.as_str(), self.list_of(authority)))
    }

    fn list_of(&self, authority: &str) -> Option<&List> {
        self.lists.iter().find(|list| list.issuer == authority)
    }

    /// The lists as a TLS configuration takes them.
    pub fn lists_der(&self) -> &[Vec<u8>] {
        &self.message.revocation_lists
    }

    /// Fingerprint of the authority that signs now.
    pub fn issuer(&self) -> &str {
        &self.message.issuer
    }

    /// Within which time a certificate of another issuer is renewed.
    pub fn renew_within(&self) -> Duration {
        Duration::from_secs(self.message.renew_within_s)
    }

    /// The signed document for agents; empty when there is none.
    pub fn announcement(&self) -> &Bytes {
        &self.announcement
    }

    /// How many certificates are revoked, on lists and besides.
    pub fn revoked(&self) -> usize {
        let listed: usize = self.lists.iter().map(|list| list.list.entries().len()).sum();
        listed + self.denied.values().map(HashSet::len).sum::<usize>()
    }

    /// What the volume keeps.
    pub(super) fn message(&self) -> &wire::Trust {
        &self.message
    }

    /// Whether a certificate would be let in now by a door that goes by this trust, for requests over connections that
    /// stand and for certificates that are proved in other ways.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Reason> {
        self.admission.check(chain, now)?;
        if self.denied.is_empty() {
            return Ok(());
        }
        let leaf = chain.first().ok_or(Reason::Untrusted)?;
        let certificate = InUse::read(leaf, &self.bundle).ok_or(Reason::Untrusted)?;
        if self.denies(&certificate) { Err(Reason::Revoked) } else { Ok(()) }
    }

    /// Whether a certificate that was accepted may go on being used.
    ///
    /// # Errors
    /// Why not, in words for the peer. A list that ended or is missing is no reason here: it closes doors, and says
    /// nothing about who is inside.
    pub fn allows(&self, certificate: &InUse) -> Result<(), &'static str> {
        if !self.authorities.contains(&certificate.issuer) {
            return Err("its certificate authority is no longer trusted");
        }
        if self.revokes(certificate) { Err("the certificate is revoked") } else { Ok(()) }
    }

    /// Whether a list, or a word besides the lists, names it.
    pub fn revokes(&self, certificate: &InUse) -> bool {
        let listed = self.list_of(&certificate.issuer).is_some_and(|list| list.revoked.contains(&certificate.serial));
        listed || self.denies(certificate)
    }

    /// Whether a connection between replicas, which nothing can move to a renewed certificate, may go on. An authority that
    /// left in a rotation was trusted when the connection was made, and its peers hold others by now; cutting would drop
    /// the sessions that are relayed. One that left in an emergency vouches for nothing any more.
    ///
    /// # Errors
    /// Why not.
    pub fn lets_go_on(&self, certificate: &InUse) -> Result<(), &'static str> {
        let left_in_rotation = !self.message.emergency && !self.authorities.contains(&certificate.issuer);
        if left_in_rotation { Ok(()) } else { self.allows(certificate) }
    }

    fn denies(&self, certificate: &InUse) -> bool {
        self.denied.get(&certificate.issuer).is_some_and(|serials| serials.contains(&certificate.serial))
    }
}

/// What is revoked besides the lists. Of an authority that is not in the bundle it says nothing and does no harm.
fn denied(entries: &[String]) -> Result<BTreeMap<String, HashSet<String>>, TrustRefused> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut denied: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let (issuer, serial) = entry
            .split_once(':')
            // 20 bytes are the longest serial number (RFC 5280 section 4.1.2.2).
            .filter(|(issuer, serial)| issuer.len() == 64 && (1..=40).contains(&serial.len()))
            .filter(|(issuer, serial)| is_hex(issuer) && is_hex(serial))
            .ok_or(TrustRefused::Serial { position: index + 1 })?;
        denied.entry(issuer.to_owned()).or_default().insert(serial.to_owned());
    }
    Ok(denied)
}

/// How good the revocation list of an authority is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// More than a third of its life is left.
    Current,
    /// It passed its next update: doors are closed to certificates of its authority.
    Ended,
    /// There is none: doors are closed to certificates of its authority.
    Missing,
    /// Less than a third of its life is left: somebody has to look at the operator before doors close.
    Overdue,
}

impl ListState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Current, Self::Ended, Self::Missing, Self::Overdue];

    /// Of an authority's list at `now`.
    pub fn of(list: Option<&List>, now: Timestamp) -> Self {
        let Some(list) = list else { return Self::Missing };
        let (from, to) = (list.list.this_update(), list.list.next_update());
        let third = SignedDuration::from_secs(to.duration_since(from).as_secs() / 3);
        match to.duration_since(now) {
            left if !left.is_positive() => Self::Ended,
            left if left < third => Self::Overdue,
            _ => Self::Current,
        }
    }

    /// The label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Ended => "ended",
            Self::Missing => "missing",
            Self::Overdue => "overdue",
        }
    }
}

/// Why a message about trust is refused; the one before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum TrustRefused {
    /// The certificates cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It was damaged on the way, or the operator counts in another way.
    #[error("digest of the trust does not fit its content")]
    Digest,
    /// The authority that signs is not trusted.
    #[error("certificate authority {issuer} signs and is not in the trust bundle")]
    Issuer {
        /// Its fingerprint.
        issuer: String,
    },
    /// A list cannot be read, or no authority of the bundle signed it.
    #[error("revocation list {position}: {source}")]
    List {
        /// Counted from 1.
        position: usize,
        /// What is wrong with it.
        source: ListRefused,
    },
    /// An authority has several lists.
    #[error("certificate authority {authority} has {count} revocation lists instead of one")]
    Lists {
        /// Its fingerprint.
        authority: String,
        /// How many.
        count: usize,
    },
    /// No door could use it.
    #[error("authorities and revocation lists are unusable for TLS: {0}")]
    Tls(#[from] TlsError),
    /// An older one than what is in force.
    #[error("sequence {sequence} is lower than {in_force}, which is in force")]
    Older {
        /// Of the message.
        sequence: u64,
        /// Of the one in force.
        in_force: u64,
    },
    /// A list is older than the one in force: what was revoked meanwhile would count again.
    #[error(
        "revocation list {number} of certificate authority {authority} is older than its list {in_force}, which is in force"
    )]
    OlderList {
        /// Fingerprint of the authority.
        authority: String,
        /// Of the message.
        number: u64,
        /// Of the one in force.
        in_force: u64,
    },
    /// A revoked certificate is not named as it should be.
    #[error("revoked certificate {position}: it is not FINGERPRINT:SERIAL in lower-case hex")]
    Serial {
        /// Counted from 1.
        position: usize,
    },
}

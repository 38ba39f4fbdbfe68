//! A [`wire::Trust`], read and checked as a whole.

use std::collections::HashSet;
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

/// Authorities with one revocation list each, and what agents are told of them.
#[derive(Debug)]
pub struct Trust {
    message: wire::Trust,
    bundle: TrustBundle,
    lists: Vec<List>,
    admission: Admission,
}

/// The revocation list of one authority.
#[derive(Debug)]
pub struct List {
    /// Fingerprint of the authority's certificate.
    pub issuer: String,
    /// The list.
    pub list: RevocationList,
    /// Serial numbers that it revokes: asked for every tunnel at every change.
    revoked: HashSet<String>,
}

impl Trust {
    /// Reads a message. Whether its lists are still in time is for [`Trust::is_in_time`]: a copy from the volume is
    /// worth reading when they are not.
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
            lists.push(List { issuer, list, revoked });
        }
        for authority in &authorities {
            match lists.iter().filter(|list| list.issuer == *authority).count() {
                1 => {}
                count => return Err(TrustRefused::Lists { authority: authority.clone(), count }),
            }
        }
        let admission = Admission::checked(&bundle, &message.revocation_lists)?;
        Ok(Self { message, bundle, lists, admission })
    }

    /// That no list has passed its next update.
    ///
    /// # Errors
    /// [`TrustRefused::Expired`].
    pub fn is_in_time(&self, now: Timestamp) -> Result<(), TrustRefused> {
        match self.lists.iter().find(|list| list.list.next_update() <= now) {
            None => Ok(()),
            Some(list) => {
                let at = list.list.next_update();
                Err(TrustRefused::Expired { authority: list.issuer.clone(), at })
            }
        }
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
    pub fn announcement(&self) -> Bytes {
        Bytes::copy_from_slice(&self.message.announcement)
    }

    /// How many certificates are revoked.
    pub fn revoked(&self) -> usize {
        self.lists.iter().map(|list| list.list.entries().len()).sum()
    }

    /// The list whose end is nearest.
    pub fn first_to_end(&self) -> Option<&List> {
        self.lists.iter().min_by_key(|list| list.list.next_update())
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
        self.admission.check(chain, now)
    }

    /// Whether a certificate that was accepted may go on being used.
    ///
    /// # Errors
    /// Why not, in words for the peer. An ended list is no reason here: it closes doors, and says nothing about who is
    /// inside.
    pub fn allows(&self, certificate: &InUse) -> Result<(), &'static str> {
        match self.lists.iter().find(|list| list.issuer == certificate.issuer) {
            None => Err("its certificate authority is no longer trusted"),
            Some(list) if list.revoked.contains(&certificate.serial) => Err("the certificate is revoked"),
            Some(_) => Ok(()),
        }
    }
}

impl List {
    /// Whether less than a third of its life is left: somebody has to look at the operator before doors close.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let (from, to) = (self.list.this_update(), self.list.next_update());
        to.duration_since(now) < SignedDuration::from_secs(to.duration_since(from).as_secs() / 3)
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
    /// A list says nothing any more.
    #[error(
        "revocation list of certificate authority {authority} ended at {at}; compare the clocks of operator and gateway"
    )]
    Expired {
        /// Fingerprint of the authority.
        authority: String,
        /// Its next update.
        at: Timestamp,
    },
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
    /// An authority has no list, or several.
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
}

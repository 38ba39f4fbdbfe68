//! The CAs, in memory, and the certificates made with them. The only place that holds a CA's key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::RegionId;
use sallyport_pki::authority::{Authority, IssueError, Leaf, LeafRequest, Serial};
use sallyport_pki::key::{KeyAlgorithm, KeyError, PrivateKey, PublicKey};
use sallyport_pki::profile::Profile;
use sallyport_plan::authority::denied::Denied;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_runtime::tls::KeyMaterial;

use crate::custody::ring::Ring;

/// The CAs that somebody may be told to trust, by name of their `CertificateAuthority`.
#[derive(Debug, Default)]
pub struct Authorities {
    signers: RwLock<BTreeMap<ObjectKey, Arc<Signer>>>,
    versions: AtomicU64,
    rings: RwLock<BTreeMap<ObjectKey, Arc<Ring>>>,
    conflicts: Mutex<BTreeSet<ObjectKey>>,
}

/// One CA as its users see it: whom to trust, what is revoked, and who signs.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The generation that signs. Nothing while its key is lost: what was vouched for stands and can be revoked, and
    /// nobody new is vouched for.
    pub issuing: Option<Issuing>,
    /// The trust bundle, PEM.
    pub trust: String,
    /// Digest of the trust bundle ([`sallyport_pki::bundle::TrustBundle::digest`]), as peers acknowledge it.
    pub digest: String,
    /// Counts the bundles; a peer never goes back to a lower one.
    pub sequence: u64,
    /// Every generation that is trusted: fingerprint to number.
    pub generations: BTreeMap<String, u32>,
    /// Certificates are renewed, spread over this time, after a new generation began to sign.
    pub renew_within: Duration,
    /// The revocation lists, at most one for each generation that is trusted.
    pub lists: Vec<List>,
    /// What is revoked and on no list, because nobody can sign that.
    pub denied: DenyList,
    /// The generation that signs was made because a key leaked.
    pub emergency: bool,
    /// Whether all of this is what peers are to go by.
    pub standing: Standing,
    /// Another one whenever anything above is another; never two of one process alike. Compare by this.
    pub version: u64,
}

/// Whether what is known of a CA is all there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Settled,
    /// More is published than status and Secret know, and a person has not decided yet what that is
    /// ([`sallyport_plan::status::Trouble::AuthorityRestored`]). What is known is enforced, and nobody new is vouched for.
    Undecided,
}

/// Certificates that are revoked and on no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    /// All: what gateways are told.
    pub all: BTreeSet<Denied>,
    /// Those that the ConfigMap remembers: none of them can be forgotten.
    pub remembered: BTreeSet<Denied>,
}

/// The generation that signs.
#[derive(Clone, Debug)]
pub struct Issuing {
    /// With its key.
    pub authority: Arc<Authority>,
    /// Its number.
    pub number: u32,
    /// SHA-256 of its certificate, in hex.
    pub fingerprint: String,
    /// Since when it signs.
    pub since: Timestamp,
}

/// A certificate revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Fingerprint of the generation that signed it.
    pub issuer: String,
    /// Its number; it never falls.
    pub number: u64,
    /// After this it counts for nothing, and doors that need it are closed.
    pub next_update: Timestamp,
    /// Serial numbers on it, in lower-case hexadecimal, which its ConfigMap remembers too: none of them can be forgotten.
    pub serials: BTreeSet<String>,
    /// DER.
    pub der: Vec<u8>,
}

impl Authorities {
    /// A CA, if anybody is to trust it. It may not be able to sign ([`Signer::issuing`]).
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<Signer>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Whether this process has published all there is to know of a CA.
    pub(crate) fn is_settled(&self, key: &ObjectKey) -> bool {
        self.get(key).is_some_and(|signer| signer.standing == Standing::Settled)
    }

    /// What there is to know of a CA now; `true` when that is news. `signer.version` is given here.
    pub fn put(&self, key: &ObjectKey, mut signer: Signer) -> bool {
        let mut signers = self.signers.write().unwrap_or_else(PoisonError::into_inner);
        if signers.get(key).is_some_and(|known| known.is_same(&signer)) {
            return false;
        }
        signer.version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        signers.insert(key.clone(), Arc::new(signer));
        true
    }

    /// A CA is gone.
    pub fn remove(&self, key: &ObjectKey) -> bool {
        self.forget_ring(key);
        self.signers.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }
}

impl Authorities {
    /// A CA's keys, as they were last read.
    pub(crate) fn ring(&self, key: &ObjectKey) -> Option<Arc<Ring>> {
        self.rings.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// A CA's keys, as they are now.
    pub(crate) fn keep_ring(&self, key: &ObjectKey, ring: Ring) -> Arc<Ring> {
        let ring = Arc::new(ring);
        self.rings.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), ring.clone());
        ring
    }

    /// A CA's keys have changed.
    pub(crate) fn forget_ring(&self, key: &ObjectKey) {
        self.rings.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Somebody else wrote the object first: what the cache says of it is not what it is.
    pub(crate) fn note_conflict(&self, key: &ObjectKey) {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    /// Whether that is so, and forgets it.
    pub(crate) fn take_conflict(&self, key: &ObjectKey) -> bool {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

impl Issuing {
    /// Of a loaded generation that has signed since then.
    pub fn of(authority: Arc<Authority>, since: Timestamp) -> Self {
        let generation = authority.generation();
        Self { authority, number: generation.number, fingerprint: generation.fingerprint, since }
    }
}

impl Signer {
    /// Fingerprint of the generation that signs.
    ///
    /// # Errors
    /// [`MakeError::NoKey`] when none can.
    pub fn fingerprint(&self) -> Result<&str, MakeError> {
        Ok(&self.issuing()?.fingerprint)
    }

    /// The generation that signs.
    ///
    /// # Errors
    /// [`MakeError::NoKey`] when none can.
    pub fn issuing(&self) -> Result<&Issuing, MakeError> {
        self.issuing.as_ref().ok_or(MakeError::NoKey)
    }

    /// Whether it vouches for anybody new.
    ///
    /// # Errors
    /// [`MakeError::NoKey`], [`MakeError::Undecided`].
    pub fn vouches(&self) -> Result<(), MakeError> {
        match self.standing {
            Standing::Settled => self.issuing().map(drop),
            Standing::Undecided => Err(MakeError::Undecided),
        }
    }

    /// Whether a certificate is on a list, or denied, where it cannot be forgotten.
    pub fn revokes(&self, serial: &str) -> bool {
        self.lists.iter().any(|list| list.serials.contains(serial))
            || self.denied.remembered.iter().any(|denied| denied.serial == serial)
    }

    /// A certificate for somebody else's key. While a person has yet to decide whom to trust, only the operator itself
    /// gets one, so that what is known goes on being enforced.
    pub fn sign(
        &self,
        region: &RegionId,
        profile: Profile,
        public_key: PublicKey,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Leaf, MakeError> {
        if !matches!(profile, Profile::ConfigSigner | Profile::Operator) {
            self.vouches()?;
        }
        let request = LeafRequest { region: region.clone(), profile, public_key, lifetime, serial: serial() };
        Ok(self.issuing()?.authority.issue(&request, now)?)
    }

    /// A key and its certificate.
    pub fn issue(
        &self,
        region: &RegionId,
        profile: Profile,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Issued, MakeError> {
        self.issuing()?;
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let leaf = self.sign(region, profile, key.public_key(), lifetime, now)?;
        Ok(Issued { key, leaf })
    }

    fn is_same(&self, other: &Self) -> bool {
        let outline = |s: &Self| {
            let signs = s.issuing.as_ref().map(|issuing| (issuing.fingerprint.clone(), issuing.since));
            (signs, s.trust.clone(), s.sequence, s.generations.clone(), s.renew_within, s.emergency, s.standing)
        };
        outline(self) == outline(other) && self.lists == other.lists && self.denied == other.denied
    }

    /// A CA of one generation, with no revocation list.
    #[cfg(test)]
    pub(crate) fn alone(authority: Authority) -> Self {
        let since = authority.not_before();
        let (bundle, issuing) = (authority.bundle(), Issuing::of(Arc::new(authority), since));
        Self {
            trust: bundle.to_pem(),
            digest: bundle.digest(),
            sequence: 1,
            generations: BTreeMap::from([(issuing.fingerprint.clone(), issuing.number)]),
            renew_within: Duration::from_secs(86_400),
            lists: Vec::new(),
            denied: DenyList::default(),
            emergency: false,
            standing: Standing::Settled,
            version: 1,
            issuing: Some(issuing),
        }
    }
}

/// Sixteen bytes of the operating system's randomness.
pub fn serial() -> Serial {
    Serial::from_random(rand::random())
}

/// A key and its certificate.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub key: PrivateKey,
    /// Its certificate.
    pub leaf: Leaf,
}

impl Issued {
    /// For TLS.
    pub fn material(&self) -> KeyMaterial {
        KeyMaterial { chain_pem: self.leaf.pem.clone(), key_pem: self.key.to_pem() }
    }

    /// Two thirds of its life, when it is renewed.
    pub fn renew_at(&self) -> Timestamp {
        let validity =
            sallyport_pki::inspect::Validity { not_before: self.leaf.not_before, not_after: self.leaf.not_after };
        sallyport_plan::certificate::renew_at(&validity)
    }
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The CA does not sign it.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// No key could be made for the certificate.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The CA's own key is lost.
    #[error("the certificate authority has no key to sign with")]
    NoKey,
    /// A person has to decide first whom to trust.
    #[error("more is published than the certificate authority knows, and that has to be decided first")]
    Undecided,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sallyport_core::name::EndpointId;
    use sallyport_pki::authority::AuthoritySubject;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn authority(key: PrivateKey, now: Timestamp) -> Authority {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        Authority::create(1, &subject, Box::new(key), 10 * YEAR, serial(), now).unwrap()
    }

    fn signer() -> Signer {
        let now = Timestamp::now();
        Signer::alone(authority(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap(), now))
    }

    /// A CA that was restored from a backup knows nothing of what it issued since, and needs not.
    #[test]
    fn restored_from_an_older_backup_it_uses_no_serial_again() {
        let now = Timestamp::now();
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let backup = key.to_pem().to_string();
        let original = authority(key, now);
        let certificate = original.certificate_pem();
        let region = RegionId::parse("dmz", "eu").unwrap();
        let profile = || Profile::Endpoint(EndpointId::parse("lyon", "agent").unwrap());
        let mut seen = HashSet::new();
        let mut issue = |authority: Authority| {
            let signer = Signer::alone(authority);
            for _ in 0..300 {
                let issued = signer.issue(&region, profile(), YEAR, now).unwrap();
                assert!(seen.insert(issued.leaf.serial.clone()), "serial {} comes twice", issued.leaf.serial);
            }
        };
        issue(original);
        for _ in 0..2 {
            let restored = Box::new(PrivateKey::from_pem(&backup).unwrap());
            issue(Authority::load(1, &certificate, restored).unwrap());
        }
    }

    #[test]
    fn users_see_another_version_exactly_when_something_differs() {
        let (authorities, key) = (Authorities::default(), ObjectKey::new("dmz", "eu"));
        let signer = signer();
        let version = || authorities.get(&key).unwrap().version;
        assert!(authorities.put(&key, signer.clone()));
        let first = version();
        assert!(!authorities.put(&key, signer.clone()));
        assert_eq!(version(), first);
        let list = List {
            issuer: "g1".into(),
            number: 1,
            next_update: Timestamp::now(),
            serials: BTreeSet::new(),
            der: vec![1],
        };
        type Change = fn(&mut Signer, &List);
        let changes: [Change; 9] = [
            |s, _| s.emergency = true,
            |s, _| s.standing = Standing::Undecided,
            |s, _| s.denied.all.extend([denied()]),
            |s, _| s.issuing = None,
            |s, _| s.trust.push('x'),
            |s, _| s.sequence += 1,
            |s, _| s.renew_within = Duration::ZERO,
            |s, _| s.generations = BTreeMap::from([("x".into(), 9)]),
            |s, list| s.lists.push(list.clone()),
        ];
        for change in changes {
            let (mut other, before) = (signer.clone(), version());
            change(&mut other, &list);
            assert!(authorities.put(&key, other));
            assert!(version() > before);
        }
        // One that was removed and comes back is another, too.
        let before = version();
        assert!(authorities.remove(&key) && authorities.put(&key, signer));
        assert!(version() > before);
    }

    fn denied() -> Denied {
        Denied { issuer: "ab".repeat(32), serial: "4a".into(), not_after: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn what_is_denied_counts_as_revoked_once_it_is_remembered() {
        let mut signer = signer();
        signer.denied.all.insert(denied());
        assert!(!signer.revokes("4a"));
        signer.denied.remembered.insert(denied());
        assert!(signer.revokes("4a") && !signer.revokes("4b"));
    }

    /// What was restored from an older backup may name an older generation as the one that signs.
    #[test]
    fn while_it_is_undecided_whom_to_trust_only_the_operator_itself_is_vouched_for() {
        let signer = Signer { standing: Standing::Undecided, ..signer() };
        let (region, now) = (RegionId::parse("dmz", "eu").unwrap(), Timestamp::now());
        for own in [Profile::Operator, Profile::ConfigSigner] {
            assert!(signer.issue(&region, own, Duration::from_secs(3600), now).is_ok());
        }
        let endpoint = Profile::Endpoint(EndpointId::parse("lyon", "agent").unwrap());
        assert!(matches!(signer.issue(&region, endpoint, YEAR, now), Err(MakeError::Undecided)));
    }

    #[test]
    fn without_its_key_it_vouches_for_nobody_new() {
        let signer = Signer { issuing: None, ..signer() };
        let region = RegionId::parse("dmz", "eu").unwrap();
        let refused = signer.issue(&region, Profile::Operator, YEAR, Timestamp::now());
        assert!(matches!(refused, Err(MakeError::NoKey)));
        assert!(!signer.trust.is_empty());
    }
}

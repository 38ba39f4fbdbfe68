//! What an authority publishes in its ConfigMap, written and read back: the bundle, the revocation lists, and how far
//! the numbers have come. It is a second memory beside status and Secret, and one that others may write to: it tells
//! that something was lost, and never makes anybody trusted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use sallyport_pki::pem;
use sallyport_pki::revocation::RevocationList;
use sallyport_pki::rotation::State;
use serde_json::{Value, json};

use super::denied::Denied;

/// Annotation with the bundle's number.
pub const SEQUENCE: &str = "sallyport.dev/trust-sequence";
/// Annotation with each certificate's generation: `1=FINGERPRINT,2=FINGERPRINT`.
pub const GENERATIONS: &str = "sallyport.dev/generations";
/// Key of the bundle.
pub const BUNDLE: &str = "ca.crt";
/// Key of the revocation lists.
pub const LISTS: &str = "crls.pem";
/// Key of what belongs on a list that nobody can sign, one in each line.
pub const DENIED: &str = "denied";

/// The API server takes a ConfigMap of 1 MiB; names, labels and annotations need some of it.
pub const MAX_BYTES: usize = 1024 * 1024 - 16 * 1024;
/// A number further ahead of the clock than this was not given by an operator.
const FUTURE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What the ConfigMap says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Certificates by fingerprint, DER.
    pub certificates: BTreeMap<String, Vec<u8>>,
    /// Numbers of the generations by fingerprint, as far as they are noted.
    pub numbers: BTreeMap<String, u32>,
    /// Number of the bundle.
    pub sequence: u64,
    /// Revocation lists that one of the certificates signed, with that one's fingerprint.
    pub lists: Vec<(String, RevocationList)>,
    /// What belongs on a list that nobody can sign.
    pub denied: BTreeSet<Denied>,
}

/// Reads what is readable; a ConfigMap is only a memory, and what is damaged in it is written anew.
pub fn read(config_map: &Value, now: Timestamp) -> Published {
    let text = |key: &str| config_map["data"][key].as_str().unwrap_or_default();
    let annotation = |key: &str| config_map["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let bundle = TrustBundle::from_pem(text(BUNDLE)).unwrap_or_default();
    let latest = u64::try_from(now.saturating_add(FUTURE).unwrap_or(now).as_second()).unwrap_or_default();
    let lists = CertificateRevocationListDer::pem_slice_iter(text(LISTS).as_bytes()).filter_map(|der| {
        let list = RevocationList::parse(&der.ok()?).ok()?;
        Some((list.verify(&bundle).ok()?, list))
    });
    Published {
        certificates: bundle.certificates().map(|der| (inspect::fingerprint(&der), der.to_vec())).collect(),
        numbers: annotation(GENERATIONS).split(',').filter_map(numbered).collect(),
        sequence: annotation(SEQUENCE).parse().ok().filter(|sequence| *sequence <= latest).unwrap_or(0),
        lists: lists.collect(),
        denied: text(DENIED).lines().filter_map(|line| line.parse().ok()).collect(),
    }
}

impl Published {
    /// The certificates with their numbers, by number. One without a note is from before rotations, when there was one;
    /// what is noted twice or beyond sense gets a number above the others.
    pub fn numbered(&self) -> BTreeMap<u32, &Vec<u8>> {
        let (mut numbered, mut others) = (BTreeMap::new(), Vec::new());
        for (fingerprint, der) in &self.certificates {
            match self.numbers.get(fingerprint) {
                Some(number) if !numbered.contains_key(number) => drop(numbered.insert(*number, der)),
                _ => others.push(der),
            }
        }
        for der in others {
            let above = numbered.last_key_value().map_or(1, |(number, _)| number.saturating_add(1));
            numbered.insert(above, der);
        }
        numbered
    }
}

/// A number that no operator can have come to would leave none for those to come.
const MAX_NUMBER: u32 = 1_000_000;

fn numbered(entry: &str) -> Option<(String, u32)> {
    let (number, fingerprint) = entry.split_once('=')?;
    let number = number.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number))?;
    Some((fingerprint.to_owned(), number))
}

/// Certificates that are published and that neither status nor Secret (`kept`, fingerprints) knows, by fingerprint: an
/// older backup was restored, or somebody else wrote the ConfigMap. Those that have ended matter to nobody.
pub fn unknown(published: &Published, state: &State, kept: &[&str], now: Timestamp) -> Vec<String> {
    let in_state = |fingerprint: &str| state.generations.iter().any(|g| g.generation.fingerprint == fingerprint);
    let lives = |der: &[u8]| inspect::validity(der).is_ok_and(|validity| now <= validity.not_after);
    let unknown = published
        .certificates
        .iter()
        .filter(|(fingerprint, der)| !in_state(fingerprint) && !kept.contains(&fingerprint.as_str()) && lives(der));
    unknown.map(|(fingerprint, _)| fingerprint.clone()).collect()
}

/// The annotations of the ConfigMap.
pub fn annotations(state: &State) -> Value {
    let generations = state.generations.iter().map(|g| format!("{}={}", g.generation.number, g.generation.fingerprint));
    json!({ SEQUENCE: state.sequence.to_string(), GENERATIONS: generations.collect::<Vec<_>>().join(",") })
}

/// What belongs on lists that nobody can sign, as lines.
pub fn denied_lines(denied: &BTreeSet<Denied>) -> String {
    denied.iter().map(|one| format!("{one}\n")).collect()
}

/// Revocation lists as PEM (RFC 7468 section 6).
pub fn lists_pem<'a>(lists: impl IntoIterator<Item = &'a [u8]>) -> String {
    lists.into_iter().map(pem::revocation_list).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sallyport_pki::authority::{Authority, AuthoritySubject, Serial};
    use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
    use sallyport_pki::revocation::{Reason, Revocation};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn authority(number: u32) -> Authority {
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let serial = Serial::from_random([u8::try_from(number).unwrap(); 16]);
        Authority::create(number, &subject, Box::new(key), Duration::from_secs(1_000_000), serial, now()).unwrap()
    }

    fn config_map(bundle: &str, lists: &str, sequence: &str) -> Value {
        json!({ "metadata": { "annotations": { SEQUENCE: sequence, GENERATIONS: "1=aa,3=bb" } },
            "data": { BUNDLE: bundle, LISTS: lists } })
    }

    #[test]
    fn what_is_published_is_read_back() {
        let (one, other) = (authority(1), authority(2));
        let revoked = [Revocation { serial_hex: "4a".into(), at: now(), reason: Reason::KeyCompromise }];
        let list = |a: &Authority| a.revocation_list(&revoked, 7, now(), now() + FUTURE).unwrap();
        let (mine, foreign) = (list(&one), list(&other));
        let text = lists_pem([mine.as_slice(), foreign.as_slice()]);
        let published = read(&config_map(&one.bundle().to_pem(), &text, "1800000000"), now());
        assert_eq!((published.numbers["bb"], published.sequence), (3, 1_800_000_000));
        assert_eq!(published.certificates, [(one.fingerprint(), one.certificate_der().to_vec())].into());
        assert_eq!(published.lists.len(), 1, "a list that no published certificate signed is none");
        assert_eq!((published.lists[0].0.as_str(), published.lists[0].1.der()), (one.fingerprint().as_str(), &*mine));
        let state = State::default();
        assert_eq!(unknown(&published, &state, &[], now()), [one.fingerprint()]);
        assert!(unknown(&published, &state, &[&one.fingerprint()], now()).is_empty());
        let later = one.not_after() + FUTURE;
        assert!(unknown(&published, &state, &[], later).is_empty(), "what has ended matters to nobody");
    }

    /// What the manual promises, with the longest serial numbers and a reason each.
    #[test]
    fn fourteen_thousand_revocations_fit() {
        let authority = authority(1);
        let lists = |count: u128| {
            let serial = |n: u128| format!("{:032x}", (0x7f << 120) + n);
            let one = |n| Revocation { serial_hex: serial(n), at: now(), reason: Reason::KeyCompromise };
            let revoked: Vec<_> = (0..count).map(one).collect();
            let der = authority.revocation_list(&revoked, 7, now(), now() + FUTURE).unwrap();
            authority.bundle().to_pem().len() * 10 + lists_pem([der.as_slice()]).len()
        };
        assert!(lists(14_000) <= MAX_BYTES && lists(17_000) > MAX_BYTES);
    }

    #[test]
    fn what_is_on_no_list_is_read_back_and_a_damaged_line_costs_no_other() {
        let one = |serial: &str| Denied { issuer: "ab".repeat(32), serial: serial.into(), not_after: now() };
        let denied = BTreeSet::from([one("4a"), one("4b")]);
        let mut config_map = config_map("", "", "1");
        config_map["data"][DENIED] = format!("x\n{}\n:\n", denied_lines(&denied)).into();
        assert_eq!(read(&config_map, now()).denied, denied);
    }

    #[test]
    fn a_damaged_memory_says_nothing() {
        let bundle = authority(1).bundle().to_pem();
        for (bundle, lists, sequence) in
            [("x", "", "5"), (&bundle[1..], "-----BEGIN X509 CRL-----\nAA\n", "-1"), ("", "", "x")]
        {
            let published = read(&config_map(bundle, lists, sequence), now());
            assert!(published.certificates.is_empty() && published.lists.is_empty());
        }
        let far = read(&config_map("", "", "99999999999"), now());
        assert_eq!(far.sequence, 0, "nobody makes peers refuse all bundles to come");
        assert_eq!(read(&Value::Null, now()), Published::default());
    }
}

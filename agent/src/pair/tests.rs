use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use sallyport_testkit::{Ca, Credential};
use tempfile::TempDir;

use super::*;

struct Folder {
    folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        Self { folder, certificate, key }
    }

    fn pair(&self) -> Pair<'_> {
        Pair { certificate: &self.certificate, key: &self.key }
    }

    fn serial(&self) -> String {
        assert!(fits(&self.certificate, &self.key), "no usable pair");
        inspect::serial_hex(&leaf(&self.certificate).unwrap()).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn material(credential: &Credential) -> KeyMaterial {
    KeyMaterial { chain_pem: credential.chain_pem.clone(), key_pem: credential.key_pem.clone() }
}

fn credentials() -> [Credential; 2] {
    let ca = Ca::new("dmz", "frankfurt");
    [ca.endpoint("lyon", "ct"), ca.endpoint("lyon", "ct")]
}

#[test]
fn both_are_replaced_and_nothing_is_left() {
    let folder = Folder::new();
    for credential in credentials() {
        folder.pair().replace(&material(&credential)).unwrap();
        assert_eq!(folder.serial(), credential.serial);
    }
    assert_eq!(folder.names(), BTreeSet::from(["tls.crt".to_owned(), "tls.key".to_owned()]));
    assert_eq!(fs::metadata(&folder.key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.pair().recover().unwrap(), Recovered::Nothing);
}

/// A process killed after the n-th step, and killed again after the m-th of the recovery, for every n and m.
#[test]
fn after_a_crash_between_any_two_steps_there_is_a_usable_pair() {
    let [old, new] = credentials();
    for done in 0..=Step::ALL.len() {
        for killed_again in [false, true] {
            let folder = Folder::new();
            folder.pair().replace(&material(&old)).unwrap();
            for step in &Step::ALL[..done] {
                folder.pair().take(*step, &material(&new)).unwrap();
            }
            if killed_again && done == 2 {
                // The only recovery of two steps, killed between them.
                put_in_place(&folder.key).unwrap();
            }
            let recovered = folder.pair().recover().unwrap();
            let (serial, expected) = match done {
                0 => (&old.serial, Recovered::Nothing),
                1 => (&old.serial, Recovered::Discarded),
                2 | 3 => (&new.serial, Recovered::Finished),
                _ => (&new.serial, Recovered::Nothing),
            };
            assert_eq!((&folder.serial(), recovered), (serial, expected), "after {done} steps");
            assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
            assert_eq!(folder.pair().recover().unwrap(), Recovered::Nothing);
        }
    }
}

#[test]
fn the_first_pair_survives_a_crash_too() {
    let [new, _] = credentials();
    for done in 2..=Step::ALL.len() {
        let folder = Folder::new();
        for step in &Step::ALL[..done] {
            folder.pair().take(*step, &material(&new)).unwrap();
        }
        folder.pair().recover().unwrap();
        assert_eq!(folder.serial(), new.serial);
    }
}

#[test]
fn a_replacement_that_does_not_fit_or_is_the_older_one_is_thrown_away() {
    let [old, new] = credentials();
    // A certificate alone, of another key than is in place.
    let folder = Folder::new();
    folder.pair().replace(&material(&old)).unwrap();
    folder.pair().take(Step::WriteCertificate, &material(&new)).unwrap();
    assert_eq!(folder.pair().recover().unwrap(), Recovered::Discarded);
    assert_eq!((folder.serial(), folder.names().len()), (old.serial.clone(), 2));

    // Half a file, as a disk that was full leaves none, but a person might.
    fs::write(next(&folder.key), "half").unwrap();
    fs::write(next(&folder.certificate), &new.chain_pem).unwrap();
    assert_eq!(folder.pair().recover().unwrap(), Recovered::Discarded);
    assert_eq!(folder.serial(), old.serial);

    // After the crash somebody copied a younger pair there by hand.
    let younger = younger();
    folder.pair().replace(&material(&younger)).unwrap();
    for step in [Step::WriteKey, Step::WriteCertificate] {
        folder.pair().take(step, &material(&new)).unwrap();
    }
    assert_eq!(folder.pair().recover().unwrap(), Recovered::Discarded);
    assert_eq!(folder.serial(), younger.serial);
}

#[test]
fn one_file_for_both_is_replaced_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.pem");
    let pair = Pair { certificate: &path, key: &path };
    for credential in credentials() {
        pair.replace(&material(&credential)).unwrap();
        assert!(fits(&path, &path));
        let read = KeyMaterial::read(&path, &path).unwrap();
        assert_eq!(read.leaf().unwrap().to_vec(), credential.der);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(pair.recover().unwrap(), Recovered::Nothing);
}

#[test]
fn what_cannot_be_written_is_named() {
    let [old, _] = credentials();
    let folder = Folder::new();
    let nowhere = folder.folder.path().join("nowhere/tls.key");
    let error = Pair { certificate: &folder.certificate, key: &nowhere }.replace(&material(&old)).unwrap_err();
    assert!(error.to_string().contains("nowhere/tls.key"), "{error}");
}

/// Begins later than what [`credentials`] gives.
fn younger() -> Credential {
    use sallyport_pki::authority::{LeafRequest, Serial};
    use sallyport_pki::key::KeyAlgorithm;
    use sallyport_pki::profile::Profile;

    let ca = Ca::new("dmz", "frankfurt");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = LeafRequest {
        region: ca.region().clone(),
        profile: Profile::Endpoint("lyon/ct".parse().unwrap()),
        public_key: key.public_key(),
        lifetime: std::time::Duration::from_secs(3600),
        serial: Serial::from_random([7; 16]),
    };
    let leaf = ca.authority().issue(&request, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
    Credential { der: leaf.der, chain_pem: leaf.pem, key_pem: key.to_pem(), serial: leaf.serial }
}

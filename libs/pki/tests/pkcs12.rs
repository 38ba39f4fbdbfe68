//! openssl opens the PKCS#12 files, and only with the password.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod openssl;

use openssl::openssl;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect::CertificateError;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::pkcs12::{KeystoreError, keystore};
use sallyport_testkit::{Ca, Credential};

const PASSWORD: &str = "correct horse Zürich 🐎";

fn file(credential: &Credential, trust: &TrustBundle, password: &str) -> Result<Vec<u8>, KeystoreError> {
    keystore(&credential.key(), &credential.der, trust, password)
}

/// What openssl finds with this password.
fn open(file: &[u8], password: &str, more: &[&str]) -> Result<(Vec<u8>, String), String> {
    let pass = format!("pass:{password}");
    openssl(&[&["pkcs12", "-nodes", "-passin", &pass], more].concat(), file)
}

#[test]
fn openssl_finds_key_certificate_and_authorities() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    let (leaf, trust) = (old.endpoint("lyon", "ct"), old.bundle_with(&new));
    // One byte, several characters of several bytes, and one that fills more than a block of the MAC's derivation.
    for password in ["x", PASSWORD, &"0123456789".repeat(50)] {
        let file = file(&leaf, &trust, password).unwrap();
        let (text, _) = open(&file, password, &[]).unwrap();
        let key = PrivateKey::from_pem(std::str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!(key.public_key(), leaf.key().public_key());
        let found: Vec<_> = CertificateDer::pem_slice_iter(&text).map(|der| der.unwrap().to_vec()).collect();
        let mut expected = vec![leaf.der.clone()];
        expected.extend(trust.certificates().map(|der| der.to_vec()));
        assert_eq!(found, expected);
        let (own, _) = open(&file, password, &["-clcerts", "-nokeys"]).unwrap();
        let own: Vec<_> = CertificateDer::pem_slice_iter(&own).map(|der| der.unwrap().to_vec()).collect();
        assert_eq!(own, vec![leaf.der.clone()], "the one that has the key");
        assert!(open(&file, &format!("{password}x"), &[]).unwrap_err().contains("invalid password"));
    }
}

#[test]
fn it_is_encrypted_as_promised() {
    let ca = Ca::new("dmz", "eu");
    let leaf = ca.endpoint("lyon", "ct");
    let file = file(&leaf, &ca.bundle(), PASSWORD).unwrap();
    let (_, remarks) = open(&file, PASSWORD, &["-info", "-noout"]).unwrap();
    let encryption = "PBES2, PBKDF2, AES-256-CBC, Iteration 50000, PRF hmacWithSHA256";
    assert!(remarks.contains("MAC: sha256, Iteration 10000"), "{remarks}");
    assert!(remarks.contains(&format!("PKCS7 Encrypted data: {encryption}")), "{remarks}");
    assert!(remarks.contains(&format!("Shrouded Keybag: {encryption}")), "{remarks}");
    // Neither the key nor the names are there to be read.
    for part in [leaf.der.as_slice(), b"sallyport://", b"lyon"] {
        assert!(!file.windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn no_two_files_are_the_same_and_a_damaged_one_is_noticed() {
    let ca = Ca::new("dmz", "eu");
    let leaf = ca.endpoint("lyon", "ct");
    let (one, two) = (file(&leaf, &ca.bundle(), PASSWORD).unwrap(), file(&leaf, &ca.bundle(), PASSWORD).unwrap());
    assert_ne!(one, two);
    let mut damaged = one;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(open(&damaged, PASSWORD, &[]).is_err());
}

#[test]
fn a_p384_key_goes_in_too() {
    let ca = Ca::new("dmz", "eu");
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let leaf = ca.issue_to(&key, sallyport_pki::profile::Profile::Operator);
    let file = keystore(&key, &leaf.der, &ca.bundle(), PASSWORD).unwrap();
    let (text, _) = open(&file, PASSWORD, &["-nocerts"]).unwrap();
    let found = PrivateKey::from_pem(std::str::from_utf8(&text).unwrap()).unwrap();
    assert_eq!(found.public_key(), key.public_key());
}

#[test]
fn what_does_not_belong_together_makes_no_file() {
    let ca = Ca::new("dmz", "eu");
    let (leaf, other) = (ca.endpoint("lyon", "ct"), ca.endpoint("lyon", "mr"));
    let make = |der: &[u8], password: &str| keystore(&leaf.key(), der, &ca.bundle(), password).unwrap_err();
    assert_eq!(make(&other.der, PASSWORD), KeystoreError::ForeignCertificate);
    assert_eq!(make(b"junk", PASSWORD), KeystoreError::Certificate(CertificateError::Unreadable));
    assert_eq!(make(&leaf.der, ""), KeystoreError::Password);
    assert_eq!(make(&leaf.der, &"x".repeat(1025)), KeystoreError::Password);
}

//! Keys of a CA in a PKCS#11 token, with SoftHSM (Debian package `softhsm2`). A module reads its configuration from the
//! environment of its process, so each scene runs in a process of its own: this test program, started anew.
//!
//! SoftHSM is not optional here: without it these tests fail.

#![cfg(feature = "pkcs11")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sallyport_api::common::SecretKeyRef;
use sallyport_core::name::{EndpointId, RegionId};
use sallyport_operator::authorities::serial;
use sallyport_operator::custody::{Custody, CustodyError, Pin, Place};
use sallyport_pki::authority::{Authority, AuthoritySubject, LeafRequest};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::key::{KeyAlgorithm, PrivateKey};
use sallyport_pki::profile::Profile;
use sallyport_pki::revocation::{Reason, Revocation, RevocationList};
use sallyport_plan::authority::keys::{StoredKey, TokenKey, token_label};

const TOKEN: &str = "sallyport test";
const PIN: &str = "correct-horse-83";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
/// Tells a scene, which is run in a process of its own, where its folder is.
const FOLDER: &str = "SALLYPORT_TEST_TOKEN_FOLDER";

/// A token in a folder of its own.
struct Token(tempfile::TempDir);

impl Token {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            folder.path().join("tokens").display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), configuration).unwrap();
        let token = Self(folder);
        token.util(&["--init-token", "--free", "--label", TOKEN, "--so-pin", "so-pin-1", "--pin", PIN]);
        token
    }

    fn util(&self, args: &[&str]) {
        let run = Command::new("softhsm2-util").args(args).env("SOFTHSM2_CONF", self.configuration()).output();
        let run = run.expect("softhsm2-util is not installed; remedy: apt-get install softhsm2 (make unit-tools)");
        assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// Runs a scene, and fails with what it said.
    fn scene(&self, name: &str) {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"])
            .env("SOFTHSM2_CONF", self.configuration())
            .env(FOLDER, self.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
        assert!(said.contains("1 passed"), "scene {name} did not run: {said}");
    }

    fn configuration(&self) -> PathBuf {
        self.0.path().join("softhsm2.conf")
    }
}

#[test]
fn a_ca_signs_in_its_token_and_goes_on_after_a_restart() {
    let token = Token::new();
    token.scene("scene_create");
    token.scene("scene_restart");
    token.scene("scene_nothing_comes_out");
    token.scene("scene_destroy");
    token.scene("scene_destroyed");
}

#[test]
fn a_wrong_pin_and_a_token_that_is_gone_are_told_apart_from_a_lost_key() {
    let token = Token::new();
    token.scene("scene_create");
    token.scene("scene_wrong_pin");
    token.util(&["--delete-token", "--token", TOKEN]);
    token.scene("scene_token_gone");
}

#[test]
fn a_module_that_cannot_be_loaded_is_a_condition_and_no_crash() {
    let custody = Custody::new(Some("/nonexistent/module.so".into()));
    let error = custody.open(&stored(1), Some(&Pin::new(PIN))).unwrap_err();
    assert!(!error.is_gone() && error.to_string().contains("cannot be loaded"), "{error}");
    let error = Custody::new(None).open(&stored(1), Some(&Pin::new(PIN))).unwrap_err();
    assert!(!error.is_gone() && error.to_string().contains("--pkcs11-module"), "{error}");
    let error = Custody::new(None).open(&stored(1), None).unwrap_err();
    assert!(error.to_string().contains("pin-secret"), "{error}");
}

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).map(PathBuf::from).expect("a scene is run by its test")
}

fn custody() -> Custody {
    let module = MODULES.iter().find(|module| Path::new(module).exists());
    Custody::new(Some(module.expect("libsofthsm2.so is not there").into()))
}

fn at(number: u32) -> TokenKey {
    TokenKey {
        token: TOKEN.into(),
        key: token_label("dmz", "eu", number),
        pin_ref: SecretKeyRef { name: "pin-secret".into(), key: "pin".into() },
    }
}

fn stored(number: u32) -> StoredKey {
    StoredKey::Token(at(number))
}

fn load(custody: &Custody, number: u32) -> Authority {
    let certificate = std::fs::read_to_string(folder().join(format!("{number}.crt"))).unwrap();
    let key = custody.open(&stored(number), Some(&Pin::new(PIN))).unwrap();
    Authority::load(number, &certificate, key).unwrap()
}

fn issue(authority: &Authority) -> Vec<u8> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = LeafRequest {
        region: RegionId::parse("dmz", "eu").unwrap(),
        profile: Profile::Endpoint(EndpointId::parse("lyon", "agent").unwrap()),
        public_key: key.public_key(),
        lifetime: Duration::from_secs(3600),
        serial: serial(),
    };
    authority.issue(&request, Timestamp::now()).unwrap().der
}

/// A second implementation checks chain and list: whoever connects does.
fn check(authority: &Authority) {
    let (trust, now) = (authority.bundle(), Timestamp::now());
    let leaf = issue(authority);
    let serial_hex = sallyport_pki::inspect::serial_hex(&leaf).unwrap();
    let list = |entries: &[Revocation], number| {
        let der = authority.revocation_list(entries, number, now, now + SignedDuration::from_hours(1)).unwrap();
        assert_eq!(RevocationList::parse(&der).unwrap().verify(&trust).unwrap(), authority.fingerprint());
        der
    };
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()));
    let admits = |der| sallyport_runtime::tls::admits_checked(&trust, &[der], &[leaf.clone().into()], time);
    assert!(admits(list(&[], 1)).is_ok());
    let revoked = [Revocation { serial_hex, at: now, reason: Reason::KeyCompromise }];
    assert!(admits(list(&revoked, 2)).is_err());
}

#[test]
#[ignore = "a scene"]
fn scene_create() {
    let custody = custody();
    for (number, algorithm) in [(1, KeyAlgorithm::EcdsaP256), (2, KeyAlgorithm::EcdsaP384)] {
        let place = Place::Token { at: at(number), pin: Pin::new(&format!("{PIN}\n")) };
        let (key, kept) = custody.make(&place, algorithm).unwrap();
        assert_eq!(kept, stored(number));
        let subject = AuthoritySubject { common_name: "EU".into(), organization: None };
        let day = Duration::from_secs(86_400);
        let authority = Authority::create(number, &subject, key, 30 * day, serial(), Timestamp::now()).unwrap();
        check(&authority);
        std::fs::write(folder().join(format!("{number}.crt")), authority.certificate_pem()).unwrap();
        // What was made before a crash is used, and what it is must fit.
        let (again, _) = custody.make(&place, algorithm).unwrap();
        assert!(Authority::load(number, &authority.certificate_pem(), again).is_ok());
        let other = match algorithm {
            KeyAlgorithm::EcdsaP256 => KeyAlgorithm::EcdsaP384,
            KeyAlgorithm::EcdsaP384 => KeyAlgorithm::EcdsaP256,
        };
        assert!(matches!(custody.make(&place, other), Err(CustodyError::Token { .. })));
    }
}

#[test]
#[ignore = "a scene"]
fn scene_restart() {
    let custody = custody();
    for number in [1, 2] {
        check(&load(&custody, number));
    }
    // Many at a time, from threads of a runtime: the token's one session is shared in order.
    let authority = std::sync::Arc::new(load(&custody, 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let signing = (0..8).map(|_| {
            let authority = authority.clone();
            tokio::spawn(async move { issue(&authority) })
        });
        for signed in signing.collect::<Vec<_>>() {
            assert!(!signed.await.unwrap().is_empty());
        }
    });
}

/// The private half says of itself that it never was outside and never will be.
#[test]
#[ignore = "a scene"]
fn scene_nothing_comes_out() {
    use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
    use cryptoki::object::{Attribute, AttributeType, ObjectClass};
    use cryptoki::session::UserType;
    use cryptoki::types::AuthPin;
    let module = MODULES.iter().find(|module| Path::new(module).exists()).unwrap();
    let library = Pkcs11::new(module).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    let session = library.open_ro_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        let asked = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
            AttributeType::Value,
        ];
        let said = session.get_attributes(key, &asked).unwrap();
        for wanted in [
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
        ] {
            assert!(said.contains(&wanted), "{wanted:?} is not in {said:?}");
        }
        assert!(!said.iter().any(|attribute| matches!(attribute, Attribute::Value(_))), "the key came out");
    }
}

#[test]
#[ignore = "a scene"]
fn scene_wrong_pin() {
    let error = custody().open(&stored(1), Some(&Pin::new("wrong-staple-7"))).unwrap_err();
    let text = format!("{error} {error:?} {:?}", Pin::new(PIN));
    assert!(!error.is_gone(), "a key behind a wrong PIN is not lost: {text}");
    assert!(text.contains("PIN is wrong") && !text.contains("wrong-staple-7") && !text.contains(PIN), "{text}");
    check(&load(&custody(), 1));
}

#[test]
#[ignore = "a scene"]
fn scene_token_gone() {
    let error = custody().open(&stored(1), Some(&Pin::new(PIN))).unwrap_err();
    assert!(!error.is_gone() && error.to_string().contains("not there"), "{error}");
}

/// The key of a CA that is in use is destroyed: it signs nothing more, also in the process that had it open.
#[test]
#[ignore = "a scene"]
fn scene_destroy() {
    let custody = custody();
    let (authority, pin) = (load(&custody, 1), Pin::new(PIN));
    custody.destroy(&stored(1), Some(&pin)).unwrap();
    custody.destroy(&stored(1), Some(&pin)).unwrap();
    assert!(custody.open(&stored(1), Some(&pin)).unwrap_err().is_gone());
    let now = Timestamp::now();
    assert!(authority.revocation_list(&[], 3, now, now + SignedDuration::from_hours(1)).is_err());
    check(&load(&custody, 2));
}

#[test]
#[ignore = "a scene"]
fn scene_destroyed() {
    let error = custody().open(&stored(1), Some(&Pin::new(PIN))).unwrap_err();
    assert!(error.is_gone(), "{error}");
    let certificate = std::fs::read_to_string(folder().join("1.crt")).unwrap();
    assert!(TrustBundle::from_pem(&certificate).is_ok(), "its certificate can still be trusted");
}

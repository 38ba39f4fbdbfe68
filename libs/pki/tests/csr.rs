//! Requests that other tools write: whatever they ask for, the key is what is taken, and weak keys are refused by name.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod openssl;

use openssl::openssl;
use sallyport_pki::csr::{CsrError, public_key};
use sallyport_pki::est::decode_body;
use sallyport_pki::key::{KeyAlgorithm, KeyError};

/// The request for a new key, DER.
fn request(key: &[&str], more: &[&str]) -> Vec<u8> {
    let common = ["req", "-new", "-nodes", "-keyout", "/dev/null", "-subj", "/O=Somebody/CN=root", "-newkey"];
    let (pem, _) = openssl(&[&common[..], key, more].concat(), b"").unwrap();
    decode_body(&pem).unwrap()
}

const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

#[test]
fn a_request_may_ask_for_anything_and_gets_nothing_of_it() {
    for (curve, algorithm) in [("prime256v1", KeyAlgorithm::EcdsaP256), ("secp384r1", KeyAlgorithm::EcdsaP384)] {
        let curve = format!("ec_paramgen_curve:{curve}");
        let asks = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=keyCertSign,cRLSign",
            "-addext",
            "extendedKeyUsage=serverAuth,codeSigning",
            "-addext",
            "subjectAltName=URI:sallyport://dmz.eu/operator,DNS:evil.example",
            "-addext",
            "1.2.3.4=critical,DER:0500",
        ];
        let key = public_key(&request(&["ec", "-pkeyopt", &curve], &asks)).unwrap();
        assert_eq!(key.algorithm(), algorithm);
    }
    // A digest of its own choice is the requester's business, as long as it fits the key.
    public_key(&request(&P256, &["-sha384"])).unwrap();
}

#[test]
fn weak_and_foreign_keys_are_refused_by_name() {
    for (key, found) in [
        (&["rsa:1024"][..], "RSA"),
        (&["rsa:4096"], "RSA"),
        (&["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"], "RSA (PSS)"),
        (&["ed25519"], "Ed25519"),
        (&["ed448"], "Ed448"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"], "ECDSA on P-521"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"], "ECDSA on P-224"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "ECDSA on secp256k1"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"], "ECDSA on another curve"),
    ] {
        assert_eq!(public_key(&request(key, &[])), Err(CsrError::Key(KeyError::Algorithm { found })), "{key:?}");
    }
    // The curve written out in full, as some old tools do.
    let explicit = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:explicit"];
    let another = CsrError::Key(KeyError::Algorithm { found: "ECDSA on another curve" });
    assert_eq!(public_key(&request(&explicit, &[])), Err(another));
}

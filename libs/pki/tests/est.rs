//! EST's bodies, as another implementation reads and writes them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod openssl;

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::openssl;
use proptest::prelude::*;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sallyport_pki::csr::{self, MAX_REQUEST_BYTES};
use sallyport_pki::est::{self, BodyRefused, CertsOnlyRefused, MAX_CERTS_ONLY_BYTES};
use sallyport_testkit::Ca;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).map(|der| der.unwrap().to_vec()).collect()
}

#[test]
fn openssl_reads_what_we_answer() {
    let (old, new) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    let leaf = old.endpoint("lyon", "ct");
    let bundle = old.bundle_with(&new);
    let authorities: Vec<_> = bundle.certificates().map(|der| der.to_vec()).collect();
    for (message, expected) in [(est::cacerts(&bundle), authorities), (est::certs_only(&leaf.der), vec![leaf.der])] {
        let (printed, _) = openssl(&["pkcs7", "-inform", "DER", "-print_certs"], &message).unwrap();
        assert_eq!(certificates(&printed), expected);
        assert_eq!(est::parse_certs_only(&message).unwrap(), expected);
    }
}

#[test]
fn we_read_what_openssl_answers() {
    let (ca, other) = (Ca::new("dmz", "eu"), Ca::new("dmz", "eu").next());
    // openssl keeps the order of its input, sorted or not.
    for pem in [
        ca.authority().certificate_pem() + &other.authority().certificate_pem(),
        other.authority().certificate_pem() + &ca.authority().certificate_pem(),
    ] {
        let arguments = ["crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", "/dev/stdin"];
        let (message, _) = openssl(&arguments, pem.as_bytes()).unwrap();
        assert_eq!(est::parse_certs_only(&message).unwrap(), certificates(pem.as_bytes()));
    }
}

#[test]
fn other_messages_are_refused() {
    let ca = Ca::new("dmz", "eu");
    let leaf = ca.endpoint("lyon", "ct");
    let good = est::certs_only(&leaf.der);
    let refused = |bytes: &[u8]| est::parse_certs_only(bytes).unwrap_err();
    assert_eq!(refused(&est::certs_only(&[0x30, 0])), CertsOnlyRefused::Certificate { position: 1 });
    assert_eq!(refused(&est::certs_only(&[])), CertsOnlyRefused::Empty);
    assert_eq!(refused(&vec![0x30; MAX_CERTS_ONLY_BYTES + 1]), CertsOnlyRefused::TooLarge);
    assert_eq!(refused(&[&good[..], b"\0"].concat()), CertsOnlyRefused::Unreadable);
    assert_eq!(refused(&leaf.der), CertsOnlyRefused::Unreadable);
    for cut in 0..good.len() {
        assert_eq!(refused(&good[..cut]), CertsOnlyRefused::Unreadable, "cut at {cut}");
    }
    // Signed or with content: that would look like a proof, and nobody checks it here.
    assert_eq!(est::parse_certs_only(&message(&leaf.der, None, None)), Ok(vec![leaf.der.clone()]));
    assert_eq!(refused(&message(&leaf.der, Some(b"content"), None)), CertsOnlyRefused::Unreadable);
    assert_eq!(refused(&message(&leaf.der, None, Some(b"\x05\0"))), CertsOnlyRefused::Unreadable);
}

/// A PKCS#7 message with content and signer, if any.
fn message(certificate: &[u8], content: Option<&[u8]>, signer: Option<&[u8]>) -> Vec<u8> {
    let oid = |last| ObjectIdentifier::from_slice(&[1, 2, 840, 113_549, 1, 7, last]);
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&oid(2));
            writer.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_u8(1);
                    writer.next().write_set_of(|_| {});
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&oid(1));
                        if let Some(content) = content {
                            writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(content));
                        }
                    });
                    writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                        writer.write_set_of(|writer| writer.next().write_der(certificate));
                    });
                    writer.next().write_set_of(|writer| {
                        if let Some(signer) = signer {
                            writer.next().write_der(signer);
                        }
                    });
                });
            });
        });
    })
}

#[test]
fn a_request_is_asked_for_on_p256() {
    let (printed, _) = openssl(&["asn1parse", "-inform", "DER"], &est::csr_attributes()).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    let names = |line: &str| line.rsplit(':').next().unwrap_or_default().trim().to_owned();
    let oids: Vec<_> = printed.lines().filter(|line| line.contains("OBJECT")).map(names).collect();
    assert_eq!(oids, ["id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"]);
    // RFC 7030 section 4.5.2: an attribute is a type with a set of values, a bare identifier stands alone.
    let shape = ["SEQUENCE", "SEQUENCE", "OBJECT", "SET", "OBJECT", "OBJECT"];
    assert!(printed.lines().zip(shape).all(|(line, kind)| line.contains(kind)), "{printed}");
    assert_eq!(printed.lines().count(), shape.len());
}

#[test]
fn what_openssl_users_send_is_taken() {
    let arguments =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=any"];
    let (pem, _) = openssl(&[&arguments[..], &["-keyout", "/dev/null"]].concat(), b"").unwrap();
    let der = est::decode_body(&pem).unwrap();
    csr::public_key(&der).unwrap();
    let bare = STANDARD.encode(&der);
    let text = String::from_utf8(pem).unwrap();
    for body in [
        bare.clone(),
        format!("{bare}\r\n"),
        bare.as_bytes().chunks(76).map(|line| String::from_utf8(line.to_vec()).unwrap() + "\r\n").collect(),
        text.replace('\n', "\r\n"),
        text.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
    ] {
        assert_eq!(est::decode_body(body.as_bytes()).unwrap(), der, "{body}");
    }
}

#[test]
fn other_bodies_are_refused() {
    let good = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(est::decode_body(good.as_bytes()).unwrap(), [0, 0, 0]);
    for body in [
        "",
        " \n",
        "AAA",
        "A*AA",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n",
        "AAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
        &good.repeat(2),
    ] {
        assert_eq!(est::decode_body(body.as_bytes()), Err(BodyRefused::NotBase64), "{body}");
    }
    assert_eq!(est::decode_body(b"\xff\xfe"), Err(BodyRefused::NotBase64));
    assert_eq!(est::decode_body(&vec![b'A'; 2 * MAX_REQUEST_BYTES + 1]), Err(BodyRefused::TooLarge));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(est::parse_certs_only(&bytes).is_err());
        let _ = est::decode_body(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut message = est::cacerts(&Ca::new("dmz", "eu").bundle());
        let at = at.index(message.len());
        message[at] ^= 1 << bit;
        let _ = est::parse_certs_only(&message);
    }

    #[test]
    fn any_body_survives_base64(der in prop::collection::vec(any::<u8>(), 1..400), width in 1usize..100) {
        let text = STANDARD.encode(&der);
        let lines: Vec<_> = text.as_bytes().chunks(width).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(est::decode_body(&lines.join(&b'\n')).unwrap(), der);
    }
}

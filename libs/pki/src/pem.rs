//! PEM text of certificates and revocation lists (RFC 7468 sections 5 and 6).

use base64::{Engine, engine::general_purpose::STANDARD};

/// One certificate, lines of 64 characters.
pub fn certificate(der: &[u8]) -> String {
    armoured("CERTIFICATE", der)
}

/// One revocation list, lines of 64 characters.
pub fn revocation_list(der: &[u8]) -> String {
    armoured("X509 CRL", der)
}

fn armoured(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 64);
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64)); // base64 is ASCII, so every index is a boundary
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

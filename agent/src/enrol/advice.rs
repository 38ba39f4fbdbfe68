//! What to do about a failed enrolment, in the words of who stands in front of the machine.

use http::StatusCode;
use jiff::Timestamp;
use sallyport_runtime::tls::HandshakeFailure;

use super::Fingerprint;
use crate::check::chain;
use crate::dial::DialError;
use crate::est::{EstError, Refused};

/// More fingerprints are no help.
const MAX_SHOWN: usize = 4;

/// What was seen, and what to do.
pub(super) fn on(error: &EstError) -> String {
    format!("{}{}", chain(error), remedy(error))
}

fn remedy(error: &EstError) -> String {
    match error {
        EstError::Refused(refused) => refusal(refused),
        EstError::NotEst(_) => {
            "; check --gateway: it must be the outer door of the region, of a version that enrols".to_owned()
        }
        EstError::Dial(DialError::NoAddress { .. }) => {
            "; add the name to this site's DNS, or write the address as gateway.address in the configuration".to_owned()
        }
        EstError::Dial(DialError::Tcp { .. }) => {
            "; allow outgoing TCP to this address and port in the firewall".to_owned()
        }
        EstError::Dial(DialError::Tls(failure)) => handshake(failure),
        EstError::Dial(_) => "; try again, and if it stays, tell the vendor".to_owned(),
    }
}

fn handshake(failure: &HandshakeFailure) -> String {
    match failure {
        HandshakeFailure::Expired(_) => {
            "; the gateway's certificate is not valid now by this host's clock; set the clock, best by NTP, and if it is right, tell the vendor"
        }
        HandshakeFailure::BadSignature(_) | HandshakeFailure::UnknownIssuer(_) => {
            "; the server is not certified by the CA that you named. Compare the trust file or the fingerprint with what the vendor gave you; if they are right, a firewall or proxy opens TLS: exempt the gateway from it"
        }
        HandshakeFailure::WrongCertificate(_) => {
            "; another server of the vendor answers; check the gateway's name, gateway.address and this site's DNS"
        }
        HandshakeFailure::Closed(_) | HandshakeFailure::Timeout => {
            "; something between swallowed or closed it; allow TLS 1.3 to the gateway in the firewall"
        }
        _ => "; what answers may be no gateway, or something between opens TLS",
    }
    .to_owned()
}

fn refusal(refused: &Refused) -> String {
    let wait = match refused.retry_after {
        Some(wait) => format!("; try again in {} s", wait.as_secs()),
        None => "; try again in some minutes".to_owned(),
    };
    match (refused.status, refused.reason.as_str()) {
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            format!("; too many wrong tokens came from this site or for this endpoint{wait}, with a new token")
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) | (_, "notNow") => {
            format!("; the region takes no enrolment now{wait}; the token is still good")
        }
        (StatusCode::UNAUTHORIZED, _) | (_, "tokenRefused") => {
            "; a token is good once, for a short time and for one endpoint: compare --endpoint, or ask the vendor for a new one (sallyportctl enrol token NAMESPACE/NAME)".to_owned()
        }
        (_, "unknownEndpoint") => {
            "; the region has no such endpoint: compare --endpoint (NAMESPACE/NAME) and --gateway with what the vendor gave you".to_owned()
        }
        (_, "suspended") => "; the vendor or the customer suspended this site: ask the vendor's service desk".to_owned(),
        (_, "revoked") => "; the certificate was revoked for good: ask the vendor for a new TunnelCertificate and a token of it".to_owned(),
        (_, "deliveredBySecret") => {
            "; this endpoint's files are delivered by the vendor: copy tls.crt, tls.key and ca.crt, and set `renew: false` in the configuration".to_owned()
        }
        (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _) => {
            "; what answers does not enrol: check --gateway, which must be the outer door of the region".to_owned()
        }
        _ => "; tell the vendor".to_owned(),
    }
}

/// What is wrong with which clock.
pub(super) fn clock(now: Timestamp, theirs: Option<Timestamp>) -> String {
    match theirs {
        Some(theirs) => format!(
            "this host's clock says {now}, the gateway's {theirs}; set this host's clock, best by NTP, and if it is right, tell the vendor"
        ),
        None => format!("this host's clock says {now}; set it, best by NTP, and if it is right, tell the vendor"),
    }
}

/// The CAs that there are instead.
pub(super) fn fingerprint(wanted: &Fingerprint, found: &[String]) -> String {
    let shown = found.iter().take(MAX_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "the server has no CA certificate with the SHA-256 {wanted}, only {shown}. Compare it with what the vendor gave you by another way than this connection; do not take it from this message. If it is right, a firewall or proxy opens TLS, or --gateway is another region's"
    )
}

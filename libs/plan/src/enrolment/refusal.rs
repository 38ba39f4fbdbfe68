//! Why nobody gets a certificate, in words and as a code.

use jiff::Timestamp;
use sallyport_core::name::EndpointId;

use super::Proof;
use crate::catalogue::ObjectKey;
use crate::issuance;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operator makes the key.
    #[error("the certificate of endpoint {0} is delivered in a Secret; take it from there")]
    DeliveredBySecret(EndpointId),
    /// Too many certificates or tokens.
    #[error(transparent)]
    NoRoom(#[from] issuance::NoRoom),
    /// The operator has not prepared the object yet.
    #[error("the operator has not looked at TunnelCertificate {0} yet; try again, and see its conditions")]
    NotPrepared(ObjectKey),
    /// Only a gateway says that the endpoint asks.
    #[error(
        "the request is not signed with the key of the certificate that was shown (header Sallyport-Renewal-Proof); for a \
         client that cannot do that, set spec.unprovenRenewal of TunnelCertificate {0}"
    )]
    ProofRequired(ObjectKey),
    /// Everything issued for the object is revoked.
    #[error("TunnelCertificate {0} is revoked; the endpoint needs a new one, with a new token")]
    Revoked(ObjectKey),
    /// The serial number is none of the endpoint's.
    #[error("the certificate that was shown is none that the operator knows; enrol again with a new token")]
    SerialUnknown,
    /// The endpoint uses a later one, or it was revoked to make room: whoever still has this one is another.
    #[error(
        "the certificate that was shown was superseded: the endpoint uses a later one; if it is this one's that was lost, \
         enrol again with a new token"
    )]
    Superseded,
    /// The site is suspended.
    #[error("the site of endpoint {0} is suspended")]
    Suspended(EndpointId),
    /// The token's time is over.
    #[error("the token ended at {0}; make a new one")]
    TokenExpired(Timestamp),
    /// The token lasts longer than a token may.
    #[error("the token lasts longer than seven days; make a new one")]
    TokenTooLong,
    /// No object of the endpoint has this token.
    #[error("no TunnelCertificate of endpoint {0} has this token")]
    TokenUnknown(EndpointId),
    /// The token's end cannot be read.
    #[error("spec.enrolmentToken.expiresAt of TunnelCertificate {0} is no RFC 3339 time; make a new token")]
    TokenUnreadable(ObjectKey),
    /// The token was used.
    #[error("the token was used already; make a new one")]
    TokenUsed,
    /// There is no such endpoint, or it cannot attach to this region.
    #[error("endpoint {0:?} is none of this region")]
    UnknownEndpoint(String),
}

impl Refusal {
    /// A closed set of labels for metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::DeliveredBySecret(_) => "deliveredBySecret",
            Self::NoRoom(_) => "noRoom",
            Self::NotPrepared(_) => "notPrepared",
            Self::ProofRequired(_) => "proofRequired",
            Self::Revoked(_) => "revoked",
            Self::SerialUnknown => "serialUnknown",
            Self::Superseded => "superseded",
            Self::Suspended(_) => "suspended",
            Self::TokenExpired(_) => "tokenExpired",
            Self::TokenTooLong => "tokenTooLong",
            Self::TokenUnknown(_) => "tokenUnknown",
            Self::TokenUnreadable(_) => "tokenUnreadable",
            Self::TokenUsed => "tokenUsed",
            Self::UnknownEndpoint(_) => "unknownEndpoint",
        }
    }

    /// What the gateway is told (`EnrolRefused.code`). Whoever shows no good token learns nothing but that.
    pub fn code(&self, proof: &Proof) -> &'static str {
        match (self, proof) {
            (
                Self::TokenExpired(_)
                | Self::TokenTooLong
                | Self::TokenUnknown(_)
                | Self::TokenUnreadable(_)
                | Self::TokenUsed,
                _,
            )
            | (Self::UnknownEndpoint(_), Proof::Token(_)) => "tokenRefused",
            (Self::DeliveredBySecret(_), _) => "deliveredBySecret",
            (Self::NoRoom(_) | Self::NotPrepared(_), _) => "notNow",
            (Self::ProofRequired(_), _) => "proofRequired",
            // A serial number that nobody wrote down is not one to be trusted, and neither is one that has a successor.
            (Self::Revoked(_) | Self::SerialUnknown | Self::Superseded, _) => "revoked",
            (Self::Suspended(_), _) => "suspended",
            (Self::UnknownEndpoint(_), Proof::Certificate { .. }) => "unknownEndpoint",
        }
    }

    /// What the endpoint is told in words.
    pub fn message(&self, proof: &Proof) -> String {
        match self.code(proof) {
            "tokenRefused" => "the token is not, or no longer, one of this endpoint's; ask for a new one".to_owned(),
            _ => self.to_string(),
        }
    }
}

//! The trusted CAs, each for as long as its own certificate lasts.
//!
//! webpki does not look at a trust anchor's validity. A CA that has ended may still stand in the bundle of a peer that
//! was away, and its key may have been kept less carefully since; so ended CAs are left out at every handshake.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::{TrustAnchor, UnixTime};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect::{self, Validity};

use super::TlsError;

#[derive(Debug)]
pub(super) struct Anchors {
    all: Arc<RootCertStore>,
    each: Vec<(Validity, TrustAnchor<'static>)>,
}

impl Anchors {
    /// All or nothing: a CA that the TLS library cannot use is an error, not a smaller trust.
    pub(super) fn new(trust: &TrustBundle) -> Result<Self, TlsError> {
        let mut each = Vec::new();
        for certificate in trust.certificates() {
            let validity = inspect::validity(&certificate).map_err(|_| TlsError::Trust)?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|_| TlsError::Trust)?;
            each.push((validity, anchor.to_owned()));
        }
        if each.is_empty() {
            return Err(TlsError::Trust);
        }
        let all = Arc::new(RootCertStore { roots: each.iter().map(|(_, anchor)| anchor.clone()).collect() });
        Ok(Self { all, each })
    }

    /// Every CA, whether it is valid or not.
    pub(super) fn all(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.all)
    }

    /// How many CAs.
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// Of each CA whether it counts at `now`; nearly always all do. None does, if the clock makes no sense.
    pub(super) fn which_are_valid_at(&self, now: UnixTime) -> Vec<bool> {
        self.each.iter().map(|(validity, _)| covers(validity, now)).collect()
    }

    /// The CAs that count at `now`.
    pub(super) fn valid_at(&self, now: UnixTime) -> Arc<RootCertStore> {
        if self.each.iter().all(|(validity, _)| covers(validity, now)) {
            return self.all();
        }
        let valid = self.each.iter().filter(|(validity, _)| covers(validity, now));
        Arc::new(RootCertStore { roots: valid.map(|(_, anchor)| anchor.clone()).collect() })
    }
}

fn covers(validity: &Validity, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    now.is_some_and(|now| validity.contains(now))
}

//! How a verified gateway comes to hand over a certificate: for one that an earlier run was issued, or for the token.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rustls::ClientConfig;
use sallyport_pki::{csr, pem};
use sallyport_runtime::tls::{self, KeyMaterial};

use super::{EnrolError, Waiting, belongs_to_its_folders_owner};
use crate::config::Gateway;
use crate::dial;
use crate::est::{self, EstError, Question, Token};
use crate::issued::{self, Accepted, Issued, IssuedError, Wanted};
use crate::material::ALPN;
use crate::pending::Pending;
use crate::surroundings::Surroundings;

/// How often the clock is looked at while a certificate has not begun.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The gateway, once it is known which CA it must be of.
pub(super) struct Door<'d> {
    pub(super) gateway: &'d Gateway,
    pub(super) surroundings: &'d Surroundings,
    pub(super) verified: &'d Arc<ClientConfig>,
}

impl Door<'_> {
    /// What an earlier enrolment was issued, if it can be used now and the gateway takes it: it may have been revoked since.
    pub(super) async fn kept(&self, pending: &Pending, wanted: &Wanted<'_>) -> Option<Vec<u8>> {
        let (Accepted::Now(issued) | Accepted::Later(issued)) =
            pending.answer(wanted, self.surroundings.now())?.ok()?;
        let own = KeyMaterial { chain_pem: pem::certificate(&issued.leaf), key_pem: pending.key().to_pem() };
        let shown = tls::client(Some(&own), wanted.trust, &[ALPN]).ok()?;
        let stream = dial::connect(self.gateway, self.surroundings, &shown).await.ok()?;
        let (status, ..) = dial::preflight(stream, &self.gateway.host).await.ok()?;
        (status == StatusCode::OK).then_some(issued.leaf)
    }

    /// Spends the token on a certificate, which is kept before it is judged.
    pub(super) async fn ask(
        &self,
        pending: &mut Pending,
        wanted: &Wanted<'_>,
        token: &Token,
    ) -> Result<Vec<u8>, EnrolError> {
        pending.store()?;
        belongs_to_its_folders_owner(pending.path())?;
        let csr = csr::request(pending.key())?;
        let stream = dial::connect(self.gateway, self.surroundings, self.verified).await.map_err(EstError::from)?;
        let question = Question::Enrol { endpoint: wanted.endpoint, token, csr: &csr };
        let answer = est::ask(stream, &self.gateway.host, question).await?;
        let leaf = wanted.only(answer.certificates)?;
        // The token is spent: a disk that is full at this moment must not cost a certificate that can be used at once.
        if pending.answered(&leaf).is_ok() {
            belongs_to_its_folders_owner(pending.path())?;
        }
        Ok(leaf)
    }
}

/// The certificate, once it has begun.
pub(super) async fn begins(
    wanted: &Wanted<'_>,
    leaf: &[u8],
    surroundings: &Surroundings,
    tell: &(dyn Fn(&Waiting) + Sync),
) -> Result<Issued, IssuedError> {
    let mut told = false;
    loop {
        let now = surroundings.now();
        let until = match wanted.accept(leaf, now)? {
            Accepted::Now(issued) => return Ok(issued),
            Accepted::Later(issued) => issued.validity.not_before,
        };
        if !told {
            tell(&Waiting { until, ahead: issued::ahead(until, now) });
            told = true;
        }
        let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        // In parts: somebody may set the clock right.
        tokio::time::sleep(left.min(LOOK_AGAIN)).await;
    }
}

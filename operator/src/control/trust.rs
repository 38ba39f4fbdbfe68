//! Whom a region's gateways and agents are to trust, as one message. Signed once for each content and kept, so that the
//! same content always has the same digest.

use std::sync::Arc;

use jiff::Timestamp;
use sallyport_control::{digest, wire};
use sallyport_core::name::RegionId;
use sallyport_pki::announcement::TrustAnnouncement;
use sallyport_pki::signed::{Purpose, SignError};
use sallyport_plan::authority::denied::Denied;

use super::config_signer::ConfigSigner;
use crate::authorities::{MakeError, Signer};

/// The message, and what it is made of.
#[derive(Debug)]
pub struct Told {
    /// What gateways are sent.
    pub message: wire::Trust,
    /// The CA as it is in this message.
    pub signer: Arc<Signer>,
}

impl Told {
    /// Whether it forbids a certificate, by a list or by name.
    pub fn revokes(&self, serial: &str) -> bool {
        self.signer.revokes(serial)
    }
}

/// What a region was told last.
#[derive(Debug, Default)]
pub struct Trust {
    announced: Option<Announced>,
    told: Option<Arc<Told>>,
}

#[derive(Debug)]
struct Announced {
    content: TrustAnnouncement,
    signed_by: String,
    document: Vec<u8>,
}

impl Trust {
    /// The message for the CA as it is now: the same as before while that has not changed.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn tell(
        &mut self,
        region: &RegionId,
        signer: &Arc<Signer>,
        by: &ConfigSigner,
        now: Timestamp,
    ) -> Result<Arc<Told>, TrustError> {
        let announcement = self.announce(region, signer, by, now)?;
        let mut message = wire::Trust {
            sequence: signer.sequence,
            certificates: signer.trust.clone(),
            issuer: announcement.content.issuer.clone(),
            renew_within_s: signer.renew_within.as_secs(),
            announcement: announcement.document.clone(),
            revocation_lists: signer.lists.iter().map(|list| list.der.clone()).collect(),
            revoked_serials: signer.denied.all.iter().map(Denied::name).collect(),
            emergency: signer.emergency,
            digest: String::new(),
        };
        message.digest = digest::of_trust(&message);
        let told = match self.told.take() {
            // The same message can mean another signer: its key may be lost or found again.
            Some(told) if told.message == message && Arc::ptr_eq(&told.signer, signer) => told,
            _ => Arc::new(Told { message, signer: signer.clone() }),
        };
        self.told = Some(told.clone());
        Ok(told)
    }

    /// Signs what agents are told, unless that was signed already by this signer.
    fn announce(
        &mut self,
        region: &RegionId,
        signer: &Signer,
        by: &ConfigSigner,
        now: Timestamp,
    ) -> Result<&Announced, TrustError> {
        let before = self.announced.take();
        // Without a key nobody signs; who signed last is still whom agents should hold certificates of.
        let issuer = match (signer.fingerprint(), &before) {
            (Ok(issuer), _) => issuer.to_owned(),
            (Err(_), Some(before)) if signer.generations.contains_key(&before.content.issuer) => {
                before.content.issuer.clone()
            }
            (Err(error), _) => return Err(error.into()),
        };
        let mut content = TrustAnnouncement {
            region: region.clone(),
            sequence: signer.sequence,
            issued_at_ms: 0,
            certificates: signer.trust.clone(),
            issuer,
            renew_within_seconds: signer.renew_within.as_secs(),
        };
        if let Some(before) = before {
            content.issued_at_ms = before.content.issued_at_ms;
            if before.content == content && before.signed_by == by.serial() {
                return Ok(self.announced.insert(before));
            }
        }
        content.issued_at_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let text = serde_json::to_vec(&content).map_err(TrustError::Write)?;
        let document = by.sign(Purpose::Trust, &text)?;
        Ok(self.announced.insert(Announced { content, signed_by: by.serial().to_owned(), document }))
    }
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nobody signs certificates, and nobody did since the operator began.
    #[error(transparent)]
    Signer(#[from] MakeError),
    /// It cannot be signed.
    #[error("announcement of trust")]
    Sign(#[from] SignError),
    /// It cannot be written.
    #[error("announcement of trust")]
    Write(#[source] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sallyport_pki::bundle::TrustBundle;
    use sallyport_pki::signed;

    use super::super::config_signer::tests::authority;
    use super::*;
    use crate::authorities::{DenyList, List};

    fn list(serials: &[&str], now: Timestamp) -> List {
        let serials: BTreeSet<_> = serials.iter().map(|s| (*s).to_owned()).collect();
        List { issuer: "ca".into(), number: 1, next_update: now, serials, der: vec![0x30, 0] }
    }

    #[test]
    fn the_same_content_has_the_same_digest_and_a_revocation_another() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let signer = Arc::new(authority(1, now));
        let mut kept = None;
        let by = ConfigSigner::fresh(&mut kept, &region, &signer, 1, now).unwrap();
        let (mut trust, later) = (Trust::default(), now + std::time::Duration::from_secs(60));
        let first = trust.tell(&region, &signer, by, now).unwrap();
        let text = signed::verify(
            Purpose::Trust,
            &first.message.announcement,
            &TrustBundle::from_pem(&signer.trust).unwrap(),
            &region,
            now,
        );
        let announcement = TrustAnnouncement::parse(&text.unwrap()).unwrap();
        assert_eq!((announcement.sequence, announcement.issuer.as_str()), (1, signer.fingerprint().unwrap()));
        assert!(Arc::ptr_eq(&trust.tell(&region, &signer, by, later).unwrap(), &first));

        let revoked = Arc::new(Signer { lists: vec![list(&["4a"], now)], ..(*signer).clone() });
        let second = trust.tell(&region, &revoked, by, later).unwrap();
        assert!(second.revokes("4a") && !first.revokes("4a"));
        assert_ne!(second.message.digest, first.message.digest);
        assert_eq!(second.message.announcement, first.message.announcement, "agents are told nothing new");

        let rotated = Arc::new(Signer { sequence: 2, ..(*revoked).clone() });
        assert_ne!(trust.tell(&region, &rotated, by, later).unwrap().message.announcement, first.message.announcement);
    }

    /// Its list cannot be signed, so its certificate is forbidden by name.
    #[test]
    fn a_certificate_of_a_generation_without_a_key_is_forbidden_by_name() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let signer = Arc::new(authority(1, now));
        let mut kept = None;
        let by = ConfigSigner::fresh(&mut kept, &region, &signer, 1, now).unwrap();
        let mut trust = Trust::default();
        let first = trust.tell(&region, &signer, by, now).unwrap();
        let denied = BTreeSet::from([Denied { issuer: "ab".repeat(32), serial: "4a".into(), not_after: now }]);
        let denied = DenyList { all: denied.clone(), remembered: denied };
        let second = trust.tell(&region, &Arc::new(Signer { denied, ..(*signer).clone() }), by, now).unwrap();
        assert_eq!(second.message.revoked_serials, [format!("{}:4a", "ab".repeat(32))]);
        assert!(second.revokes("4a") && !first.revokes("4a"));
        assert_ne!(second.message.digest, first.message.digest, "gateways acknowledge it");
        assert_eq!(second.message.digest, digest::of_trust(&second.message));
    }

    #[test]
    fn another_signer_signs_anew_and_a_lost_key_stops_nothing() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let signer = Arc::new(authority(1, now));
        let (mut one, mut other, mut trust) = (None, None, Trust::default());
        let one = ConfigSigner::fresh(&mut one, &region, &signer, 1, now).unwrap();
        let other = ConfigSigner::fresh(&mut other, &region, &signer, 2, now).unwrap();
        let first = trust.tell(&region, &signer, one, now).unwrap();
        let second = trust.tell(&region, &signer, other, now).unwrap();
        assert_ne!(first.message.announcement, second.message.announcement);
        let lost = Arc::new(Signer { issuing: None, ..(*signer).clone() });
        assert_eq!(trust.tell(&region, &lost, other, now).unwrap().message, second.message);
        assert!(matches!(Trust::default().tell(&region, &lost, other, now), Err(TrustError::Signer(_))));
    }
}

//! One replica: dial, hold the stream, dial again, for as long as the region wants it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use sallyport_core::name::{Name, RegionId};
use sallyport_pki::profile::Profile;
use sallyport_plan::catalogue::ObjectKey;
use tokio::time::Instant;

use super::dial::{self, Target};
use super::links::GRACE;
use super::region::{News, Published};
use super::stream::{self, Ended, StreamError};
use super::trust::Told;
use crate::authorities::{Issued, Signer};
use crate::context::Shared;
use crate::error::chain;
use crate::kinds::Kind;
use crate::{apply, audit, wake};

/// The operator's own certificate, in memory only: short, because it needs no storage and no revocation.
const OWN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Waits between attempts: short enough that a new gateway is attached within seconds, jittered.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// A stream that lived this long was a good one: the next attempt comes at once.
const GOOD: Duration = Duration::from_secs(30);

/// One replica.
pub(super) struct Gateway {
    pub(super) ctx: Shared,
    pub(super) region: ObjectKey,
    pub(super) id: RegionId,
    pub(super) pod: Name,
    pub(super) news: News,
    /// The highest generation that any gateway of the region has heard of.
    pub(super) generation: Arc<AtomicU64>,
    /// The stream before ended so that this one begins with a renewed certificate, and has not begun yet.
    pub(super) renewing: bool,
}

impl Gateway {
    /// Holds the control stream, until dropped.
    pub(super) async fn run(mut self) {
        let (mut own, mut wait): (Option<Own>, _) = (None, FIRST_WAIT);
        let mut lost_at = Some(Instant::now());
        let mut said = String::new();
        loop {
            let Some((published, told)) = self.latest().await else { return };
            let began = Instant::now();
            let result = self.attempt(&mut own, published, told).await;
            if matches!(result, Ok(Ended::ToRenew)) {
                // The gateway is not away: the next stream begins at once. Should it fail, this one counts as lost then.
                tracing::debug!(region = %self.region, gateway = %self.pod, "dialling with a renewed certificate");
                self.ctx.metrics.attached.with_label_values(&[&self.region.to_string()]).dec();
                self.renewing = true;
                continue;
            }
            let reached = self.ctx.links.facts(&self.region, self.pod.as_str()).attached;
            if reached {
                self.detached();
                lost_at = Some(Instant::now());
            }
            self.log(&result, reached, &mut said);
            wait = if began.elapsed() >= GOOD { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
            self.pause(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0), &mut lost_at).await;
        }
    }

    async fn latest(&mut self) -> Option<(Arc<Published>, Arc<Told>)> {
        let published = self.news.config.wait_for(Option::is_some).await.ok()?.clone()?;
        let told = self.news.trust.wait_for(Option::is_some).await.ok()?.clone()?;
        Some((published, told))
    }

    async fn attempt(
        &mut self,
        own: &mut Option<Own>,
        published: Arc<Published>,
        told: Arc<Told>,
    ) -> Result<Ended, StreamError> {
        let own = Own::fresh(own, &self.id, &told.signer)?;
        let material = own.issued.material();
        let channel = dial::dial(&self.target(), &self.id, &self.pod, &material, &told.signer.trust).await?;
        // On the same connection, with flow control of its own; it ends with the control stream.
        let records = audit::collect::beside(&self.ctx, &self.region, &self.id, &self.pod, channel.clone());
        tokio::select! {
            held = stream::hold(self, channel, own, published, told) => held,
            never = records => match never {},
        }
    }

    fn target(&self) -> Target {
        let pod = self.ctx.world.pods.get(&ObjectKey::new(&self.region.namespace, self.pod.as_str()));
        let ip = pod.as_ref().and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        ip.map_or_else(|| Target::Host(apply::control_host(self.pod.as_str(), &self.region)), Target::Address)
    }

    fn detached(&mut self) {
        self.ctx.links.detached(&self.region, self.pod.as_str(), Timestamp::now());
        if !std::mem::take(&mut self.renewing) {
            self.ctx.metrics.attached.with_label_values(&[&self.region.to_string()]).dec();
        }
        self.ctx.wake(Kind::DmzRegion, self.region.clone());
    }

    /// Says what is new, once: a gateway that is not there yet is no news every second.
    fn log(&self, result: &Result<Ended, StreamError>, reached: bool, said: &mut String) {
        let reason = match result {
            Ok(_) => "the gateway ended the stream".to_owned(),
            Err(error) => chain(error),
        };
        if reached || *said != reason {
            tracing::info!(region = %self.region, gateway = %self.pod, reason, "no control stream");
            *said = reason;
        }
    }

    /// Waits, and says of a gateway that has been away for long that nobody knows what it holds.
    async fn pause(&self, wait: Duration, lost_at: &mut Option<Instant>) {
        tokio::time::sleep(wait).await;
        let long = lost_at.is_some_and(|at| at.elapsed().as_secs() >= GRACE.as_secs().unsigned_abs());
        if long {
            *lost_at = None;
            self.ctx.links.forget_tunnels(&self.region, self.pod.as_str());
            self.wake_remembered();
        }
    }

    /// Wakes the endpoints whose status says that they are connected here.
    pub(super) fn wake_remembered(&self) {
        let endpoints = self.ctx.world.endpoints.snapshot();
        for (key, endpoint) in endpoints.iter() {
            let here = endpoint.status.iter().flat_map(|s| &s.tunnels).any(|t| t.gateway == self.pod.as_str());
            if here {
                wake::tunnels(&self.ctx, key);
            }
        }
        self.ctx.wake(Kind::DmzRegion, self.region.clone());
    }
}

/// The operator's own certificate for a region.
pub(super) struct Own {
    issued: Issued,
    authority: String,
}

impl Own {
    fn fresh<'a>(own: &'a mut Option<Self>, id: &RegionId, signer: &Signer) -> Result<&'a Self, StreamError> {
        let now = Timestamp::now();
        let fresh = match own.take().filter(|own| !own.is_due(signer, now)) {
            Some(kept) => kept,
            None => Self {
                issued: signer.issue(id, Profile::Operator, OWN_LIFETIME, now)?,
                authority: signer.fingerprint()?.to_owned(),
            },
        };
        Ok(own.insert(fresh))
    }

    /// Whether it should be replaced: its time has come, or another generation signs. While none signs it lasts as long
    /// as it can.
    pub(super) fn is_due(&self, signer: &Signer, now: Timestamp) -> bool {
        match signer.fingerprint() {
            Ok(issuing) => self.authority != issuing || now >= self.issued.renew_at(),
            Err(_) => now >= self.issued.leaf.not_after,
        }
    }

    /// How long until its time comes.
    pub(super) fn renew_in(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.issued.renew_at().duration_since(now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::config_signer::tests::authority;
    use super::*;

    /// The gateway listens to whom attached last, so an operator whose lease is over does not attach.
    #[tokio::test(start_paused = true)]
    async fn without_the_lease_it_attaches_to_nobody() {
        let (ctx, now) = (crate::run::idle(), Timestamp::now());
        let (id, signer) = (RegionId::parse("dmz", "eu").unwrap(), Arc::new(authority(1, now)));
        let (config, trust) = (tokio::sync::watch::Sender::new(None), tokio::sync::watch::Sender::new(None));
        let gateway = Gateway {
            ctx,
            region: ObjectKey::new("dmz", "eu"),
            id: id.clone(),
            pod: "eu-gateway-0".parse().unwrap(),
            news: News { config: config.subscribe(), trust: trust.subscribe() },
            generation: Arc::default(),
            renewing: false,
        };
        let published = Arc::new(Published { generation: 1, config: Arc::default(), digest: String::new() });
        let message = sallyport_control::wire::Trust::default();
        let told = Arc::new(Told { message, signer: signer.clone() });
        let mut own = None;
        let own = Own::fresh(&mut own, &id, &signer).unwrap();
        // Nobody listens there: whoever tries gets another error.
        let channel = || tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let tried = stream::hold(&gateway, channel(), own, published.clone(), told.clone()).await;
        assert!(matches!(tried, Err(StreamError::Status(_) | StreamError::Silent)), "{tried:?}");
        tokio::time::advance(crate::lease::DEADLINE).await;
        let refused = stream::hold(&gateway, channel(), own, published, told).await;
        assert!(matches!(refused, Err(StreamError::NotLeading)), "{refused:?}");
    }

    #[test]
    fn the_operators_certificate_follows_its_time_and_the_generation_and_outlives_a_lost_key() {
        let (now, region) = (Timestamp::now(), RegionId::parse("dmz", "eu").unwrap());
        let (first, second) = (authority(1, now), authority(2, now));
        let mut kept = None;
        let serial = Own::fresh(&mut kept, &region, &first).unwrap().issued.leaf.serial.clone();
        let own = Own::fresh(&mut kept, &region, &first).unwrap();
        assert_eq!(own.issued.leaf.serial, serial, "it is kept while it is good");
        assert!(own.renew_in(now) < OWN_LIFETIME);
        let at = |hours: u64| now + Duration::from_secs(hours * 3600);
        assert!(!own.is_due(&first, now) && own.is_due(&first, at(17)) && own.is_due(&second, now));
        let lost = Signer { issuing: None, ..first };
        assert!(!own.is_due(&lost, at(17)) && own.is_due(&lost, at(25)));
        assert_ne!(Own::fresh(&mut kept, &region, &second).unwrap().issued.leaf.serial, serial);
    }
}

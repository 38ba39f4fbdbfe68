//! From when on a certificate that came is used. One that is not valid yet, because the operator's clock is ahead, would
//! close a door that the one before keeps open.

use std::sync::Arc;

use jiff::Timestamp;
use sallyport_control::wire::Purpose;
use sallyport_pki::bundle::TrustBundle;
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::{Certificates, LOOK, PURPOSES, State};
use crate::trust::Trust;

/// When `next` takes the place of `held`: when it becomes valid, or the one before is good for nothing any more.
/// `trusted` is nothing while there is no trust.
fn taken_at(held: Option<&Held>, next: &Held, trusted: Option<&TrustBundle>, now: Timestamp) -> Timestamp {
    let none = TrustBundle::empty();
    let Some(new) = next.in_use(&none) else { return now };
    let Some(old) = held.filter(|held| held.host == next.host).and_then(|held| held.in_use(trusted.unwrap_or(&none)))
    else {
        return now;
    };
    let distrusted = trusted.is_some() && old.issuer.is_empty();
    if distrusted { now } else { new.not_before.min(old.not_after) }
}

impl State {
    pub(super) fn taken_at(
        &self,
        purpose: Purpose,
        next: &Held,
        trusted: Option<&TrustBundle>,
        now: Timestamp,
    ) -> Timestamp {
        let held = self.held.iter().find(|(p, _)| *p == purpose).map(|(_, held)| held);
        taken_at(held, next, trusted, now)
    }

    /// The next moment at which [`Certificates::take`] may take something.
    fn takes_at(&self, trusted: Option<&TrustBundle>, now: Timestamp) -> Option<Timestamp> {
        self.next.iter().map(|(purpose, next)| self.taken_at(*purpose, next, trusted, now)).min()
    }
}

impl Certificates {
    /// Takes what came too early when it becomes valid, until `stop`.
    pub async fn take_when_valid(self: Arc<Self>, stop: CancellationToken) {
        let mut changed = self.watch();
        loop {
            changed.borrow_and_update();
            let now = Timestamp::now();
            let trust = self.gateway.trust.current();
            let at = self.lock().takes_at(trust.as_deref().map(Trust::bundle), now);
            // Clocks are set, so a long wait is cut into pieces.
            let wait = at.map_or(LOOK, |at| LOOK.min(at.duration_since(now).try_into().unwrap_or_default()));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => self.take_up(),
            }
        }
    }

    /// Puts in use what is to be used from now on. True when something was; call [`Certificates::refresh`] then.
    pub(super) fn take(&self, state: &mut State, trusted: Option<&TrustBundle>) -> bool {
        let (now, mut taken) = (Timestamp::now(), false);
        for (purpose, next) in std::mem::take(&mut state.next) {
            if state.taken_at(purpose, &next, trusted, now) > now {
                state.next.push((purpose, next));
                continue;
            }
            let name = PURPOSES.iter().find(|(p, _)| *p == purpose).map_or("unknown", |(_, name)| *name);
            tracing::info!(purpose = name, "the certificate that came early is used");
            if let Err(error) = self.keep(name, &next) {
                tracing::error!(purpose = name, %error, "a certificate is used and not kept");
            }
            state.held.retain(|(held, _)| *held != purpose);
            state.held.push((purpose, next));
            taken = true;
        }
        taken
    }

    fn take_up(&self) {
        let trust = self.gateway.trust.current();
        let taken = self.take(&mut self.lock(), trust.as_deref().map(Trust::bundle));
        if taken {
            self.refresh();
            self.changed.send_replace(());
        }
    }
}

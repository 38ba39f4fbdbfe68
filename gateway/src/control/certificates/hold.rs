//! After a start the doors for agents and peers are held until this process was told what counts now. What the volume
//! keeps may be older than the last revocation, which the operator counts as enforced: this gateway was no peer of it
//! while it had no pod.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Certificates;

/// What an operator said is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The configuration in force.
    Configuration,
    /// The trust in force.
    Trust,
}

/// What the doors wait for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// For what of both is not told yet.
    For { configuration: bool, trust: bool },
    /// Nothing any more.
    Over,
}

impl Hold {
    /// Doors whose hold has no length are not held.
    pub(super) fn lasting(hold: Duration) -> Self {
        if hold.is_zero() { Self::Over } else { Self::For { configuration: true, trust: true } }
    }

    fn on(self, told: Told) -> Self {
        match (self, told) {
            (Self::For { trust, .. }, Told::Configuration) => Self::For { configuration: false, trust }.ended(),
            (Self::For { configuration, .. }, Told::Trust) => Self::For { configuration, trust: false }.ended(),
            (Self::Over, _) => Self::Over,
        }
    }

    fn ended(self) -> Self {
        if matches!(self, Self::For { configuration: false, trust: false }) { Self::Over } else { self }
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }

    /// What is waited for, in words; nothing when it is over.
    pub(super) fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::For { configuration: true, trust: true } => Some("trust and configuration"),
            Self::For { configuration: true, trust: false } => Some("configuration"),
            Self::For { trust: true, .. } => Some("trust"),
            Self::For { .. } | Self::Over => None,
        }
    }
}

impl Certificates {
    /// An operator said that what is in force is what counts. Call [`Certificates::refresh`] afterwards.
    pub fn told(&self, what: Told) {
        let mut state = self.lock();
        let held = !state.hold.is_over();
        state.hold = state.hold.on(what);
        if held && state.hold.is_over() {
            tracing::info!("told what counts now: doors for agents and peers open");
        }
    }

    /// Opens the doors by what the volume keeps when no operator came within the hold, or it did not say what counts.
    pub async fn end_hold(self: Arc<Self>, stop: CancellationToken) {
        let hold = self.gateway.place.hold;
        if stop.run_until_cancelled(tokio::time::sleep(hold)).await.is_none() {
            return;
        }
        let mut state = self.lock();
        let Some(waited_for) = state.hold.waits_for() else { return };
        state.hold = super::Hold::Over;
        drop(state);
        self.gateway.metrics.holds_ended_untold.inc();
        tracing::error!(
            waited_for,
            seconds = hold.as_secs(),
            "no operator said what counts now: doors for agents and peers open by what the volume keeps, which may be \
             older than the last revocation or suspension; look at the operator"
        );
        self.refresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_waited_for_in_any_order() {
        for order in [[Told::Trust, Told::Configuration], [Told::Configuration, Told::Trust]] {
            let hold = Hold::lasting(Duration::from_secs(15));
            let one = hold.on(order[0]).on(order[0]);
            assert!(!hold.is_over() && !one.is_over());
            assert!(one.on(order[1]).is_over());
        }
        assert_eq!(Hold::lasting(Duration::from_secs(1)).waits_for(), Some("trust and configuration"));
        assert_eq!(Hold::lasting(Duration::from_secs(1)).on(Told::Trust).waits_for(), Some("configuration"));
        assert_eq!(Hold::lasting(Duration::from_secs(1)).on(Told::Configuration).waits_for(), Some("trust"));
        assert!(Hold::lasting(Duration::ZERO).is_over());
    }
}

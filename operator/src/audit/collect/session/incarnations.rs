//! Which incarnations a gateway has, and where each begins to be collected.

use sallyport_audit::{Incarnation, Keeper, PublicKey};
use sallyport_control::wire;
use sallyport_plan::audit::facts::EvidenceKind;
use sallyport_plan::audit::is_accepted;
use tokio::time::Instant;

use super::{Collecting, EndError, LOOK, Misfit, Session, State, Step, shown, store};

/// A gateway is asked so often between two batches: once, and again for each earlier incarnation that it gave away.
const MOST_QUESTIONS: u32 = 20;

impl Session {
    /// The gateway says whose logs it has.
    pub(super) async fn incarnations(&mut self, another: wire::AnotherIncarnation) -> Result<(), EndError> {
        self.asked += 1;
        if self.asked > MOST_QUESTIONS {
            return Err(EndError::new("the gateway names incarnations that it does not give"));
        }
        let current = another.current.ok_or_else(|| EndError::new("the gateway names no incarnation"))?;
        let (current, current_key) = self.keeper(&current)?;
        self.queue.clear();
        for earlier in &another.earlier {
            let (keeper, key) = self.keeper(earlier)?;
            self.queue.push_back((keeper, key, false));
        }
        self.queue.push_back((current.clone(), current_key, true));
        let present: Vec<_> = self.queue.iter().map(|(keeper, ..)| keeper.clone()).collect();
        self.end_others(&present, &current).await?;
        self.next().await
    }

    fn keeper(&self, incarnation: &wire::Incarnation) -> Result<(Keeper, PublicKey), EndError> {
        let wrong = || EndError::new(format!("the gateway's incarnation {:?} is none", shown(&incarnation.name)));
        let key = PublicKey(incarnation.public_key.as_slice().try_into().map_err(|_| wrong())?);
        let name = Incarnation::of(&key);
        if name.to_string() != incarnation.name {
            return Err(wrong());
        }
        let keeper = Keeper { region: self.of.records.id.clone(), gateway: self.of.pod.clone(), incarnation: name };
        Ok((keeper, key))
    }

    /// Begins with the next incarnation.
    pub(super) async fn next(&mut self) -> Result<(), EndError> {
        let Some((keeper, key, is_current)) = self.queue.pop_front() else { return Ok(()) };
        let mut state = {
            // Who stored the last batch on an earlier stream finishes first.
            let storing = self.of.records.storing(&self.of.pod);
            let _only = storing.lock().await;
            let state = self.load(&keeper, key).await?;
            self.reached(store::clean(&self.of.open.archive, &keeper, &state).await)?;
            state
        };
        self.of.records.archived(&keeper, &state);
        let strange = if state.public_key != key {
            let what = "its name is that of an archived incarnation, and its key is not";
            Some(Misfit::new(EvidenceKind::BadSignature, what))
        } else {
            let ended = state.ended.as_ref().filter(|_| is_current);
            ended.map(|ended| {
                let what = format!("it ended and {} followed it, and now it is back: an older copy", ended.followed_by);
                Misfit::new(EvidenceKind::RolledBack, what)
            })
        };
        let accepted = self.is_accepted(&keeper);
        if accepted {
            state.ended = None;
        }
        if is_current {
            self.note(&keeper, &state, None);
        }
        let suspect = self.of.records.is_suspect(&keeper) || strange.is_some();
        self.collecting = Some(Collecting { keeper, state, is_current });
        if let Some(misfit) = strange.filter(|_| !accepted) {
            self.keep(&misfit).await?;
            return self.refuse(&misfit).await;
        }
        if suspect && !accepted {
            self.step = Step::Person { look: Instant::now() + LOOK, tried: None };
            return if is_current { Ok(()) } else { Box::pin(self.next()).await };
        }
        self.say_archived().await?;
        self.collect().await
    }

    async fn load(&self, keeper: &Keeper, key: PublicKey) -> Result<State, EndError> {
        let loaded = self.reached(State::load(&self.of.open.archive, keeper).await)?;
        Ok(loaded.unwrap_or_else(|| State::new(key)))
    }

    /// Whether somebody looked into what did not fit.
    pub(super) fn is_accepted(&self, keeper: &Keeper) -> bool {
        let region = self.of.ctx.world.regions.get(&self.of.records.key);
        region.is_some_and(|region| is_accepted(&region, keeper.gateway.as_str(), &keeper.incarnation.to_string()))
    }
}

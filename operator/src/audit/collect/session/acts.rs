//! Acts of the operator that belong into a log, told over the stream.

use std::sync::Arc;

use sallyport_audit::event::{Act, AdministratorActed};
use sallyport_audit::{Event, Incarnation, Keeper, Person, Text};
use sallyport_control::wire;

use super::{Collecting, EndError, Misfit, Session, State, Tell, site_of};
use crate::audit::collect::state::Ended;
use crate::audit::collect::verify::shown;
use crate::audit::records::{Open, Records, Write, WriteError, Written};

impl Session {
    /// Somebody wants an act recorded here.
    pub(super) async fn act(&mut self, act: Write) -> Result<(), EndError> {
        // Whoever gave up waiting needs no answer.
        self.acts.retain(|_, done| !done.is_closed());
        let request = self.next_act;
        self.next_act += 1;
        let site = site_of(&act.event.scope());
        // Texts, numbers and maps whose keys are strings: this cannot fail, and the gateway refuses an empty event.
        let event = serde_json::to_vec(&act.event).unwrap_or_default();
        self.acts.insert(request, act.done);
        self.tell(Tell::Write(wire::Write { request, site, event })).await
    }

    /// The gateway recorded an act, or did not.
    pub(super) fn written(&mut self, written: wire::Written) {
        let Some(done) = self.acts.remove(&written.request) else { return };
        let incarnation = written.incarnation.parse::<Incarnation>();
        let result = match incarnation {
            _ if !written.refused.is_empty() => Err(WriteError::Refused(shown(&written.refused))),
            Ok(incarnation) => Ok(Written { incarnation, sequence: written.sequence }),
            Err(_) => Err(WriteError::Refused("it does not say where".to_owned())),
        };
        // Whoever asked may have given up.
        let _ = done.send(result);
    }

    /// Incarnations of this gateway of which it has nothing left have ended.
    pub(super) async fn end_others(&mut self, present: &[Keeper], current: &Keeper) -> Result<(), EndError> {
        for (keeper, mut state) in self.of.records.states_of(&self.of.pod) {
            if present.contains(&keeper) || state.ended.as_ref().is_some_and(|ended| ended.noted) {
                continue;
            }
            if state.ended.is_none() {
                tracing::warn!(
                    region = %self.of.records.key, gateway = %keeper.gateway, incarnation = %keeper.incarnation,
                    by = %current.incarnation, through = state.through(), "an incarnation of a gateway's log has ended"
                );
                state.ended = Some(Ended { followed_by: current.incarnation, noted: false });
                self.reached(store_state(&self.of.records, &self.of.open, &keeper, &state).await)?;
            }
            let (records, open) = (self.of.records.clone(), self.of.open.clone());
            self.errands.spawn(async move { note_end(records, open, keeper, state).await });
        }
        Ok(())
    }

    /// Says in another gateway's log, if there is one, that this one is not collected.
    pub(super) fn say_refused(&mut self, keeper: &Keeper, misfit: &Misfit) {
        let why = Text::clipped(&format!("{}: {}", misfit.kind.label(), misfit.what));
        let act = Act::CollectionRefused { gateway: keeper.gateway.clone(), incarnation: keeper.incarnation, why };
        self.errand(keeper.clone(), act);
    }

    /// A person let collection go on.
    pub(super) fn accepted(&mut self) {
        let Some(Collecting { keeper, .. }) = &self.collecting else { return };
        let keeper = keeper.clone();
        tracing::warn!(
            region = %self.of.records.key, gateway = %keeper.gateway, incarnation = %keeper.incarnation,
            "somebody accepted what did not fit; collecting goes on"
        );
        let act = Act::ForkAccepted { gateway: keeper.gateway.clone(), incarnation: keeper.incarnation };
        self.errand(keeper, act);
    }

    fn errand(&mut self, keeper: Keeper, act: Act) {
        let records = self.of.records.clone();
        self.errands.spawn(async move {
            if let Err(error) = records.write(administrator(act), Some(&keeper.gateway)).await {
                tracing::warn!(region = %records.key, gateway = %keeper.gateway, reason = %error, "an act is in no log");
            }
        });
    }
}

/// Says in a log that an incarnation ended. Until that stands there it is said again on the next stream.
async fn note_end(records: Arc<Records>, open: Open, keeper: Keeper, mut state: State) {
    let Some(ended) = &mut state.ended else { return };
    let why = format!(
        "the gateway writes incarnation {} and has nothing left of this one, of which {} records are archived",
        ended.followed_by,
        state.journal.next - 1
    );
    ended.noted = true;
    let (gateway, incarnation) = (keeper.gateway.clone(), keeper.incarnation);
    let act = Act::CollectionRefused { gateway, incarnation, why: Text::clipped(&why) };
    let noted = match records.write(administrator(act), None).await {
        Ok(_) => store_state(&records, &open, &keeper, &state).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(reason) = noted {
        tracing::warn!(region = %records.key, gateway = %keeper.gateway, reason, "the end of an incarnation is in no log yet");
    }
}

async fn store_state(
    records: &Records,
    open: &Open,
    keeper: &Keeper,
    state: &State,
) -> Result<(), crate::audit::archive::ArchiveError> {
    let storing = records.storing(&keeper.gateway);
    let _only = storing.lock().await;
    state.store(&open.archive, keeper).await?;
    records.archived(keeper, state);
    Ok(())
}

/// An act of which the operator does not know who is behind it.
fn administrator(act: Act) -> Event<Person> {
    Event::AdministratorActed(AdministratorActed { by: None, site: None, act })
}

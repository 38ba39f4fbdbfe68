//! The operator: reads the state, asks the machine, stores, and only then acts. It can crash after any write, know old
//! things, and be late. Its faults are for the properties to find.

use jiff::Timestamp;
use sallyport_pki::rotation::{Action, Facts, Made, Stage, State, Step};

use super::world::{Stored, World, Write, bundle};

/// What decides.
pub type Machine = fn(&State, &Facts, Timestamp) -> Step;

/// Turns until a reconcile must have come to rest: a whole rotation has six.
const TURNS: u32 = 40;

#[derive(Clone, Copy, Debug)]
pub struct Operator {
    pub machine: Machine,
    pub habit: Habit,
}

/// How an operator goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Sound,
    /// It acts on a state that is not stored yet.
    ActsFirst,
    /// It overwrites what it has not read.
    IgnoresVersions,
    /// It publishes no generation that is phasing out.
    PublishesNothingOld,
}

/// What an operator has read, maybe long ago.
#[derive(Clone, Debug)]
pub struct Memory {
    pub stored: Stored,
    pub facts: Facts,
}

/// Why a turn ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Crashed,
    /// Somebody else has written since.
    Refused,
}

/// How many writes an operator lives to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Long,
    Writes(u32),
}

impl Life {
    fn spend(&mut self) -> Result<(), Stop> {
        match self {
            Self::Long => Ok(()),
            Self::Writes(0) => Err(Stop::Crashed),
            Self::Writes(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Operator {
    pub fn sound(machine: Machine) -> Self {
        Self { machine, habit: Habit::Sound }
    }

    /// Turns until nothing changes. What is known of acknowledgements and absences may be from a memory.
    pub fn reconcile(self, world: &mut World, old: Option<&Memory>, life: &mut Life) -> Result<(), Stop> {
        for _ in 0..TURNS {
            let mut memory = Memory { stored: world.stored.clone(), facts: world.facts() };
            for (name, peer) in old.into_iter().flat_map(|old| &old.facts.peers) {
                let Some(known) = memory.facts.peers.get_mut(name) else { continue };
                known.acknowledged.clone_from(&peer.acknowledged);
                known.away_since = peer.away_since;
            }
            let before = (world.stored.version, world.keys.clone(), world.published.clone());
            self.turn(world, &memory, life)?;
            if before == (world.stored.version, world.keys.clone(), world.published.clone()) {
                return Ok(());
            }
        }
        world.restless = true;
        Ok(())
    }

    /// One turn on what was read.
    pub fn turn(self, world: &mut World, read: &Memory, life: &mut Life) -> Result<(), Stop> {
        let step = (self.machine)(&read.stored.state, &read.facts, world.now);
        if self.habit == Habit::ActsFirst {
            self.act(world, &step, &read.facts, life)?;
        }
        if step.state != read.stored.state {
            life.spend()?;
            self.store(world, read, &step.state)?;
        }
        self.publish(world, &step.state, life)?;
        self.act(world, &step, &read.facts, life)
    }

    fn store(self, world: &mut World, read: &Memory, next: &State) -> Result<(), Stop> {
        if world.stored.version != read.stored.version && self.habit != Habit::IgnoresVersions {
            return Err(Stop::Refused);
        }
        let before = std::mem::replace(&mut world.stored.state, next.clone());
        world.stored.version += 1;
        for record in next.given_up.iter().filter(|record| !before.given_up.contains(record)) {
            world.given_up.push(record.clone());
        }
        let (sites, facts) = (world.sites.clone(), read.facts.clone());
        let (now, latest) = (world.now, world.latest);
        world.writes.push(Write { before, after: next.clone(), now, latest, sites, facts });
        Ok(())
    }

    /// The bundle follows from the state. One of an older sequence is refused.
    fn publish(self, world: &mut World, state: &State, life: &mut Life) -> Result<(), Stop> {
        let mut bundle = bundle(state);
        if self.habit == Habit::PublishesNothingOld {
            let is_old = |number: &u32| state.generation(*number).is_some_and(|g| g.stage == Stage::PhasingOut);
            bundle.numbers.retain(|number| !is_old(number));
        }
        if bundle.sequence >= world.published.sequence && bundle != world.published {
            life.spend()?;
            world.published = bundle;
        }
        Ok(())
    }

    fn act(self, world: &mut World, step: &Step, facts: &Facts, life: &mut Life) -> Result<(), Stop> {
        for action in &step.actions {
            match *action {
                Action::MakeKey { number, .. } if !world.keys.contains_key(&number) => {
                    life.spend()?;
                    let request = facts.wish.request.as_ref().map(|request| request.id.clone());
                    world.make_key(number, Made { made_for: facts.wish.made_for.clone(), request });
                }
                Action::DestroyKey { number } if world.keys.contains_key(&number) => {
                    life.spend()?;
                    world.destroy_key(number);
                }
                Action::MakeKey { .. } | Action::DestroyKey { .. } => {}
            }
        }
        Ok(())
    }
}

//! What can happen, and worlds to which it happens.

use std::time::Duration;

use proptest::prelude::*;
use sallyport_pki::rotation::Request;

use super::operator::{Life, Memory, Operator};
use super::world::{HOUR, World};

/// One thing that happens. Sites are picked by a number, counted round.
#[derive(Clone, Debug)]
pub enum Act {
    Acknowledge(u8),
    /// Every live site does.
    AcknowledgeAll,
    AddSite,
    /// The clock goes back.
    Back {
        hours: u16,
    },
    /// Subject, algorithm or custody.
    ChangeSpec(u8),
    /// The operator dies after so many writes of one reconcile.
    CrashAfter(u8),
    DeclareLost(u8),
    Emergency {
        hours: u8,
    },
    Forward {
        hours: u16,
    },
    /// The operator that remembered acts now, on what it read then.
    LateOperator,
    Leave(u8),
    /// The key of the n-th newest generation is lost.
    LoseKey(u8),
    Reconcile,
    /// With the acknowledgements and absences that were remembered.
    ReconcileOnOldFacts,
    ReconcileTwice,
    /// An operator reads state and facts, and is held up.
    Remember,
    Renew(u8),
    /// Every live site does.
    RenewAll,
    Request,
    Return(u8),
    WithdrawRequest,
}

/// Histories, with enough progress in them to meet the later stages.
pub fn histories() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..60)
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Reconcile),
        5 => Just(Act::AcknowledgeAll),
        4 => Just(Act::RenewAll),
        4 => (1u16..72).prop_map(|hours| Act::Forward { hours }),
        4 => (0u8..6).prop_map(Act::CrashAfter),
        3 => Just(Act::AddSite),
        3 => (0u8..8).prop_map(Act::Acknowledge),
        3 => (0u8..8).prop_map(Act::Leave),
        3 => (0u8..8).prop_map(Act::Renew),
        3 => Just(Act::Request),
        2 => (100u16..2000).prop_map(|hours| Act::Forward { hours }),
        2 => (0u8..8).prop_map(Act::Return),
        2 => (1u8..48).prop_map(|hours| Act::Emergency { hours }),
        2 => (0u8..3).prop_map(Act::ChangeSpec),
        2 => Just(Act::LateOperator),
        2 => Just(Act::ReconcileOnOldFacts),
        2 => Just(Act::ReconcileTwice),
        2 => Just(Act::Remember),
        1 => (2000u16..4000).prop_map(|hours| Act::Forward { hours }),
        1 => (0u8..8).prop_map(Act::DeclareLost),
        1 => (1u16..500).prop_map(|hours| Act::Back { hours }),
        1 => (0u8..3).prop_map(Act::LoseKey),
        1 => Just(Act::WithdrawRequest),
    ]
}

/// A world to which things happen.
#[derive(Clone, Debug)]
pub struct History {
    pub world: World,
    pub operator: Operator,
    memory: Option<Memory>,
    requests: u32,
}

impl History {
    pub fn new(operator: Operator) -> Self {
        Self { world: World::new(), operator, memory: None, requests: 0 }
    }

    pub fn happen(&mut self, act: &Act) {
        let world = &mut self.world;
        match *act {
            Act::Acknowledge(site) => self.on(site, |world, name| world.acknowledge(name)),
            Act::AcknowledgeAll => self.on_all(|world, name| world.acknowledge(name)),
            Act::AddSite => world.add_site(),
            Act::Back { hours } => world.back(u32::from(hours) * HOUR),
            Act::ChangeSpec(to) => world.wish.made_for = format!("spec {to}"),
            Act::CrashAfter(writes) => self.reconcile(None, Life::Writes(writes.into())),
            Act::DeclareLost(site) => self.on(site, |world, name| {
                world.wish.lost.insert(name.to_owned(), "burnt down".into());
            }),
            Act::Emergency { hours } => self.request(Some(u32::from(hours) * HOUR)),
            Act::Forward { hours } => world.forward(u32::from(hours) * HOUR),
            Act::LateOperator => {
                if let Some(memory) = self.memory.take() {
                    let _ = self.operator.turn(world, &memory, &mut Life::Long);
                }
            }
            Act::Leave(site) => self.on(site, |world, name| {
                let now = world.now;
                world.sites.get_mut(name).unwrap().away_since.get_or_insert(now);
            }),
            Act::LoseKey(which) => {
                let number = world.keys.keys().rev().nth(which.into()).copied();
                if let Some(number) = number {
                    world.keys.remove(&number);
                }
            }
            Act::Reconcile => self.reconcile(None, Life::Long),
            Act::ReconcileOnOldFacts => {
                let memory = self.memory.clone();
                self.reconcile(memory.as_ref(), Life::Long);
            }
            Act::ReconcileTwice => {
                self.reconcile(None, Life::Long);
                self.reconcile(None, Life::Long);
            }
            Act::Remember => self.memory = Some(Memory { stored: world.stored.clone(), facts: world.facts() }),
            Act::Renew(site) => self.on(site, World::renew),
            Act::RenewAll => self.on_all(World::renew),
            Act::Request => self.request(None),
            Act::Return(site) => self.on(site, |world, name| {
                world.sites.get_mut(name).unwrap().away_since = None;
            }),
            Act::WithdrawRequest => world.wish.request = None,
        }
    }

    /// A crash or a refused write is part of life: the next reconcile goes on.
    pub fn reconcile(&mut self, old: Option<&Memory>, mut life: Life) {
        let _ = self.operator.reconcile(&mut self.world, old, &mut life);
    }

    fn request(&mut self, emergency: Option<Duration>) {
        self.requests += 1;
        let (id, reason) = (self.requests.to_string(), "a laptop was stolen".to_owned());
        self.world.wish.request = Some(Request { id, reason, emergency });
    }

    fn on(&mut self, site: u8, act: impl Fn(&mut World, &str)) {
        let count = self.world.sites.len();
        let name = self.world.sites.keys().nth(usize::from(site) % count.max(1)).cloned();
        if let Some(name) = name {
            act(&mut self.world, &name);
        }
    }

    fn on_all(&mut self, act: impl Fn(&mut World, &str)) {
        let names: Vec<_> = self.world.sites.keys().cloned().collect();
        names.iter().for_each(|name| act(&mut self.world, name));
    }
}

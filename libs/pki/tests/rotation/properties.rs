//! The eight properties. Each is a sentence and a function; all are checked after every action.

use sallyport_pki::rotation::{Action, Cause, GenerationState, Stage, State};

use super::actions::{Act, History};
use super::operator::{Life, Operator};
use super::world::{World, Write, bundle};

/// A property: its name, and whether it holds.
pub type Property = (&'static str, fn(&History) -> Result<(), String>);

pub const NO_ORPHAN: Property = ("no orphan", no_orphan);
pub const NO_EARLY_SIGNING: Property = ("no early signing", |h| on_writes(h, no_early_signing));
pub const NO_OUTLIVING: Property = ("no outliving", no_outliving);
pub const NO_EARLY_DROP: Property = ("no early drop", |h| on_writes(h, no_early_drop));
pub const PROGRESS: Property = ("progress", progress);
pub const IDEMPOTENCE: Property = ("idempotence", idempotence);
pub const NO_GOING_BACK: Property = ("no going back", |h| on_writes(h, no_going_back));
pub const CRASH_SAFETY: Property = ("crash safety", crash_safety);

pub const ALL: [Property; 8] =
    [NO_ORPHAN, NO_EARLY_SIGNING, NO_OUTLIVING, NO_EARLY_DROP, PROGRESS, IDEMPOTENCE, NO_GOING_BACK, CRASH_SAFETY];

/// Lets things happen, and checks these properties after each.
pub fn hold(properties: &[Property], mut history: History, acts: &[Act]) -> Result<(), String> {
    for (index, act) in acts.iter().enumerate() {
        history.world.writes.clear();
        history.happen(act);
        for (name, property) in properties {
            property(&history).map_err(|problem| format!("{name}: {problem} (after {index}: {act:?})"))?;
        }
        let highest = history.world.stored.state.generations.iter().map(number).max().unwrap_or(0);
        history.world.highest = history.world.highest.max(highest);
    }
    Ok(())
}

/// 1. Every unexpired certificate's issuer is in every published bundle, but those of peers that were given up.
fn no_orphan(history: &History) -> Result<(), String> {
    let world = &history.world;
    for (name, site) in &world.sites {
        let Some(leaf) = site.leaf.filter(|leaf| leaf.not_after > world.latest) else { continue };
        let trusted = [&world.published.numbers, &bundle(&world.stored.state).numbers];
        if trusted.iter().any(|numbers| !numbers.contains(&leaf.issuer)) && !world.is_given_up(name, leaf.issuer) {
            return Err(format!("{name} uses a certificate of generation {}, bundles have {trusted:?}", leaf.issuer));
        }
    }
    Ok(())
}

/// 2. A generation signs only after it was published for long enough and every peer trusts it or was given up with a
///    recorded reason. (Nobody is cut off who never had a bundle: it comes with the first certificate. And before
///    anything signs, who holds nothing is not asked.)
fn no_early_signing(write: &Write, world: &World) -> Result<(), String> {
    let signs = |state: &State| state.issuing().map(number);
    let Some(signer) = write.after.issuing().filter(|s| signs(&write.before) != Some(number(s))) else { return Ok(()) };
    let is_first = write.before.issuing().is_none();
    let entered = write
        .before
        .history
        .iter()
        .rev()
        .find(|entry| entry.generation == number(signer) && entry.stage == Stage::NotYetTrusted);
    let published = entered.map_or(i64::MAX, |entry| entry.at.duration_until(write.latest).as_secs());
    if !is_first && signer.cause != Cause::Emergency && published < 24 * 3600 {
        return Err(format!("generation {} signs after {published} s", number(signer)));
    }
    for (name, site) in &write.sites {
        let holds = site.leaf.is_some_and(|leaf| leaf.not_after > write.latest);
        let trusts = site.trusts.numbers.contains(&number(signer));
        let recorded = world.given_up.iter().any(|g| &g.peer == name && g.generation == number(signer));
        let is_new = !holds && (is_first || site.trusts.numbers.is_empty());
        if !trusts && !recorded && !is_new {
            return Err(format!("generation {} signs, {name} does not trust it", number(signer)));
        }
    }
    Ok(())
}

/// 3. A certificate ends at or before its issuer does.
fn no_outliving(history: &History) -> Result<(), String> {
    let world = &history.world;
    for (name, site) in &world.sites {
        let Some(leaf) = site.leaf else { continue };
        let issuer = world.stored.state.generation(leaf.issuer);
        if issuer.is_some_and(|issuer| leaf.not_after > issuer.generation.not_after) {
            return Err(format!("{name}'s certificate outlives generation {}", leaf.issuer));
        }
    }
    Ok(())
}

/// 4. A generation leaves the bundle only when none of its certificates is unexpired, but those of peers that were given
///    up; and nobody is given up but the lost, those that are away for too long, and those that an emergency leaves.
fn no_early_drop(write: &Write, world: &World) -> Result<(), String> {
    for gone in write.before.bundle().difference(&write.after.bundle()) {
        for (name, site) in &write.sites {
            let uses_it = site.leaf.is_some_and(|l| l.issuer == *gone && l.not_after > write.latest);
            if uses_it && !world.is_given_up(name, *gone) {
                return Err(format!("generation {gone} is dropped, {name} uses it"));
            }
        }
    }
    for record in write.after.given_up.iter().filter(|record| !write.before.given_up.contains(record)) {
        let wish = &write.facts.wish;
        let Some(peer) = write.facts.peers.get(&record.peer) else { return Err(format!("a stranger: {record:?}")) };
        let lost = wish.lost.get(&record.peer).is_some_and(|reason| record.reason.contains(reason.as_str()));
        let away_for = peer.away_since.map_or(i64::MIN, |since| since.duration_until(write.now).as_secs());
        let away = away_for >= 10 * 24 * 3600 && record.reason.contains("away since");
        let emergency = world.stored.state.generations.iter().filter_map(|g| g.drop_others_at.map(|at| (g, at)));
        let emergency = emergency.filter(|(g, _)| record.generation >= number(g));
        let made = |g: &GenerationState| {
            let mut entries = write.after.history.iter();
            entries.find(|e| e.generation == number(g) && e.stage == Stage::NotYetTrusted).map(|e| e.at)
        };
        let mut half_over = emergency
            .filter_map(|(g, at)| made(g).map(|made| made.duration_until(at) / 2 <= made.duration_until(write.now)));
        let emergency = half_over.any(|over| over) && record.reason.contains("emergency: a laptop was stolen");
        if !(lost || away || emergency) {
            return Err(format!("given up for no reason: {record:?}"));
        }
    }
    Ok(())
}

/// 5. From any state that was reached, a rotation ends with one generation that signs and nothing else in the bundle, if
///    time goes on, live peers acknowledge and renew, and the operator is asked when it wanted to be.
fn progress(history: &History) -> Result<(), String> {
    let mut world = history.world.clone();
    world.now = world.latest;
    for _ in 0..60 {
        let before = world.stored.version;
        reconcile(history.operator, &mut world)?;
        if at_rest(&history.operator, &world) {
            return Ok(());
        }
        let names: Vec<_> = world.sites.keys().cloned().collect();
        for name in &names {
            world.acknowledge(name);
            world.renew(name);
        }
        reconcile(history.operator, &mut world)?;
        if before == world.stored.version {
            let step = (history.operator.machine)(&world.stored.state, &world.facts(), world.now);
            let Some(at) = step.wake_at else { return Err(format!("waits for ever: {:?}", step.waiting)) };
            world.set_clock(at);
        }
    }
    Err(format!("does not end: {:?}", world.stored.state))
}

fn reconcile(operator: Operator, world: &mut World) -> Result<(), String> {
    let _ = Operator::sound(operator.machine).reconcile(world, None, &mut Life::Long);
    if world.restless { Err("does not come to rest".into()) } else { Ok(()) }
}

fn at_rest(operator: &Operator, world: &World) -> bool {
    let step = (operator.machine)(&world.stored.state, &world.facts(), world.now);
    let generations = &world.stored.state.generations;
    let signing = generations.iter().filter(|g| g.stage == Stage::Issuing).count();
    let removed = generations.iter().filter(|g| g.stage == Stage::Removed).count();
    step.waiting.is_none() && step.actions.is_empty() && signing == 1 && signing + removed == generations.len()
}

/// 6. The same facts give the same step, until the time at which the machine wants to be asked again; and repeating what
///    was done changes nothing.
fn idempotence(history: &History) -> Result<(), String> {
    let History { world, operator, .. } = history;
    if world.restless {
        return Err("a reconcile does not come to rest".into());
    }
    let facts = world.facts();
    let step = (operator.machine)(&world.stored.state, &facts, world.now);
    let quiet = step.state == world.stored.state;
    let until = step.wake_at.filter(|_| quiet);
    if until.is_some_and(|at| at <= world.now) {
        return Err(format!("wakes at {until:?}, which is over"));
    }
    let last = until.map_or(world.now, |at| at.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap());
    let middle = world.now.checked_add(world.now.duration_until(last) / 2).unwrap();
    for time in [world.now, middle, last] {
        let again = (operator.machine)(&world.stored.state, &facts, time);
        if again != step {
            return Err(format!("says {step:?}, and at {time} {again:?}"));
        }
    }
    let mut once = world.clone();
    let sound = Operator::sound(operator.machine);
    let _ = sound.reconcile(&mut once, None, &mut Life::Long);
    let mut twice = once.clone();
    let _ = sound.reconcile(&mut twice, None, &mut Life::Long);
    let seen = |world: &World| (world.stored.clone(), world.keys.clone(), world.published.clone());
    if seen(&once) != seen(&twice) {
        return Err("a second reconcile changes something".into());
    }
    Ok(())
}

/// 7. Stages, numbers and the sequence only rise; one transition a write; a signer is never lost, nor is there a second.
fn no_going_back(write: &Write, world: &World) -> Result<(), String> {
    let Write { before, after, .. } = write;
    let rise = u64::from(before.bundle() != after.bundle());
    if after.sequence != before.sequence + rise {
        return Err(format!("sequence {} after {}", after.sequence, before.sequence));
    }
    let mut moved = 0;
    for was in &before.generations {
        let Some(is) = after.generation(number(was)) else {
            if was.stage == Stage::Removed {
                continue;
            }
            return Err(format!("generation {} is forgotten", number(was)));
        };
        if is.stage < was.stage || is.generation != was.generation {
            return Err(format!("generation {} went back", number(was)));
        }
        moved += u32::from(is.stage != was.stage);
    }
    let fresh = after.generations.iter().filter(|g| before.generation(number(g)).is_none());
    let known = before.generations.iter().map(number).max().unwrap_or(0).max(world.highest);
    let fresh: Vec<u32> = fresh.map(number).collect();
    if let Some(used) = fresh.iter().find(|number| **number <= known) {
        return Err(format!("number {used} is used again"));
    }
    let swap = before.issuing().map(number) != after.issuing().map(number) && before.issuing().is_some();
    if moved + u32::try_from(fresh.len()).unwrap() != 1 + u32::from(swap) {
        return Err(format!("not one transition: {before:?} {after:?}"));
    }
    let signing = after.generations.iter().filter(|g| g.stage == Stage::Issuing).count();
    if signing > 1 || signing < before.generations.iter().filter(|g| g.stage == Stage::Issuing).count() {
        return Err(format!("{signing} generations sign"));
    }
    if after.history.len() > 50 || after.given_up.len() > 100 || after.generations.len() > 30 {
        return Err("records are not bounded".into());
    }
    Ok(())
}

/// 8. After a crash between any two writes the first four hold (they are checked after every action, crashes too), and no
///    key is destroyed before it is stored that its generation is removed.
fn crash_safety(history: &History) -> Result<(), String> {
    let early = &history.world.destroyed_early;
    if early.is_empty() { Ok(()) } else { Err(format!("keys destroyed while they were trusted: {early:?}")) }
}

fn on_writes(history: &History, property: fn(&Write, &World) -> Result<(), String>) -> Result<(), String> {
    history.world.writes.iter().try_for_each(|write| property(write, &history.world))
}

pub fn number(generation: &GenerationState) -> u32 {
    generation.generation.number
}

/// Whether the machine wants a key made.
pub fn wants_key(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::MakeKey { .. }))
}

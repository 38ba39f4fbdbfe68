//! Records as JSON Lines, in order of time.

use std::collections::BTreeSet;

use sallyport_audit::export::{BuildError, Keys as _, Merge, Period, line, records, select, show};
use sallyport_audit::tlog::tree::Tree;
use sallyport_audit::{KeyId, Origin, Record, Sealed};
use serde_json::Value;
use tokio::runtime::Handle;

use super::Refused;
use super::asked::{Asked, Cursor, Filter};
use super::chunks::Chunks;
use super::logs::{ArchivedKeys, ArchivedTiles, Log};
use crate::audit::records::{Open, Records};

/// Gives the records that pass the filter, as many as are asked for.
pub(super) fn give(
    runtime: &Handle,
    known: &Records,
    open: &Open,
    asked: &Asked,
    filter: &Filter,
    logs: &[Log],
    chunks: &mut Chunks,
) -> Result<(), Refused> {
    let keys = ArchivedKeys::new(runtime, known, open);
    let person: Option<BTreeSet<KeyId>> = match filter.engineer {
        Some(subject) => Some(keys.of(subject)?.keys.into_keys().collect()),
        None => None,
    };
    let trees: Vec<_> = logs.iter().map(|log| tree(runtime, open, log)).collect();
    let period = from_cursor(asked.period, filter.after.as_ref(), logs, &trees)?;
    let mut streams = Vec::new();
    for tree in &trees {
        let selection = select(tree, period).map_err(Refused::unreadable)?;
        streams.push(records(tree, selection.first..selection.end));
    }
    let mut merge = Merge::new(logs.len());
    for (number, stream) in streams.iter_mut().enumerate() {
        put(&mut merge, number, stream.next())?;
    }
    let (mut left, mut seen_cursor) = (filter.limit, filter.after.is_none());
    while let Some((number, record)) = merge.take() {
        if left == 0 {
            break;
        }
        let (Some(log), Some(stream)) = (logs.get(number), streams.get_mut(number)) else { continue };
        let passes = seen_cursor && passes(&record, filter, person.as_ref());
        seen_cursor |= filter.after.as_ref().is_some_and(|after| after.log == log.origin && after.n == record.n);
        if passes {
            chunks.write(&shown(&keys, &log.origin, record)?)?;
            left -= 1;
        }
        put(&mut merge, number, stream.next())?;
    }
    Ok(())
}

fn tree<'a>(runtime: &'a Handle, open: &'a Open, log: &Log) -> Tree<ArchivedTiles<'a>> {
    let tiles = ArchivedTiles { runtime, archive: &open.archive, origin: log.origin.clone() };
    Tree::new(tiles, log.checkpoint.claimed().head().size)
}

fn put(merge: &mut Merge<Sealed>, log: usize, next: Option<Result<Record<Sealed>, BuildError>>) -> Result<(), Refused> {
    if let Some(record) = next {
        merge.put(log, record.map_err(Refused::unreadable)?);
    }
    Ok(())
}

/// Reading goes on at the time of the record that was read last: what has the same time stands behind or before it in
/// the same order as then.
fn from_cursor(
    period: Period,
    after: Option<&Cursor>,
    logs: &[Log],
    trees: &[Tree<ArchivedTiles<'_>>],
) -> Result<Period, Refused> {
    let Some(after) = after else { return Ok(period) };
    let unknown = || Refused::BadRequest("after: there is no such record".to_owned());
    let position = logs.iter().position(|log| log.origin == after.log).ok_or_else(unknown)?;
    let tree = trees.get(position).filter(|tree| after.n < tree.size()).ok_or_else(unknown)?;
    let read = records(tree, after.n..after.n + 1).next().ok_or_else(unknown)?;
    let at = read.map_err(Refused::unreadable)?.at;
    if period.contains(at) { Ok(Period { from: at, to: period.to }) } else { Err(unknown()) }
}

fn passes(record: &Record<Sealed>, filter: &Filter, person: Option<&BTreeSet<KeyId>>) -> bool {
    let named = |name: &str, wanted: Option<&String>, event: &Value| {
        wanted.is_none_or(|wanted| event.get(name).and_then(Value::as_str) == Some(wanted.as_str()))
    };
    let is_person = |keys: &BTreeSet<KeyId>| record.event.person().is_some_and(|sealed| keys.contains(&sealed.key));
    if !person.is_none_or(is_person) {
        return false;
    }
    if filter.device.is_none() && filter.incident.is_none() {
        return true;
    }
    // A record's own words: its kinds have what they have under the same names.
    let event = serde_json::to_value(&record.event).unwrap_or_default();
    named("device", filter.device.as_ref(), &event) && named("incident", filter.incident.as_ref(), &event)
}

fn shown(keys: &ArchivedKeys<'_>, log: &Origin, record: Record<Sealed>) -> Result<Vec<u8>, Refused> {
    let key = match record.event.person() {
        Some(sealed) => keys.key(log, sealed.key).map_err(|error| Refused::unreadable(&*error))?,
        None => None,
    };
    let record = show(log, record, |_| key).map_err(Refused::unreadable)?;
    Ok(line(log, &record))
}

//! Several logs as one, in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use crate::record::Record;

/// The next record of each log; the earliest comes out first, of equal times that of the first log.
#[derive(Debug)]
pub struct Merge<P> {
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    heads: Vec<Option<Record<P>>>,
}

impl<P> Merge<P> {
    /// Of so many logs.
    pub fn new(logs: usize) -> Self {
        Self { order: BinaryHeap::with_capacity(logs), heads: (0..logs).map(|_| None).collect() }
    }

    /// The next record of a log. To be called once for each log, and then for the log of each record that was taken.
    pub fn put(&mut self, log: usize, record: Record<P>) {
        if let Some(head) = self.heads.get_mut(log) {
            self.order.push(Reverse((record.at, log)));
            *head = Some(record);
        }
    }

    /// The earliest record and its log.
    pub fn take(&mut self) -> Option<(usize, Record<P>)> {
        let Reverse((_, log)) = self.order.pop()?;
        let record = self.heads.get_mut(log)?.take()?;
        Some((log, record))
    }
}

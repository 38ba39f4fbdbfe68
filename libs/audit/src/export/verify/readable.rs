//! The readable files, made anew and compared as they pass.

use std::io::{self, Read};

use super::Counted;
use super::fault::{Check, What};
use super::folder::{Files, Folder};
use crate::export::about::About;
use crate::export::manifest::FileHasher;
use crate::export::paths;
use crate::export::readable::{HEAD, Report, line, row};
use crate::person::{Person, Shown};
use crate::record::Record;
use crate::scope::Origin;

pub(super) struct Readable<'f> {
    jsonl: Option<Passing<'f>>,
    csv: Option<Passing<'f>>,
    report: Report,
    counted: Counted,
}

impl<'f> Readable<'f> {
    pub(super) fn begin(folder: &mut Folder<'f, impl Files>) -> Self {
        let mut passing = |path| folder.open(path).map(|file| Passing::new(path, file));
        let (jsonl, mut csv) = (passing(paths::JSONL), passing(paths::CSV));
        if let Some(csv) = &mut csv {
            csv.expect(HEAD);
        }
        Self { jsonl, csv, report: Report::new(), counted: Counted::default() }
    }

    /// The next record in order of time.
    pub(super) fn see(&mut self, number: usize, log: &Origin, record: &Record<Shown>) {
        self.counted.records += 1;
        self.counted.erased += u64::from(record.event.person().is_some_and(is_erased));
        if let Some(jsonl) = &mut self.jsonl {
            jsonl.expect(&line(log, record));
        }
        if let Some(csv) = &mut self.csv {
            csv.expect(&row(log, record));
        }
        self.report.add(number, record);
    }

    /// Tells what differs. Nothing is told when records are damaged, for what follows from them cannot be compared.
    pub(super) fn end(self, folder: &mut Folder<'f, impl Files>, about: &About) -> Counted {
        let damaged = folder.has_left() || [Check::Entries, Check::Tree].into_iter().any(|check| folder.has(check));
        for passing in self.jsonl.into_iter().chain(self.csv) {
            passing.end(folder, damaged);
        }
        let page = self.report.page(about);
        // One byte more than it should have shows that it is longer.
        if let Some(found) = folder.read(paths::REPORT, page.len().saturating_add(MOST_SLACK))
            && !damaged
            && found != page
        {
            folder.file(Check::Readable, paths::REPORT, What::Report);
        }
        self.counted
    }
}

/// A report that is a little longer is kept to say that it differs, not that it is too large.
const MOST_SLACK: usize = 64 * 1024;

fn is_erased(shown: &Shown) -> bool {
    match shown {
        Shown::Erased => true,
        Shown::Known(Person { .. }) => false,
    }
}

/// A file whose lines are known.
struct Passing<'f> {
    path: &'static str,
    file: io::BufReader<Box<dyn Read + 'f>>,
    hasher: FileHasher,
    buffer: Vec<u8>,
    line: u64,
    bytes: u64,
    /// The first line that differs.
    differs: Option<u64>,
    broken: Option<io::Error>,
}

impl<'f> Passing<'f> {
    fn new(path: &'static str, file: Box<dyn Read + 'f>) -> Self {
        let file = io::BufReader::with_capacity(64 * 1024, file);
        let (hasher, buffer) = (FileHasher::new(), Vec::new());
        Self { path, file, hasher, buffer, line: 0, bytes: 0, differs: None, broken: None }
    }

    /// The next line, its end included.
    fn expect(&mut self, line: &[u8]) {
        self.line += 1;
        if self.differs.is_some() || self.broken.is_some() {
            return;
        }
        if self.take(line.len()) != line && self.broken.is_none() {
            self.differs = Some(self.line);
        }
    }

    /// So many bytes, or as many as there are.
    fn take(&mut self, bytes: usize) -> &[u8] {
        self.buffer.clear();
        let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.broken = self.file.by_ref().take(limit).read_to_end(&mut self.buffer).err();
        self.hasher.update(&self.buffer);
        self.bytes += u64::try_from(self.buffer.len()).unwrap_or(0);
        &self.buffer
    }

    fn end(mut self, folder: &mut Folder<'f, impl Files>, damaged: bool) {
        let mut behind = false;
        while self.broken.is_none() && !self.take(64 * 1024).is_empty() {
            behind = true;
        }
        folder.size.bytes += self.bytes;
        if let Some(error) = self.broken {
            return folder.file(Check::Manifest, self.path, What::Damaged { why: error.to_string() });
        }
        folder.compare(self.path, self.hasher);
        if let Some(line) = self.differs.or(behind.then_some(self.line + 1))
            && !damaged
        {
            folder.file(Check::Readable, self.path, What::Readable { line });
        }
    }
}

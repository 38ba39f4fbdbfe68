//! Ten thousand ways to change an export, each found, and found where it is. Half of them are an outsider's, who cannot
//! sign; the other half are the vendor's own, who signs the manifest anew.
//!
//! `SALLYPORT_SEED` repeats a run, `SALLYPORT_MUTATIONS` makes a longer one.

#![allow(clippy::unwrap_used, reason = "a test")]

mod export_support;

use export_support::{Folder, Log, World, check, period, record, signed_anew};
use sallyport_audit::export::Known;

const MUTATIONS: u64 = 10_000;
const SEED: u64 = 0x5a11_e9f0_0d5e_ed01;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A changed export, and where a fault must be.
struct Mutated {
    what: String,
    folder: Folder,
    known: Vec<Known>,
    files: Vec<String>,
    logs: Vec<String>,
}

/// What mutations start from: logs that fill a bundle and small ones, and the same logs some time earlier.
struct Start {
    world: World,
    now: Folder,
    before: Folder,
    known: Vec<Known>,
}

impl Start {
    fn new(sizes: &[usize]) -> Self {
        let world = World::new(sizes);
        let earlier = World::new(&sizes.iter().map(|size| size / 2).collect::<Vec<_>>());
        // The last third, so that there are neighbours and files that do not go along.
        let last = 10 * sizes.iter().max().copied().unwrap() as i64;
        let period = period(last * 2 / 3, last + 100);
        let (now, before) = (world.export(period), earlier.export(period));
        let notes: Vec<_> = world.logs.iter().map(|log| log.checkpoint().to_string()).collect();
        let known = vec![Known::read("webhook.json", serde_json::json!(notes).to_string().as_bytes()).unwrap()];
        assert!(check(&now, &known).is_ok() && check(&now, &[]).is_ok() && check(&before, &[]).is_ok());
        Self { world, now, before, known }
    }

    fn mutated(&self, random: &mut Random) -> Mutated {
        let paths: Vec<String> = self.now.keys().cloned().collect();
        let mut mutated = Mutated {
            what: String::new(),
            folder: self.now.clone(),
            known: vec![],
            files: vec![random.of(&paths).clone()],
            logs: vec![],
        };
        match random.below(14) {
            0..4 => mutated.flip(random),
            4 => mutated.truncate(random),
            5 => mutated.remove(),
            6 => mutated.swap(&paths, random),
            7 => mutated.restore(&self.before, random),
            8 => mutated.add(random),
            9 => mutated.change_manifest(random),
            10 => self.older_log(&mut mutated, random),
            _ => self.rewritten(&mut mutated, random),
        }
        // Tiles, entries and checkpoints speak of each other, so the log is named if not the file.
        for file in &mutated.files {
            let number = file.strip_prefix("logs/").and_then(|path| path.split('/').next()?.parse::<usize>().ok());
            mutated
                .logs
                .extend(number.and_then(|number| self.world.logs.get(number)).map(|log| log.origin.to_string()));
        }
        // Where a manifest is not what was changed, half of the liars have the key.
        if !mutated.files.contains(&"manifest".to_owned()) && mutated.known.is_empty() && random.below(2) == 0 {
            mutated.what.push_str(", signed anew");
            let description = mutated
                .folder
                .get("export.json")
                .and_then(|bytes| serde_json::from_slice::<sallyport_audit::export::About>(bytes).ok());
            if description.is_some() {
                mutated.folder = signed_anew(&mutated.folder);
                mutated.follow();
            }
        }
        mutated
    }

    /// An older copy of one whole log and all that follows from it, as it was signed by everybody then.
    fn older_log(&self, mutated: &mut Mutated, random: &mut Random) {
        let number = random.below(self.world.logs.len());
        let log = &self.world.logs[number];
        let size = random.below(log.entries.len());
        let mut older = self.world.clone();
        older.logs[number] = Log::new(u8::try_from(number).unwrap());
        older.logs[number].push(log.entries[..size].iter().cloned());
        let about = export_support::about(&self.now);
        mutated.what = format!("log {number} as it was with {size} records");
        mutated.folder = older.export(about.period);
        mutated.known.clone_from(&self.known);
        mutated.logs = vec![log.origin.to_string()];
    }

    /// A log with another history, its tiles recomputed, under the checkpoint that was signed.
    fn rewritten(&self, mutated: &mut Mutated, random: &mut Random) {
        let number = random.below(self.world.logs.len());
        let log = &self.world.logs[number];
        let mut entries = log.entries.clone();
        let (one, other) = (random.below(entries.len()), random.below(entries.len()));
        let invented = record(&log.origin, one as u64, export_support::at(10 * one as i64 + number as i64 + 1));
        let invented = sallyport_audit::encode(&invented);
        mutated.what = match random.below(4) {
            0 if one != other => {
                entries.swap(one, other);
                format!("log {number}: records {one} and {other} changed places")
            }
            1 => {
                entries.remove(one);
                entries.push(invented);
                format!("log {number}: record {one} left out and another put behind")
            }
            2 if one != other => {
                entries[one] = entries[other].clone();
                format!("log {number}: record {other} instead of {one}")
            }
            _ => {
                entries[one] = invented;
                format!("log {number}: record {one} invented")
            }
        };
        let mut world = self.world.clone();
        world.logs[number] = Log::new(u8::try_from(number).unwrap());
        world.logs[number].push(entries);
        let mut folder = self.now.clone();
        // Its tiles, for the same sizes, so they have the same names.
        let tiles = &world.logs[number].store;
        for (path, bytes) in &mut folder {
            let tile = path.strip_prefix(&format!("logs/{number}/")).and_then(|path| path.parse().ok());
            if let Some(content) = tile.and_then(|tile| tiles.get(&tile)) {
                bytes.clone_from(content);
            }
        }
        mutated.logs = vec![log.origin.to_string()];
        mutated.folder = folder;
        mutated.files.clear();
    }
}

impl Mutated {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self.folder.get_mut(&self.files[0]).unwrap()
    }

    fn flip(&mut self, random: &mut Random) {
        let bytes = self.bytes();
        let (byte, bit) = (random.below(bytes.len().max(1)), random.below(8));
        match bytes.get_mut(byte) {
            Some(byte) => *byte ^= 1 << bit,
            None => bytes.push(0), // an empty file
        }
        self.what = format!("bit {bit} of byte {byte} of {}", self.files[0]);
    }

    fn truncate(&mut self, random: &mut Random) {
        let length = self.bytes().len();
        if length == 0 {
            return self.flip(random);
        }
        let length = random.below(length);
        self.bytes().truncate(length);
        self.what = format!("{} cut to {length} bytes", self.files[0]);
    }

    fn remove(&mut self) {
        self.folder.remove(&self.files[0]);
        self.what = format!("{} removed", self.files[0]);
    }

    fn swap(&mut self, paths: &[String], random: &mut Random) {
        let tiles: Vec<_> = paths.iter().filter(|path| path.contains("/tile/")).cloned().collect();
        let (one, other) = (random.of(&tiles).clone(), random.of(&tiles).clone());
        if self.folder[&one] == self.folder[&other] {
            return self.flip(random);
        }
        let content = self.folder[&one].clone();
        let content = self.folder.insert(other.clone(), content).unwrap();
        self.folder.insert(one.clone(), content);
        self.what = format!("{one} and {other} changed places");
        self.files = vec![one, other];
    }

    /// One file as it was in an earlier export.
    fn restore(&mut self, before: &Folder, random: &mut Random) {
        match before.get(&self.files[0]) {
            Some(old) if *old != self.folder[&self.files[0]] => {
                self.what = format!("{} as it was before", self.files[0]);
                *self.bytes() = old.clone();
                // It is signed, so it is the other files that are not what they were.
                if self.files[0] == "manifest" {
                    self.files.extend(self.folder.keys().cloned().collect::<Vec<_>>());
                }
            }
            _ => self.flip(random),
        }
    }

    fn add(&mut self, random: &mut Random) {
        let (number, level) = (random.below(5), random.below(3));
        let path = random
            .of(&[
                format!("logs/{number}/tile/{level}/999"),
                format!("logs/{number}/tile/entries/999"),
                "records.xlsx".to_owned(),
                ".hidden".to_owned(),
                "logs/99/checkpoint".to_owned(),
            ])
            .clone();
        self.folder.insert(path.clone(), vec![7; random.below(100)]);
        self.what = format!("{path} added");
        self.files = vec![path];
    }

    fn change_manifest(&mut self, random: &mut Random) {
        self.files = vec!["manifest".to_owned()];
        let text = String::from_utf8(self.folder["manifest"].clone()).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let (one, other) = (random.below(lines.len()), random.below(lines.len()));
        self.what = match random.below(4) {
            0 if lines[one] != lines[other] => {
                lines.swap(one, other);
                format!("lines {one} and {other} of the manifest changed places")
            }
            1 => {
                lines.remove(one);
                format!("line {one} of the manifest removed")
            }
            2 => {
                lines.insert(one, lines[other].clone());
                format!("line {other} of the manifest twice, at {one}")
            }
            _ => {
                lines.insert(one, "0000000000000000000000000000000000000000000000000000000000000000  x".to_owned());
                format!("a line of the manifest invented at {one}")
            }
        };
        self.folder.insert("manifest".to_owned(), (lines.join("\n") + "\n").into_bytes());
    }

    /// What a liar with the key says in the description or leaves out of the keys contradicts other files; which of the
    /// two lies cannot be known.
    fn follow(&mut self) {
        let described = self.files.iter().any(|file| file == "export.json" || file.ends_with("/keys.json"));
        let readable = ["records.jsonl", "records.csv", "report.html"].map(str::to_owned);
        self.files.extend(readable.into_iter().filter(|_| described));
        if self.files.first().is_some_and(|file| file == "export.json") {
            self.files.extend(self.folder.keys().cloned().collect::<Vec<_>>());
        }
    }

    /// The fault that names where it is.
    fn check(&self) -> Result<(), String> {
        let faults = match check(&self.folder, &self.known) {
            Ok(_) => return Err(format!("{}: not detected", self.what)),
            Err(faults) => faults,
        };
        let named = faults.faults.iter().any(|fault| {
            fault.file.as_ref().is_some_and(|file| self.files.contains(file))
                || fault.log.as_ref().is_some_and(|log| self.logs.contains(log))
        });
        if named { Ok(()) } else { Err(format!("{}: detected, but not where it is:\n{faults}", self.what)) }
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a failure must be repeatable, and longer runs possible"
)]
fn ten_thousand_mutations_are_found_where_they_are() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, mutations) = (number("SALLYPORT_SEED", SEED), number("SALLYPORT_MUTATIONS", MUTATIONS));
    println!("SALLYPORT_SEED={seed} SALLYPORT_MUTATIONS={mutations}");
    // Small ones are quick, the larger one has full tiles and two levels of them.
    let starts = [Start::new(&[9, 4, 6]), Start::new(&[24, 1]), Start::new(&[270, 12, 30])];
    let turn = |turn: u64| {
        // Each by itself, so that one can be repeated and all can be shared out.
        let mut random = Random(seed.wrapping_add(turn.wrapping_mul(0xd134_2543_de82_ef95)));
        let start = match random.below(200) {
            0 => &starts[2],
            other => &starts[other % 2],
        };
        if let Err(words) = start.mutated(&mut random).check() {
            panic!("SALLYPORT_SEED={seed}, mutation {turn}: {words}");
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || (worker..mutations).step_by(workers as usize).for_each(turn));
        }
    });
}

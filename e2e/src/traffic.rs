//! Engineers at work: sessions with bytes that never pause, and new ones all the time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engineer::{Connection, Engineer};
use crate::region::Region;

/// An answer that takes longer is a session that stands still.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions: as a person who types, and so that many sessions fit on a small machine.
const PACE: Duration = Duration::from_millis(20);

/// A session whose every byte comes back.
pub struct Conversation {
    /// The gateway that holds the session.
    pub gateway: String,
    connection: Connection,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    rounds: AtomicU64,
    slowest_ms: AtomicU64,
    end: Mutex<Option<String>>,
}

/// How a conversation went.
#[derive(Debug)]
pub struct Outcome {
    /// Questions that were answered.
    pub rounds: u64,
    /// The longest wait for an answer.
    pub slowest: Duration,
    /// Why it ended before it was asked to.
    pub broken: Option<String>,
}

impl Conversation {
    /// Opens a session on an echoing service and begins.
    pub fn begin(engineer: &Engineer, device: &str) -> Self {
        let connection = engineer.connect(device, "echo");
        let shared = Arc::new(Shared::default());
        let stream = TcpStream::connect(&connection.address).expect("the local port");
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                let broken = talk(stream, &shared);
                *shared.end.lock().expect("no holder panics") = broken;
            }
        });
        Self { gateway: connection.gateway.clone(), connection, shared, thread }
    }

    /// Why it ended by itself, if it did.
    pub fn broken(&self) -> Option<String> {
        self.shared.end.lock().expect("no holder panics").clone()
    }

    /// Ends it.
    pub fn end(self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it reports instead of panicking");
        drop(self.connection);
        Outcome {
            rounds: self.shared.rounds.load(Ordering::Relaxed),
            slowest: Duration::from_millis(self.shared.slowest_ms.load(Ordering::Relaxed)),
            broken: self.shared.end.lock().expect("no holder panics").clone(),
        }
    }
}

fn talk(mut stream: TcpStream, shared: &Shared) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = [0; 64];
    for round in 0u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut question = [0; 64];
        question[..8].copy_from_slice(&round.to_be_bytes());
        let began = Instant::now();
        if let Err(error) = stream.write_all(&question).and_then(|()| stream.read_exact(&mut answer)) {
            return Some(format!("after {round} rounds: {error}"));
        }
        if answer != question {
            return Some(format!("round {round} came back changed"));
        }
        let took = u64::try_from(began.elapsed().as_millis()).expect("not that long");
        shared.slowest_ms.fetch_max(took, Ordering::Relaxed);
        shared.rounds.store(round + 1, Ordering::Relaxed);
        std::thread::sleep(PACE);
    }
    None
}

/// New sessions, one after the other, each with one question.
pub struct Newcomers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Vec<(Instant, String)>)>,
}

impl Newcomers {
    /// Goes through these devices again and again, with the region's present trust bundle each time.
    pub fn begin(region: Arc<Region>, engineer: Engineer, devices: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let (mut good, mut failed) = (0, Vec::new());
                for device in devices.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    engineer.update_trust(&region);
                    match one_question(&engineer, device) {
                        Ok(()) => good += 1,
                        Err(why) => failed.push((Instant::now(), format!("{device}: {why}"))),
                    }
                }
                (good, failed)
            }
        });
        Self { stop, thread }
    }

    /// How many there were, and which failed, when and why.
    pub fn end(self) -> (u64, Vec<(Instant, String)>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it reports instead of panicking")
    }
}

fn one_question(engineer: &Engineer, device: &str) -> Result<(), String> {
    let connection = engineer.try_connect(device, "echo")?;
    let ask = || {
        let mut stream = TcpStream::connect(&connection.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"ready?")?;
        stream.read_exact(&mut [0; 6])
    };
    ask().map_err(|error: std::io::Error| error.to_string())
}

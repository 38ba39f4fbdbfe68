//! A session with a stream of bytes that never ends by itself, and the moment at which its last one arrived.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engineer::{Connection, Engineer};

/// What is written at once. Small, so that little is under way when the session is cut, and often: a last byte is then no
/// older than the pause between two.
const CHUNK: [u8; 1024] = [b'x'; 1024];
const PACE: Duration = Duration::from_millis(1);
/// A stream that stands still for this long without being closed was not cut.
const STUCK: Duration = Duration::from_secs(10);

/// A stream over a session to an echoing device.
pub struct Stream {
    connection: Connection,
    writer: JoinHandle<()>,
    reader: JoinHandle<Result<Instant, String>>,
}

impl Stream {
    /// Opens the session and returns when bytes flow.
    ///
    /// # Errors
    /// Why there is no session.
    pub fn begin(engineer: &Engineer, device: &str) -> Result<Self, String> {
        let connection = engineer.try_connect(device, "echo")?;
        let stream = TcpStream::connect(&connection.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(STUCK)).map_err(|error| error.to_string())?;
        let mut reading = stream.try_clone().map_err(|error| error.to_string())?;
        let mut writing = stream;
        let writer = std::thread::spawn(move || {
            while writing.write_all(&CHUNK).is_ok() {
                std::thread::sleep(PACE);
            }
        });
        let mut first = [0; 1];
        reading.read_exact(&mut first).map_err(|error| error.to_string())?;
        let reader = std::thread::spawn(move || {
            let mut last = Instant::now();
            let mut buffer = [0; 16 * 1024];
            loop {
                match reading.read(&mut buffer) {
                    Ok(1..) => last = Instant::now(),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        return Err(format!("nothing for {STUCK:?}, and not closed"));
                    }
                    Ok(0) | Err(_) => return Ok(last),
                }
            }
        });
        Ok(Self { connection, writer, reader })
    }

    /// Waits until the other side has cut it. Gives when the last byte came, and the CLI's exit code and last words.
    ///
    /// # Errors
    /// It stood still and was not closed.
    pub fn cut(self) -> Result<(Instant, Option<i32>, String), String> {
        let last = self.reader.join().expect("it reports instead of panicking");
        let (code, words) = self.connection.ended();
        self.writer.join().expect("it reports instead of panicking");
        last.map(|last| (last, code, words))
    }
}

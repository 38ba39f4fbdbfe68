//! Waiting on a condition, with a bound.

use std::time::{Duration, Instant};

/// Between two looks at a cluster.
const POLL: Duration = Duration::from_millis(100);

/// Waits until `look` gives a value, and how long that took.
///
/// # Panics
/// When it gives none within `deadline`; the last `Err` says what was seen instead.
pub fn eventually<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        match look() {
            Ok(value) => return (value, began.elapsed()),
            Err(seen) => assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}; last seen: {seen}"),
        }
        std::thread::sleep(POLL);
    }
}

/// `Ok` when it holds; otherwise what was seen.
pub fn holds(condition: bool, seen: impl ToString) -> Result<(), String> {
    if condition { Ok(()) } else { Err(seen.to_string()) }
}

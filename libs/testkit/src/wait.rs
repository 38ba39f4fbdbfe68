//! Waiting on a condition, with a bound. Never a sleep for a fixed time: that is either too short or wasted.

use std::time::{Duration, Instant};

/// Between two looks.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; `what` says what was awaited.
pub async fn eventually(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(deadline, what, async || condition().await.then_some(())).await;
}

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it gives none within `deadline`; `what` says what was awaited.
pub async fn eventually_some<T>(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_returns_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        let value = eventually_some(Duration::from_secs(10), "three looks", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "the impossible")]
    async fn it_gives_up() {
        eventually(Duration::from_millis(1), "the impossible", async || false).await;
    }
}

//! How many calls to an external service may begin per second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::BoxFuture;

/// Lets calls begin at equal intervals, without bursts.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most `calls` per second; at least one.
    pub fn per_second(calls: u32) -> Self {
        Self { interval: Duration::from_secs(1) / calls.max(1), next: Mutex::new(None) }
    }

    /// Waits until the next call may begin. Callers take their turns in the order in which they ask.
    pub fn turn(&self) -> BoxFuture<'_, ()> {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.interval);
            turn
        };
        Box::pin(tokio::time::sleep_until(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_begin_at_equal_intervals_whoever_asks() {
        let (pace, started) = (Pace::per_second(20), Instant::now());
        let mut begun = Vec::new();
        for _ in 0..10 {
            let turns = tokio::join!(pace.turn(), pace.turn());
            begun.push(started.elapsed().as_millis());
            let ((), ()) = turns;
        }
        assert_eq!(begun.first().zip(begun.last()), Some((&50, &950)));
        // Unused turns are not saved up.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let started = Instant::now();
        for _ in 0..21 {
            pace.turn().await;
        }
        assert_eq!(started.elapsed().as_millis(), 1000);
    }
}

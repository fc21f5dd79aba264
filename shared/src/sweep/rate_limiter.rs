//! Limits how many calls to an external service start per second.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::BoxFuture;

/// Starts calls at equal intervals, without bursts.
#[derive(Debug)]
pub struct RateLimiter {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// Creates a limiter of `calls` per second, at least one.
    pub fn per_second(calls: u32) -> Self {
        Self { interval: Duration::from_secs(1) / calls.max(1), next: Mutex::new(None) }
    }

    /// Waits until the next call may start. Callers are served in the order of their calls.
    pub fn acquire(&self) -> BoxFuture<'_, ()> {
        let slot = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let slot = next.map_or(now, |next| next.max(now));
            *next = Some(slot + self.interval);
            slot
        };
        Box::pin(tokio::time::sleep_until(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_start_at_equal_intervals() {
        let (rate_limiter, started) = (RateLimiter::per_second(20), Instant::now());
        let mut begun = Vec::new();
        for _ in 0..10 {
            let slots = tokio::join!(rate_limiter.acquire(), rate_limiter.acquire());
            begun.push(started.elapsed().as_millis());
            let ((), ()) = slots;
        }
        assert_eq!(begun.first().zip(begun.last()), Some((&50, &950)));
        // Unused intervals do not accumulate.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let started = Instant::now();
        for _ in 0..21 {
            rate_limiter.acquire().await;
        }
        assert_eq!(started.elapsed().as_millis(), 1000);
    }
}

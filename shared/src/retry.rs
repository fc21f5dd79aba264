//! How long to wait before asking again.

use std::time::Duration;

use crate::ids::Ids;

/// A random wait between nothing and `base * 2^attempt`, at most `most`: "full jitter", which keeps many callers that failed
/// together from coming back together (Marc Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).
pub fn full_jitter(attempt: u32, base: Duration, most: Duration) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(attempt)).min(most);
    let random = u32::from_be_bytes(Ids::System.bytes::<4>());
    ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// The wait before look number `looks + 1` at an unsettled record: `first`, then twice as long each time, at most an hour.
pub fn doubling(looks: u32, first: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    first.saturating_mul(2_u32.saturating_pow(looks.min(16))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let minutes: Vec<u64> = (0..8).map(|looks| doubling(looks, Duration::from_secs(60)).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_stays_below_its_ceiling() {
        for attempt in 0..40 {
            assert!(full_jitter(attempt, Duration::from_millis(20), Duration::from_secs(1)) <= Duration::from_secs(1));
        }
    }
}

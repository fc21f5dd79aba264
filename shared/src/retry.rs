//! Wait times between retries.

use std::time::Duration;

use crate::ids::Ids;

/// Returns a random wait between zero and `base * 2^attempt`, at most `max` ("full jitter"). It
/// spreads the retries of callers that failed at the same time (Marc Brooker, *Exponential Backoff
/// And Jitter*, AWS Architecture Blog, 2015).
pub fn full_jitter(attempt: u32, base: Duration, max: Duration) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(attempt)).min(max);
    ceiling.mul_f64(random_fraction())
}

/// Returns a random wait between half of `max` and `max` ("equal jitter", same article). It is
/// never zero, so the sum of many waits is known within a factor of two.
pub fn equal_jitter(max: Duration) -> Duration {
    let half = max / 2;
    half + half.mul_f64(random_fraction())
}

/// Returns a random number from 0 to 1.
fn random_fraction() -> f64 {
    f64::from(u32::from_be_bytes(Ids::System.bytes::<4>())) / f64::from(u32::MAX)
}

/// Returns the wait before scheduled check `checks + 1` of an unsettled record: `first`, doubled
/// each time, at most an hour.
pub fn exponential_backoff(checks: u32, first: Duration) -> Duration {
    const MAX: Duration = Duration::from_secs(3600);
    first.saturating_mul(2_u32.saturating_pow(checks.min(16))).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_one_hour() {
        let minutes: Vec<u64> = (0..8)
            .map(|checks| exponential_backoff(checks, Duration::from_secs(60)).as_secs() / 60)
            .collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_stays_below_its_ceiling() {
        for attempt in 0..40 {
            assert!(
                full_jitter(attempt, Duration::from_millis(20), Duration::from_secs(1))
                    <= Duration::from_secs(1)
            );
        }
    }

    #[test]
    fn jitter_spreads_waits_below_its_ceiling() {
        let (base, max) = (Duration::from_millis(20), Duration::from_secs(1));
        let longest = |attempt| (0..100).map(|_| full_jitter(attempt, base, max)).max();
        // Each is above a quarter of its ceiling, except once in 4^100 runs.
        assert!(longest(0).is_some_and(|wait| (base / 4..=base).contains(&wait)));
        assert!(longest(40).is_some_and(|wait| (max / 4..=max).contains(&wait)));
    }

    #[test]
    fn equal_jitter_waits_at_least_half() {
        let max = Duration::from_secs(900);
        let waits: Vec<Duration> = (0..100).map(|_| equal_jitter(max)).collect();
        assert!(waits.iter().all(|wait| (max / 2..=max).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "they would all come back together");
    }
}

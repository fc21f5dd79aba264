//! How long to wait before asking again.

use std::time::Duration;

use crate::ids::Ids;

/// A random wait between nothing and `base * 2^attempt`, at most `max`: "full jitter", which keeps
/// many callers that failed together from coming back together (Marc Brooker, *Exponential Backoff
/// And Jitter*, AWS Architecture Blog, 2015).
pub fn full_jitter(attempt: u32, base: Duration, max: Duration) -> Duration {
    let ceiling = base.saturating_mul(2_u32.saturating_pow(attempt)).min(max);
    ceiling.mul_f64(random_fraction())
}

/// A wait between half of `max` and `max`: "equal jitter", from the same article. It never ends at
/// once, so the sum of many waits is known within a factor of two.
pub fn equal_jitter(max: Duration) -> Duration {
    let half = max / 2;
    half + half.mul_f64(random_fraction())
}

/// A random number from 0 to 1.
fn random_fraction() -> f64 {
    f64::from(u32::from_be_bytes(Ids::System.bytes::<4>())) / f64::from(u32::MAX)
}

/// The wait before look number `checks + 1` at an unsettled record: `first`, then twice as long
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
    fn equal_jitter_waits_at_least_half() {
        let max = Duration::from_secs(900);
        let waits: Vec<Duration> = (0..100).map(|_| equal_jitter(max)).collect();
        assert!(waits.iter().all(|wait| (max / 2..=max).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "they would all come back together");
    }
}

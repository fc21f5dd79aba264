//! Rate limits, and the networks that share one.
//!
//! A limit is stored as one number, the *theoretical arrival time* of the generic cell rate
//! algorithm (ITU-T I.371). The service defines where it is stored and under which name.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

use crate::clock::Timestamp;

/// Window of the limits on guessing attempts.
pub const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);

/// A rate limit: a burst, and one more attempt after each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    burst: u32,
    interval: Duration,
}

impl Limit {
    /// Creates a limit. The burst is at least one. Intervals are at least one millisecond, the unit
    /// of the stored number.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        let milliseconds = interval.as_nanos().div_ceil(1_000_000) as u64;
        let interval = Duration::from_millis(if milliseconds == 0 { 1 } else { milliseconds });
        Self { burst: if burst == 0 { 1 } else { burst }, interval }
    }

    /// Creates the limit of one network: `burst` attempts, restored after 15 minutes.
    ///
    /// It stops one machine that tries many accounts. It is a setting, because a campus or a mobile
    /// carrier can share one address.
    pub const fn network(burst: u32) -> Self {
        Self::within(burst, QUARTER_HOUR)
    }

    /// Creates a limit of `burst` attempts, restored after `window`.
    pub const fn within(burst: u32, window: Duration) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        // Rounded up: a shorter interval would restore more than a burst within the window.
        Self::new(burst, Duration::from_millis((window.as_secs() * 1000).div_ceil(burst as u64)))
    }

    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Returns the time after which one attempt is restored.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// Checks an attempt at `now` in a bucket at `arrival` (`None`: idle). Returns the bucket's new
    /// state if the attempt is allowed.
    ///
    /// # Errors
    /// Otherwise returns the wait until an attempt is allowed, provided that there is no other
    /// meanwhile.
    pub fn check(self, arrival: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Duration> {
        let arrival = arrival.map_or(now, |arrival| arrival.max(now));
        let latest = self.latest(now);
        if arrival > latest { Err(arrival.since(latest)) } else { Ok(arrival.plus(self.interval)) }
    }

    /// Returns whether an allowed attempt at `now` leaves less than half of the burst.
    pub fn is_half_used(self, arrival: Option<Timestamp>, now: Timestamp) -> bool {
        let half = self.full(now).since(now) / 2;
        self.check(arrival, now).is_ok_and(|next| next.since(now) > half)
    }

    /// Returns the latest arrival time at which an attempt at `now` is allowed.
    pub fn latest(self, now: Timestamp) -> Timestamp {
        now.plus(self.interval.saturating_mul(self.burst - 1))
    }

    /// Returns the latest arrival time that an attempt at `now` can result in.
    pub fn full(self, now: Timestamp) -> Timestamp {
        now.plus(self.interval.saturating_mul(self.burst))
    }
}

/// Returns the network of an address: the address itself for IPv4, the /64 prefix for IPv6. A
/// provider assigns a /64 to one customer, who can use any address in it. Any other text is
/// returned unchanged.
pub fn network_of(source: &str) -> String {
    match source.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        Err(_) => source.to_owned(),
    }
}

/// Names a network in a table without revealing it. Uses a MAC, because a plain hash of an IPv4
/// address can be reversed within seconds.
pub fn network_name(key: [u8; 32], source: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), network_of(source).as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_an_ipv4_address_or_an_ipv6_64_prefix() {
        for (source, network) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
            ("", ""),
            ("203.0.113.7:443", "203.0.113.7:443"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("test-invoke-source-ip", "test-invoke-source-ip"),
        ] {
            assert_eq!(network_of(source), network, "{source}");
        }
    }

    #[test]
    fn network_name_depends_on_key_and_network_and_hides_the_address() {
        let name = network_name([1; 32], "203.0.113.7");
        assert_eq!(name, network_name([1; 32], "::ffff:203.0.113.7"));
        assert_eq!(network_name([1; 32], "2001:db8::1"), network_name([1; 32], "2001:db8::ffff"));
        assert_ne!(name, network_name([1; 32], "203.0.113.8"));
        assert_ne!(name, network_name([2; 32], "203.0.113.7"));
        assert!(name.len() == 43 && !name.contains("203"), "{name}");
    }

    #[test]
    fn half_of_the_burst_is_used_from_the_next_attempt_on() {
        let now = Timestamp::from_milliseconds(1_795_000_000_000);
        for (burst, first) in [(1, 1), (2, 2), (3, 2), (100, 51)] {
            let limit = Limit::within(burst, QUARTER_HOUR);
            let mut arrival = None;
            for attempt in 1..=burst {
                assert_eq!(
                    limit.is_half_used(arrival, now),
                    attempt >= first,
                    "{attempt} of {burst}"
                );
                arrival = limit.check(arrival, now).ok();
            }
            assert!(!limit.is_half_used(arrival, now), "the attempt is not allowed");
        }
    }

    #[test]
    fn a_burst_is_available_again_after_its_window() {
        assert_eq!(
            Limit::within(100, Duration::from_secs(1800)),
            Limit::new(100, Duration::from_secs(18))
        );
        assert_eq!(Limit::within(0, QUARTER_HOUR), Limit::new(1, QUARTER_HOUR));
        assert_eq!(Limit::within(7, QUARTER_HOUR).interval(), Duration::from_millis(128_572));
        assert_eq!(Limit::network(7), Limit::within(7, QUARTER_HOUR));
        assert_eq!((Limit::network(7).burst(), Limit::new(0, QUARTER_HOUR).burst()), (7, 1));
        assert_eq!(Limit::new(1, Duration::ZERO).interval(), Duration::from_millis(1));
        assert_eq!(Limit::new(1, Duration::from_nanos(1)).interval(), Duration::from_millis(1));
    }

    #[test]
    fn rejected_attempt_waits_until_it_is_allowed() {
        let now = Timestamp::from_milliseconds(1_795_000_000_000);
        let limit = Limit::new(2, Duration::from_secs(10));
        assert_eq!(limit.check(None, now), Ok(now.plus(Duration::from_secs(10))));
        let past = Timestamp::from_milliseconds(now.milliseconds() - 1);
        assert_eq!(limit.check(Some(past), now), limit.check(None, now), "an idle bucket");
        assert_eq!(limit.check(Some(limit.latest(now)), now), Ok(limit.full(now)));
        assert_eq!(limit.check(Some(limit.full(now)), now), Err(Duration::from_secs(10)));
    }
}

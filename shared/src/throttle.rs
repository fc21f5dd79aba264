//! Limits on how often something is done, and the networks that share one.
//!
//! A limit is counted in one number, the *theoretical arrival time* (the generic cell rate
//! algorithm, ITU-T I.371). Where it is stored, and under which name, is up to the service.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

use crate::clock::Timestamp;

/// The window of the limits on guesses.
pub const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);

/// How often something may be tried: so often at once, and once more after each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    burst: u32,
    interval: Duration,
}

impl Limit {
    /// At least one at once. Intervals are whole milliseconds, the unit that the table counts in,
    /// and at least one.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        let milliseconds = interval.as_nanos().div_ceil(1_000_000) as u64;
        let interval = Duration::from_millis(if milliseconds == 0 { 1 } else { milliseconds });
        Self { burst: if burst == 0 { 1 } else { burst }, interval }
    }

    /// What one network may try of one thing: `burst` at once, which are there again after a
    /// quarter of an hour.
    ///
    /// It stops one machine that goes through many accounts. A setting and not a constant, because
    /// a whole campus or a mobile carrier may stand behind one address.
    pub const fn network(burst: u32) -> Self {
        Self::within(burst, QUARTER_HOUR)
    }

    /// `burst` at once, which are available again after `window`.
    pub const fn within(burst: u32, window: Duration) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        // Rounded up: a shorter interval would return more than a burst within the window.
        Self::new(burst, Duration::from_millis((window.as_secs() * 1000).div_ceil(burst as u64)))
    }

    /// How many at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// What each costs: the time after which it may be tried once more.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// Decides about an attempt at `now` in a bucket at `arrival` (`None`: idle), and returns the
    /// bucket's new state if the attempt is allowed.
    ///
    /// # Errors
    /// The wait until an attempt is allowed, if no other is made meanwhile.
    pub fn check(self, arrival: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Duration> {
        let arrival = arrival.map_or(now, |arrival| arrival.max(now));
        let latest = self.latest(now);
        if arrival > latest { Err(arrival.since(latest)) } else { Ok(arrival.plus(self.interval)) }
    }

    /// The latest arrival time at which a try at `now` is admitted.
    pub fn latest(self, now: Timestamp) -> Timestamp {
        now.plus(self.interval.saturating_mul(self.burst - 1))
    }

    /// The latest arrival time that a try at `now` leads to.
    pub fn full(self, now: Timestamp) -> Timestamp {
        now.plus(self.interval.saturating_mul(self.burst))
    }
}

/// The network that an address belongs to: with IPv4 the address, with IPv6 the 64 bits that a
/// provider gives to one customer, who may choose any address below them. Any other text is used as
/// it is.
pub fn network_of(source: &str) -> String {
    match source.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => {
            format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        Err(_) => source.to_owned(),
    }
}

/// Names a network in a table without revealing it: a MAC, because a plain hash of an IPv4 address
/// is guessed within seconds.
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
    fn a_burst_is_available_again_after_its_window() {
        assert_eq!(
            Limit::within(100, Duration::from_secs(1800)),
            Limit::new(100, Duration::from_secs(18))
        );
        assert_eq!(Limit::within(0, QUARTER_HOUR), Limit::new(1, QUARTER_HOUR));
        assert_eq!(Limit::within(7, QUARTER_HOUR).interval(), Duration::from_millis(128_572));
    }
}

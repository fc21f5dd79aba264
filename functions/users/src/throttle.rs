//! Rate limits: buckets that count attempts per account, device or network.
//!
//! A bucket is one number, the *theoretical arrival time* of the generic cell rate algorithm (ITU-T
//! I.371): the time at which the bucket is empty again if each attempt costs one
//! [`Limit::interval`]. An attempt is allowed while that time is less than one burst ahead, and
//! moves it forward. A rejected attempt leaves it unchanged, so hammering does not prolong the
//! wait. There is no counter and no cleanup, and the wait until the next attempt is known to the
//! millisecond.
//!
//! Bucket names are MACs, so the table does not reveal login attempts, addresses or networks.
//! Unregistered addresses have buckets too, because a rejection would otherwise reveal which
//! addresses are registered.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
pub use shared::throttle::Limit;
use shared::{
    clock::Timestamp,
    ids::UserId,
    throttle::{QUARTER_HOUR, network_of},
};

use crate::{error::UsersError, tokens::device::DeviceToken};

/// Logins of one account from unknown devices. All unknown devices share the bucket, because an
/// attacker with many addresses would otherwise have many attempts. Ten suffice for a user who
/// tries old passwords. At most ten fall into any quarter of an hour, so an attacker gets about a
/// hundred a day. A successful login refunds its attempt. If an attacker exhausts the bucket, the
/// owner logs in with a [`DeviceToken`], or by a reset link to their mailbox.
pub const LOGIN_UNKNOWN_DEVICE: Limit = Limit::new(10, QUARTER_HOUR);

/// Logins of one account from one known device. The bucket refills faster, because unknown devices
/// cannot use it. It still limits a stolen device to forty attempts an hour.
pub const LOGIN_KNOWN_DEVICE: Limit = Limit::new(10, Duration::from_secs(90));

/// Password reset mails of one account, so that requests cannot flood a mailbox. Five, because
/// mails are sometimes late and users request again.
pub const RESET_ACCOUNT: Limit = Limit::new(5, QUARTER_HOUR);

/// Current passwords sent by a logged-in user, so that a stolen session does not allow guessing.
pub const PASSWORD_CONFIRMATION: Limit = Limit::new(10, QUARTER_HOUR);

/// Verification and address change mails to an address that the user chooses, so that requests
/// cannot flood a stranger's mailbox.
pub const VERIFICATION_MAILS: Limit = Limit::new(5, QUARTER_HOUR);

/// The decision about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a rejected attempt must not continue"]
pub enum RateLimitDecision {
    /// The attempt is allowed and counted.
    Allowed,
    /// The attempt is rejected and not counted.
    Throttled {
        /// When the next attempt is allowed, if no other is made meanwhile.
        retry_after: Duration,
    },
}

impl RateLimitDecision {
    /// The wait in whole seconds, rounded up, for `Retry-After`. `None` if the attempt was allowed.
    pub fn retry_after_seconds(self) -> Option<u64> {
        match self {
            Self::Allowed => None,
            Self::Throttled { retry_after } => {
                Some(retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0))
            }
        }
    }

    /// Returns an error for a rejected attempt.
    ///
    /// # Errors
    /// [`UsersError::Throttled`].
    pub(crate) fn into_result(self) -> Result<(), UsersError> {
        self.retry_after_seconds().map_or(Ok(()), |retry_after_seconds| {
            Err(UsersError::Throttled { retry_after_seconds })
        })
    }
}

/// A rate limit and the name of its stored state. The name does not identify the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    name: String,
    limit: Limit,
}

impl Bucket {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Decides about an attempt at `now`, if the bucket is at `arrival`. The attempt is not charged.
    pub(crate) fn decide(&self, arrival: Option<Timestamp>, now: Timestamp) -> RateLimitDecision {
        match self.limit.check(arrival, now) {
            Ok(_) => RateLimitDecision::Allowed,
            Err(retry_after) => RateLimitDecision::Throttled { retry_after },
        }
    }
}

/// Creates the buckets of this service. `address` is an e-mail address in its normal form, or the
/// text as sent if it is malformed. `source` is the client address that the gateway reports, never
/// one from a request header.
pub struct Buckets {
    key: hmac::Key,
    network: Limit,
}

impl Buckets {
    /// Derives bucket names from a 256-bit key (see [`shared::secret::Secrets::keys`]).
    /// `network_burst`: see [`Limit::network`].
    pub fn new(key: [u8; 32], network_burst: u32) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            network: Limit::network(network_burst),
        }
    }

    /// Logins of an account from unknown devices; see [`LOGIN_UNKNOWN_DEVICE`].
    pub fn login_unknown_device(&self, address: &str) -> Bucket {
        self.bucket("login-unknown-device", &[address], LOGIN_UNKNOWN_DEVICE)
    }

    /// Logins from `device` to the account of its token; see [`LOGIN_KNOWN_DEVICE`].
    pub fn login_known_device(&self, device: &DeviceToken) -> Bucket {
        self.bucket(
            "login-known-device",
            &[device.account(), &device.device_id()],
            LOGIN_KNOWN_DEVICE,
        )
    }

    /// Logins from one network, for all accounts.
    pub fn login_network(&self, source: &str) -> Bucket {
        self.bucket("login-network", &[&network_of(source)], self.network)
    }

    /// Uses of mailed links from one network, for all operations.
    pub fn link_network(&self, source: &str) -> Bucket {
        self.bucket("link-network", &[&network_of(source)], self.network)
    }

    /// Registrations from one network.
    pub fn register_network(&self, source: &str) -> Bucket {
        self.bucket("register-network", &[&network_of(source)], self.network)
    }

    /// Password reset mails of an account; see [`RESET_ACCOUNT`].
    pub fn reset_account(&self, address: &str) -> Bucket {
        self.bucket("reset-account", &[address], RESET_ACCOUNT)
    }

    /// Requests for password reset mails from one network, for all accounts.
    pub fn reset_network(&self, source: &str) -> Bucket {
        self.bucket("reset-network", &[&network_of(source)], self.network)
    }

    /// Verification mails that a user requests; see [`VERIFICATION_MAILS`].
    pub fn verification_mails(&self, user_id: UserId) -> Bucket {
        self.bucket("verification-mails", &[&user_id.to_string()], VERIFICATION_MAILS)
    }

    /// Confirmations of a user's current password; see [`PASSWORD_CONFIRMATION`].
    pub fn password_confirmation(&self, user_id: UserId) -> Bucket {
        self.bucket("password-confirmation", &[&user_id.to_string()], PASSWORD_CONFIRMATION)
    }

    /// The MAC input contains each part after its length, so that different parts never form the
    /// same input.
    fn bucket(&self, kind: &str, parts: &[&str], limit: Limit) -> Bucket {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [kind].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Bucket { name: BASE64_URL_SAFE_NO_PAD.encode(context.sign()), limit }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use shared::{
        clock::Timestamp,
        ids::{Ids, derive},
    };

    use super::*;

    const START: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);

    fn after(milliseconds: u64) -> Timestamp {
        START.plus(Duration::from_millis(milliseconds))
    }

    /// Runs attempts at these times. Returns the final arrival time and the allowed attempts.
    fn run_attempts(limit: Limit, attempts: &[u64]) -> (Option<Timestamp>, Vec<u64>) {
        let mut arrival = None;
        let mut allowed = Vec::new();
        for at in attempts {
            if let Ok(next) = limit.check(arrival, after(*at)) {
                arrival = Some(next);
                allowed.push(*at);
            }
        }
        (arrival, allowed)
    }

    /// Generates a limit, and times at which its bucket fills and drains.
    fn limits_and_attempts() -> impl Strategy<Value = (Limit, Vec<u64>)> {
        (1_u32..12, 1_u64..2_000).prop_flat_map(|(burst, interval)| {
            let gap = prop_oneof![4 => Just(0), 4 => 0..=interval, 2 => 0..=interval * u64::from(burst) * 2];
            let times = vec(gap, 1..80).prop_map(|gaps| {
                let mut at = 0;
                let step = |gap| {
                    at += gap;
                    at
                };
                gaps.into_iter().map(step).collect::<Vec<_>>()
            });
            (Just(Limit::new(burst, Duration::from_millis(interval))), times)
        })
    }

    proptest! {
        #[test]
        fn no_window_allows_more_than_burst_plus_one_per_interval((limit, attempts) in limits_and_attempts()) {
            let (_, allowed) = run_attempts(limit, &attempts);
            let interval = limit.interval().as_millis() as u64;
            for (first, from) in allowed.iter().enumerate() {
                for (last, to) in allowed.iter().enumerate().skip(first) {
                    prop_assert!((last - first + 1) as u64 <= u64::from(limit.burst()) + (to - from) / interval);
                }
            }
        }

        #[test]
        fn full_burst_is_allowed_once_the_bucket_is_empty((limit, attempts) in limits_and_attempts()) {
            let (arrival, _) = run_attempts(limit, &attempts);
            let empty_at = arrival.unwrap();
            let at = empty_at.since(START).as_millis() as u64;
            let burst = limit.burst() as usize;
            let mut longer = attempts;
            longer.extend(vec![at; burst + 1]);
            let (_, allowed) = run_attempts(limit, &longer);
            prop_assert_eq!(allowed.iter().rev().take_while(|time| **time == at).count(), burst);
        }

        #[test]
        fn throttled_attempt_changes_nothing((limit, attempts) in limits_and_attempts()) {
            let (arrival, allowed) = run_attempts(limit, &attempts);
            prop_assert_eq!(run_attempts(limit, &allowed), (arrival, allowed));
        }

        #[test]
        fn retry_after_is_exact((limit, attempts) in limits_and_attempts(), more in 0_u64..500) {
            let (arrival, _) = run_attempts(limit, &attempts);
            let now = after(attempts.last().unwrap() + more);
            if let Err(wait) = limit.check(arrival, now) {
                prop_assert!(limit.check(arrival, now.plus(wait)).is_ok());
                let early = now.plus(wait - Duration::from_millis(1));
                prop_assert_eq!(limit.check(arrival, early), Err(Duration::from_millis(1)));
            }
        }

        #[test]
        fn refunded_attempt_has_no_effect((limit, attempts) in limits_and_attempts(), later in 0_u64..5_000) {
            let (arrival, _) = run_attempts(limit, &attempts);
            let now = after(*attempts.last().unwrap());
            if let Ok(taken) = limit.check(arrival, now) {
                let refunded = Timestamp::from_milliseconds(taken.milliseconds() - limit.interval().as_millis() as i64);
                let then = now.plus(Duration::from_millis(later));
                prop_assert_eq!(limit.check(Some(refunded), then), limit.check(arrival, then));
            }
        }

        #[test]
        fn arrival_time_never_exceeds_the_retention((limit, attempts) in limits_and_attempts()) {
            let (arrival, allowed) = run_attempts(limit, &attempts);
            prop_assert!(arrival.unwrap() <= limit.full(after(*allowed.last().unwrap())));
        }
    }

    #[test]
    fn unknown_devices_get_ten_attempts_in_a_quarter_hour() {
        let every_second: Vec<u64> = (0..86_400).map(|second| second * 1000).collect();
        let (_, allowed) = run_attempts(LOGIN_UNKNOWN_DEVICE, &every_second);
        assert_eq!(allowed.iter().filter(|at| **at < 900_000).count(), 10);
        for from in &allowed {
            assert!(allowed.iter().filter(|at| (*from..from + 900_000).contains(at)).count() <= 10);
        }
        assert_eq!(allowed.len(), 10 + 95, "in a day");
    }

    #[test]
    fn limits_have_the_documented_values() {
        assert_eq!(
            LOGIN_UNKNOWN_DEVICE.check(Some(LOGIN_UNKNOWN_DEVICE.full(START)), START),
            Err(QUARTER_HOUR)
        );
        assert_eq!(
            LOGIN_KNOWN_DEVICE.check(Some(LOGIN_KNOWN_DEVICE.full(START)), START),
            Err(Duration::from_secs(90))
        );
        assert_eq!((RESET_ACCOUNT.burst(), PASSWORD_CONFIRMATION.burst()), (5, 10));
        assert_eq!(Limit::network(300), Limit::new(300, Duration::from_secs(3)));
        // Every configured burst gives an interval of at least a millisecond, rounded up.
        assert_eq!(Limit::network(0), Limit::new(1, QUARTER_HOUR));
        assert_eq!(Limit::network(7).interval(), Duration::from_millis(128_572));
        assert_eq!(Limit::network(u32::MAX).interval(), Duration::from_millis(1));
        assert_eq!(Limit::new(0, Duration::ZERO), Limit::new(1, Duration::from_millis(1)));
        assert_eq!(Limit::new(1, Duration::from_micros(1500)).interval(), Duration::from_millis(2));
    }

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        let seconds = |milliseconds| {
            RateLimitDecision::Throttled { retry_after: Duration::from_millis(milliseconds) }
                .retry_after_seconds()
        };
        assert_eq!(
            [seconds(1), seconds(1000), seconds(1001), seconds(900_000)],
            [Some(1), Some(1), Some(2), Some(900)]
        );
        assert_eq!(RateLimitDecision::Allowed.retry_after_seconds(), None);
    }

    #[test]
    fn kind_parts_and_key_separate_buckets() {
        let device = |account: &str, seed| {
            DeviceToken::issue(account, derive(&[account]), 1, &Ids::seeded(seed), START)
        };
        let mut names = Vec::new();
        for key in [[1; 32], [2; 32]] {
            let buckets = Buckets::new(key, 300);
            for text in ["ada@example.com", "bob@example.com", "203.0.113.7", ""] {
                names.extend([
                    buckets.login_unknown_device(text),
                    buckets.login_network(text),
                    buckets.register_network(text),
                    buckets.link_network(text),
                    buckets.reset_account(text),
                    buckets.reset_network(text),
                    buckets.verification_mails(derive(&[text])),
                    buckets.login_known_device(&device(text, 1)),
                    buckets.login_known_device(&device(text, 2)),
                    buckets.password_confirmation(derive(&[text])),
                ]);
            }
            names.push(buckets.bucket("login", &["ab", "c"], LOGIN_KNOWN_DEVICE));
            names.push(buckets.bucket("login", &["a", "bc"], LOGIN_KNOWN_DEVICE));
            names.push(buckets.bucket("login", &["abc"], LOGIN_KNOWN_DEVICE));
        }
        let (all, mut names) =
            (names.len(), names.into_iter().map(|bucket| bucket.name).collect::<Vec<_>>());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(
            names
                .iter()
                .all(|name| name.len() == 43 && !name.contains("ada") && !name.contains("203"))
        );
    }

    #[test]
    fn addresses_of_one_network_share_a_bucket() {
        let buckets = Buckets::new([1; 32], 300);
        assert_eq!(buckets.login_network("2001:db8::1"), buckets.login_network("2001:db8::ffff"));
        assert_ne!(buckets.login_network("203.0.113.7"), buckets.login_network("203.0.113.8"));
        assert_eq!(buckets.login_network("203.0.113.7").limit(), Limit::network(300));
    }
}

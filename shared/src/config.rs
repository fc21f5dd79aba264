//! Settings: the only place that reads the environment.

use std::{str::FromStr, time::Duration};

/// The text of a variable that the function cannot work without.
///
/// # Panics
/// When it is missing: the function then fails at its start, and says what is missing, instead of
/// at some later request.
pub fn required(name: &str) -> String {
    optional(name).unwrap_or_else(|| {
        panic!(
            "the environment variable {name} is not set: the template sets it for every function"
        )
    })
}

/// The text of a variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The value of a variable that the function cannot work without.
///
/// # Panics
/// When it is missing or cannot be read.
pub fn parsed<T: FromStr>(name: &str) -> T {
    let text = required(name);
    text.parse().unwrap_or_else(|_| {
        panic!("the environment variable {name} has a value that cannot be read")
    })
}

/// A duration that the environment gives in seconds, as in `RETRY_SECONDS=60`.
///
/// # Panics
/// When it is missing or not a whole number.
pub fn seconds(name: &str) -> Duration {
    Duration::from_secs(parsed(name))
}

/// The URL of a queue: `RESERVE_STOCK_QUEUE_URL` holds that of `reserve-stock`.
///
/// # Panics
/// When it is missing: a publisher that cannot reach one of its queues must not start.
pub fn queue_url(queue: &str) -> String {
    required(&format!("{}_QUEUE_URL", queue.to_uppercase().replace('-', "_")))
}

//! Settings: the only code that reads environment variables.

use std::{str::FromStr, time::Duration};

/// Returns the value of a required variable.
///
/// # Panics
/// If it is missing. The function then fails at start-up and names the variable, instead of failing
/// a later request.
pub fn required(name: &str) -> String {
    optional(name).unwrap_or_else(|| {
        panic!(
            "the environment variable {name} is not set: the template sets it for every function"
        )
    })
}

/// Returns the value of a variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Parses a required variable.
///
/// # Panics
/// If it is missing or cannot be parsed.
pub fn parsed<T: FromStr>(name: &str) -> T {
    let text = required(name);
    text.parse().unwrap_or_else(|_| {
        panic!("the environment variable {name} has a value that cannot be read")
    })
}

/// Parses a duration in seconds, such as `RETRY_SECONDS=60`.
///
/// # Panics
/// If it is missing or not a whole number.
pub fn seconds(name: &str) -> Duration {
    Duration::from_secs(parsed(name))
}

/// Returns the URL of a queue, such as `RESERVE_STOCK_QUEUE_URL` for `reserve-stock`.
///
/// # Panics
/// If it is missing, so that a publisher without one of its queues does not start.
pub fn queue_url(queue: &str) -> String {
    required(&format!("{}_QUEUE_URL", queue.to_uppercase().replace('-', "_")))
}

//! The queue of a consumer: how long a record waits for its next attempt, and where it is rejected
//! to.

use std::{sync::OnceLock, time::Duration};

use aws_lambda_events::event::sqs::SqsMessage;
use aws_sdk_sqs::{Client, types::MessageAttributeValue};

use crate::{aws, clock::Timestamp, config, lambda::Failure, retry, telemetry};

/// The queue of a consumer, and its dead-letter queue.
pub struct Queue {
    url: String,
    dead_letter_url: String,
    client: OnceLock<Client>,
}

/// Maximum wait between two attempts. Twenty attempts take at least 83 minutes, 500 take 3.8 days
/// on average: `total_retry_time_matches_the_redrive_policy`.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(900);

/// Maximum length of a reason, in ASCII characters: SQS rejects some Unicode characters.
const MAX_REASON_LENGTH: usize = 200;

impl Queue {
    /// Creates the queue from `QUEUE_URL` and `DEAD_LETTER_QUEUE_URL`. Its client is created at the
    /// first use, because most invocations do not need it.
    ///
    /// # Panics
    /// If one of the variables is missing.
    pub fn from_env() -> Self {
        let (url, dead_letter_url) =
            (config::required("QUEUE_URL"), config::required("DEAD_LETTER_QUEUE_URL"));
        Self { url, dead_letter_url, client: OnceLock::new() }
    }

    /// Creates a queue from its URL and the URL of its dead-letter queue.
    pub fn new(client: Client, url: impl Into<String>, dead_letter_url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            dead_letter_url: dead_letter_url.into(),
            client: OnceLock::from(client),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&aws::sdk_config()))
    }

    /// Returns whether a record comes from this queue: account and name must match.
    pub(super) fn is_source_of(&self, record: &SqsMessage) -> bool {
        let arn = record.event_source_arn.as_deref().unwrap_or_default();
        let from_arn = arn.rsplitn(3, ':').take(2).collect::<Vec<_>>();
        let from_url = self.url.rsplitn(3, '/').take(2).collect::<Vec<_>>();
        from_arn == from_url
    }

    /// Delays the next attempt by a wait that grows with the number of receptions, instead of the
    /// whole visibility timeout. If the call fails, the record is received again after the
    /// visibility timeout.
    pub(super) async fn retry_later(&self, record: &SqsMessage) {
        let Some(receipt) = &record.receipt_handle else { return };
        let wait = retry_delay(receive_count(record));
        let seconds = i32::try_from(wait.as_secs().max(1)).unwrap_or(900);
        let call = self
            .client()
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds);
        match call.send().await {
            Ok(_) => tracing::info!(retry_in_seconds = seconds, "message is received again"),
            Err(error) => tracing::warn!(
                error = telemetry::causes(&error),
                "failed to set the retry delay, message is retried after its visibility timeout"
            ),
        }
    }

    /// Sends the unchanged body of a record to the dead-letter queue, with the reason and the
    /// consumer's name as attributes.
    ///
    /// # Errors
    /// If the dead-letter queue does not accept it. The record must then be retried.
    pub(super) async fn reject(
        &self,
        record: &SqsMessage,
        reason: &str,
        consumer: &str,
    ) -> Result<(), Failure> {
        let text = |text: String| {
            MessageAttributeValue::builder().data_type("String").string_value(text).build()
        };
        let attributes = [("reason", printable_ascii(reason)), ("consumer", consumer.to_owned())];
        let mut call = self.client().send_message().queue_url(&self.dead_letter_url);
        for (name, value) in attributes {
            let value = text(value)
                .map_err(|error| Failure::from_error("UnserializableMessage", &error))?;
            call = call.message_attributes(name, value);
        }
        let body = record.body.clone().unwrap_or_default();
        let sent = call.message_body(body).send().await;
        sent.map(drop).map_err(|error| Failure::from_error("SendFailed", &error))
    }
}

/// Returns how often a record was received, including this time.
pub(super) fn receive_count(record: &SqsMessage) -> u32 {
    attribute(record, "ApproximateReceiveCount")
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(1)
}

/// Returns the time since a record was sent.
pub(super) fn age(record: &SqsMessage, now: Timestamp) -> Duration {
    attribute(record, "SentTimestamp")
        .map_or(Duration::ZERO, |sent| now.since(Timestamp::from_milliseconds(sent)))
}

fn attribute(record: &SqsMessage, name: &str) -> Option<i64> {
    record.attributes.get(name).and_then(|value| value.parse().ok())
}

/// Returns the wait after the given number of receptions: half of the maximum, and a random part of
/// the other half.
pub fn retry_delay(receive_count: u32) -> Duration {
    retry::equal_jitter(max_retry_delay(receive_count))
}

/// Returns the maximum wait after this many receptions: 2 seconds, doubled each time.
fn max_retry_delay(receive_count: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(receive_count)).min(MAX_RETRY_DELAY)
}

/// Formats a reason as an SQS attribute: one line of printable ASCII, of limited length, not empty.
fn printable_ascii(reason: &str) -> String {
    let printable = reason.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let text: String = printable.take(MAX_REASON_LENGTH).collect();
    if text.trim().is_empty() { "unknown".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns minimum, mean and maximum of the seconds for which a message is retried with this
    /// `maxReceiveCount`.
    fn retried_for(receive_count: u32) -> (u64, u64, u64) {
        let most: u64 =
            (1..receive_count).map(|receive_count| max_retry_delay(receive_count).as_secs()).sum();
        (most / 2, most * 3 / 4, most)
    }

    #[test]
    fn total_retry_time_matches_the_redrive_policy() {
        let hours = |seconds: u64| seconds / 3600;
        let (least, mean, most) = retried_for(500);
        assert_eq!(
            (hours(least), hours(mean), hours(most)),
            (61, 92, 122),
            "2.6 to 5.1 days, 3.8 on average"
        );
        let minutes = |seconds: u64| seconds / 60;
        let (least, mean, most) = retried_for(20);
        assert_eq!((minutes(least), minutes(mean), minutes(most)), (83, 125, 167));
        let (least, ..) = retried_for(10);
        assert!(
            minutes(least) < 20,
            "ten tries would not outlast a table that is away for 20 minutes: {least} s"
        );
    }

    #[test]
    fn a_reason_is_one_short_line_of_ascii() {
        assert_eq!(printable_ascii("it is not an envelope"), "it is not an envelope");
        assert_eq!(printable_ascii("line\nline\u{fffe}\u{1f600}"), "line?line??");
        assert_eq!(printable_ascii(&"x".repeat(1000)).len(), MAX_REASON_LENGTH);
        assert_eq!(
            (printable_ascii(""), printable_ascii("  ")),
            ("unknown".to_owned(), "unknown".to_owned())
        );
    }
}

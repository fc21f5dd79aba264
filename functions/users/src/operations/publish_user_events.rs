//! The stream of `users`: sends account mails, and notifies the services that keep copies of user
//! data.

use shared::stream::StreamFilter;

/// Which items of the table publish.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("USER#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["send-account-notification", "update-buyer", "forget-recipient"];

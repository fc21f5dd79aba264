//! The stream of `users`: sends the mails about accounts, and tells everybody who keeps a copy of
//! somebody's data what became of it.

use shared::stream::StreamFilter;

/// Which items of the table publish.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("USER#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["send-account-notification", "update-buyer", "forget-recipient"];

//! The stream of `users`: publishes account mails, and notifies the services that keep copies of
//! user data.

use shared::stream::StreamFilter;

pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("USER#");

pub const QUEUES: &[&str] = &["send-account-notification", "update-buyer", "forget-recipient"];

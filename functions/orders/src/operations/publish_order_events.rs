//! The stream of `orders`: publishes the commands, ledger entries and mails of a changed order.

use shared::stream::StreamFilter;

/// Only items of orders publish messages; the table also stores limits and a lease.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("ORDER#");

/// The queues to which the function sends messages.
pub const QUEUES: &[&str] = &[
    "reserve-stock",
    "release-stock",
    "commit-stock",
    "open-payment",
    "charge-payment",
    "cancel-payment",
    "refund-payment",
    "record-entry",
    "send-notification",
];

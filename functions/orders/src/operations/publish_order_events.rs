//! The stream of `orders`: sends the commands and mails that a change of an order requires.

use shared::stream::StreamFilter;

/// Only orders publish messages; the other items of the table do not.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("ORDER#");

/// The queues that this function sends to.
pub const QUEUES: &[&str] = &[
    "reserve-stock",
    "release-stock",
    "commit-stock",
    "open-payment",
    "charge-payment",
    "cancel-payment",
    "refund-payment",
    "send-notification",
];

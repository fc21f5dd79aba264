//! The stream of `orders`: tells inventory, payments and notifications what a change of an order
//! asks of them.

use shared::stream::StreamFilter;

/// Which items of the table publish.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("ORDER#");

/// The queues that messages go to.
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

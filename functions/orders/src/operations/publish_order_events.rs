//! The stream of `orders`: tells inventory, payments and notifications what a change of an order asks of them.

use shared::stream::Published;

/// Which items of the table publish.
pub const PUBLISHED: Published = Published::PartitionKeyPrefix("ORDER#");

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

//! The stream of `orders`: tells inventory, payments and notifications what a change of an order asks of them.

use shared::stream::{self, Published};

use crate::publish;

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

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    stream::run("publish-order-events", PUBLISHED, QUEUES, publish::messages)
}

//! The stream of `stock`: tells an order what became of its reservation.

use shared::stream::{self, Published};

use crate::publish;

/// Which items of the table publish.
pub const PUBLISHED: Published = Published::PartitionKeyPrefix("RESERVATION#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["order-events"];

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    stream::run("publish-stock-events", PUBLISHED, QUEUES, publish::messages)
}

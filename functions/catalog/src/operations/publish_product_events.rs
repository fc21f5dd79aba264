//! The stream of `products`: tells everybody who keeps a copy of the catalogue what has changed.

use shared::stream::{self, Published};

use crate::publish;

/// Which items of the table publish.
pub const PUBLISHED: Published = Published::PartitionKeyPrefix("PRODUCT#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["product-changes"];

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    stream::run("publish-product-events", PUBLISHED, QUEUES, publish::messages)
}

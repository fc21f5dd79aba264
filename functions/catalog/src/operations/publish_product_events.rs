//! The stream of `products`: tells everybody who keeps a copy of the catalogue what has changed.

use shared::stream::Published;

/// Which items of the table publish.
pub const PUBLISHED: Published = Published::PartitionKeyPrefix("PRODUCT#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["product-changes"];

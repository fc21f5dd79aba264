//! The stream of `products`: tells everybody who keeps a copy of the catalogue what has changed.

use shared::stream::StreamFilter;

/// Which items of the table publish.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("PRODUCT#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["product-changes"];

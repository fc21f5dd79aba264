//! The stream of `products`: publishes every change of a product to the services that keep a copy.

use shared::stream::StreamFilter;

/// Which items of the table publish.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("PRODUCT#");

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["product-changes"];

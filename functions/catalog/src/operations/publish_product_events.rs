//! The stream of `products`: publishes product changes to the services that keep a copy.

use shared::stream::StreamFilter;

/// The items whose changes are published.
pub const STREAM_FILTER: StreamFilter = StreamFilter::PartitionKeyPrefix("PRODUCT#");

/// The queues that receive the messages.
pub const QUEUES: &[&str] = &["product-changes"];

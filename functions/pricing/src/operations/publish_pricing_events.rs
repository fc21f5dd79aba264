//! The stream of `pricing`: has changed markets compiled, and publishes changed documents to the
//! services that keep a copy.

use shared::stream::StreamFilter;

/// The items whose changes are published: markets and their documents.
pub const STREAM_FILTER: StreamFilter = StreamFilter::SortKeyPrefixes(&["HEAD", "DOCUMENT#"]);

/// The queues that receive the messages.
pub const QUEUES: &[&str] = &["compile-market", "replicate-pricing"];

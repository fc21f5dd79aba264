//! Stream of the table stock: publishes reservation states, stock movements and low-stock mails.

use shared::stream::StreamFilter;

/// The lease of the sweep publishes nothing.
pub const STREAM_FILTER: StreamFilter =
    StreamFilter::PartitionKeyPrefixes(&["STOCK#", "RESERVATION#", "MOVE#"]);

/// Queues that the function sends to.
pub const QUEUES: &[&str] = &["order-events", "record-entry", "send-notification"];

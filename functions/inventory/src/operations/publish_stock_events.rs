//! The stream of `stock`: publishes reservation outcomes to orders, stock movements to the ledger,
//! and low stock to the operator.

use shared::stream::StreamFilter;

/// Which items of the table publish: all but the lease of a sweep.
pub const STREAM_FILTER: StreamFilter =
    StreamFilter::PartitionKeyPrefixes(&["STOCK#", "RESERVATION#", "MOVE#"]);

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["order-events", "record-entry", "send-notification"];

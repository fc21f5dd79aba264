//! The stream of `stock`: tells an order what became of its reservation, the ledger what has moved,
//! and the operator what is running out.

use shared::stream::StreamFilter;

/// Which items of the table publish: all but the lease of a sweep.
pub const STREAM_FILTER: StreamFilter =
    StreamFilter::PartitionKeyPrefixes(&["STOCK#", "RESERVATION#", "MOVE#"]);

/// The queues that messages go to.
pub const QUEUES: &[&str] = &["order-events", "record-entry", "send-notification"];

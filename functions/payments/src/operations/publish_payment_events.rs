//! Stream of the table payments: publishes payment events to orders and money movements to ledger.

use shared::stream::StreamFilter;

use crate::publish;

/// Attempts and refunds publish no messages of their own: whatever is published of them is also
/// recorded in the intent.
pub const STREAM_FILTER: StreamFilter = StreamFilter::SortKey("INTENT");

/// Queues that the function sends to.
pub const QUEUES: &[&str] = &[publish::ORDER_EVENTS, publish::RECORD_ENTRY];

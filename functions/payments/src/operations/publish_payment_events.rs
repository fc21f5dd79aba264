//! Stream of the table payments: tells orders how their payments stand, and the ledger what money
//! has moved.

use shared::stream::StreamFilter;

use crate::publish;

/// Attempts and refunds tell nothing by themselves: what they change shows in the intent.
pub const STREAM_FILTER: StreamFilter = StreamFilter::SortKey("INTENT");

/// Where it goes.
pub const QUEUES: &[&str] = &[publish::ORDER_EVENTS, publish::RECORD_ENTRY];

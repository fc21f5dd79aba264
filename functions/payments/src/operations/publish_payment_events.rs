//! Stream of the table payments: publishes payment events to orders and money movements to ledger.

use shared::stream::StreamFilter;

use crate::publish;

/// Only the intent publishes. It also records what is published about attempts and refunds.
pub const STREAM_FILTER: StreamFilter = StreamFilter::SortKey("INTENT");

/// Queues that the function sends to.
pub const QUEUES: &[&str] = &[publish::ORDER_EVENTS, publish::RECORD_ENTRY];

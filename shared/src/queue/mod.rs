//! Consumers of SQS, and the envelope of every message.
//!
//! The records of a batch are processed concurrently, and a failed record does not delay the others.
//! Records with the same subject are processed in sequence, and so are those that contend for the
//! same items or rate ([`FromMessage::contends_for`]). Each record ends in one of three ways:
//!
//! - **Done**: the record is acknowledged.
//! - **Retry**: the record is reported as failed and is received again after a wait that grows to
//!   15 minutes. The queue's redrive policy limits the number of receptions; then SQS moves the
//!   message to the dead-letter queue.
//! - **Rejected**: no retry can succeed, because the message cannot be parsed, its operation
//!   rejects it permanently, or it panicked at its third reception or later. The consumer sends it
//!   to the dead-letter queue at once, with the reason, and acknowledges it. Otherwise a malformed
//!   message would be retried until the redrive policy ends it.
//!
//! In reading order: [`Message`] and its parsing; [`SendNotification`], the one message with
//! several senders; [`run`], the loop; [`Queue`], which delays or rejects a record.

mod consumer;
mod message;
mod notification;
mod source;

pub use consumer::{Retryable, lambda, run};
pub use message::{FromMessage, InvalidMessage, Message, MessageContext, Received, read_as};
pub use notification::SendNotification;
pub use source::{Queue, retry_delay};

//! Consumers of SQS, and the envelope of every message.
//!
//! A batch is processed record by record, and a record that fails delays no other. It ends in one
//! of three ways:
//!
//! - **Done**: the record is acknowledged.
//! - **Retry**: the record is reported by its id and comes back after a wait that grows to 15
//!   minutes. The redrive policy of the queue says how often; after that SQS itself moves the
//!   message to the dead-letter queue.
//! - **Rejected**: no retry can succeed, because the message cannot be read, its operation rejects
//!   it for good, or it panicked at its third reception or later. The consumer sends it to the
//!   dead-letter queue at once, with the reason, and acknowledges it. Without that a message that
//!   cannot be read would circulate for as long as the queue retries.
//!
//! In reading order: [`Message`] and what consumers read of it; [`SendNotification`], the data of
//! the one message with several senders; [`run`], the loop; [`Queue`], where a record waits or is
//! rejected to.

mod consumer;
mod message;
mod notification;
mod source;

pub use consumer::{Retryable, lambda, run};
pub use message::{FromMessage, InvalidMessage, Message, MessageContext, Received, read_as};
pub use notification::SendNotification;
pub use source::{Queue, retry_delay};

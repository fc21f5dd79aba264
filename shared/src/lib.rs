//! The I/O layer of every Ferrocart service: turns an event into a typed request and a result into
//! an answer, and defines the value types that all services share.
//!
//! In reading order:
//!
//! - [`operation`]: the list of a service's operations, and what calls each.
//! - [`lambda`]: the runtime loop; what all kinds of function have in common.
//! - [`http`]: requests, answers, idempotency keys, pages. [`problem`]: errors as RFC 9457
//!   documents.
//! - [`queue`]: consumers of SQS. [`stream`]: publishers of DynamoDB streams. [`invoke`]: schedules
//!   and direct calls.
//! - [`sweep`]: schedules that work through what is due.
//! - [`table`]: DynamoDB, where every write carries a condition. [`secret`]: Secrets Manager, read
//!   once and kept.
//! - [`seal`]: authenticated encryption of texts.
//! - [`stored_enum!`]: an enum that is stored as a text, and that keeps what a newer release wrote.
//! - [`api_document`]: how what goes in and out is described; only the tests compile it.
//! - [`text`]: what people write, normalized and checked. [`checked_text!`](macro@crate::checked_text): types for it.
//!   [`validation`]: why a value is rejected.
//! - [`auth`], [`money`], [`ids`], [`clock`], [`retry`], [`throttle`]: values. [`config`], [`aws`],
//!   [`telemetry`]: surroundings.
//!
//! # Invariants
//!
//! - No domain rule, no table's key layout and no message of a single service lives here.
//!   [`queue::SendNotification`] has three senders.
//! - Only this crate reads the environment or the clock, or makes a random number.
//! - Everything that an operation awaits here is a *plain function that returns a boxed future*. An
//!   `async fn` is compiled again in every crate that polls it; behind the box, hyper and the AWS
//!   SDK are compiled once, and an operation's binary takes under a CPU second to build instead of
//!   fifteen. `#[inline(never)]` does not replace the box, and neither does an inner `async fn`
//!   that the caller's crate instantiates.

use std::{future::Future, pin::Pin};

pub mod api_document;
pub mod auth;
pub mod aws;
pub mod checked_text;
pub mod clock;
pub mod config;
pub mod http;
pub mod ids;
pub mod invoke;
pub mod lambda;
pub mod money;
pub mod operation;
pub mod problem;
pub mod queue;
pub mod retry;
pub mod seal;
pub mod secret;
mod stored_enum;
pub mod stream;
pub mod sweep;
pub mod table;
pub mod telemetry;
pub mod text;
pub mod throttle;
pub mod validation;

/// A future behind a pointer: the border at which compilation stops (see the crate's invariants).
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

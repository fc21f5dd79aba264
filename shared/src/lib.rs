//! The I/O layer of every Ferrocart service: converts events into typed requests and results into
//! responses, and defines the value types that all services share.
//!
//! In reading order:
//!
//! - [`operation`]: the list of a service's operations, each with its trigger.
//! - [`lambda`]: the runtime loop, and what all kinds of functions have in common.
//! - [`http`]: requests, responses, idempotency keys, pages. [`problem`]: errors as RFC 9457
//!   documents.
//! - [`queue`]: consumers of SQS. [`stream`]: publishers of DynamoDB streams. [`invoke`]: schedules
//!   and direct invocations.
//! - [`release`]: the check of a new version before it gets traffic.
//! - [`sweep`]: scheduled runs over all due records.
//! - [`table`]: DynamoDB with conditional writes only. [`secret`]: Secrets Manager with a cache.
//! - [`metrics`]: declarations of metrics, and their log lines.
//! - [`seal`]: authenticated encryption of texts.
//! - [`stored_enum!`]: an enum that is stored as a text and preserves values of newer releases.
//! - [`api_document`]: descriptions for the API document; only the tests compile it.
//! - [`optional`]: fields of requests that may be omitted.
//! - [`text`]: normalizes and validates free text. [`checked_text!`](macro@crate::checked_text):
//!   types for it. [`validation`]: why a value is rejected.
//! - [`address`], [`auth`], [`email`], [`market`], [`money`], [`ids`], [`clock`], [`retry`],
//!   [`throttle`]: value types and policies.
//!   [`config`], [`aws`], [`telemetry`]: runtime environment.
//!
//! # Invariants
//!
//! - This crate contains no domain rules, no key layouts of tables and no messages of a single
//!   service. [`queue::SendNotification`] is here because three services send it.
//! - Only this crate reads the environment or the clock, or makes a random number.
//! - Every public function here that an operation awaits is a *plain function that returns a boxed
//!   future*. Each crate that polls an `async fn` compiles it again. With the box, hyper and the
//!   AWS SDK are compiled once, and building an operation's binary takes less than one CPU second
//!   instead of fifteen. `#[inline(never)]` does not replace the box, and neither does an inner
//!   `async fn` that the caller's crate instantiates.

use std::{future::Future, pin::Pin};

pub mod address;
pub mod api_document;
pub mod auth;
pub mod aws;
pub mod checked_text;
pub mod clock;
pub mod config;
pub mod email;
pub mod http;
pub mod ids;
pub mod invoke;
pub mod lambda;
pub mod market;
pub mod metrics;
pub mod money;
pub mod operation;
pub mod optional;
pub mod problem;
pub mod queue;
pub mod release;
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

/// A boxed future, which keeps callers from compiling its code again (see the crate's invariants).
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

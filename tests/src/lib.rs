//! The stage on which everything that looks at more than one function is tested: AWS in the memory
//! of one process.
//!
//! ```no_run
//! # use {std::sync::Arc, serde_json::json, shared::{http, lambda::Lambda}, tests::{aws::Aws, events}};
//! # async fn example(operation: Lambda) {
//! let aws = Aws::new();                                    // every table of template.yaml, empty
//! let table = aws.table("orders");                         // a shared::table::Table of the real SDK, over the embedded DynamoDB
//! let secrets = aws.secrets();                             // a shared::secret::Secrets; every server key is there
//!
//! let request = events::post("/orders", &json!({ "items": [] })).caller(events::USER).header("idempotency-key", "k").event();
//! let answer = aws.call(&operation, request).await;        // Lambda from http::lambda(Arc::new(Orders {..}), create_order)
//! assert_eq!(answer.operations(), ["BatchGetItem", "PutItem"]);
//!
//! aws.fail(1, tests::aws::Fault::LoseResponse);            // the second call from now is carried out, and its answer is lost
//! # }
//! ```
//!
//! In reading order:
//!
//! - [`aws`]: the one HTTP client below every SDK client; it records each call and can inject a fault into the
//!   k-th one. SDK retries are off.
//! - [`dynamodb`]: dynoxide in memory. Its tables come from [`template`], so that a test never sees
//!   another schema than a deployment.
//! - [`faults`]: a story played for each fault at each call.
//! - [`partitions`]: the write units of each partition key, counted or limited.
//! - [`bank`]: what the provider's staff and the buyers' banks write into the simulated provider's
//!   books.
//! - [`sqs`], [`secrets`], [`ses`]: small stand-ins for the other services.
//! - [`events`]: what API Gateway, queues and streams send; the samples in `events/`.
//! - [`harness`]: carries changes from the tables to the publishers, and messages from the queues to
//!   the consumers, until all is quiet.
//! - [`metering`]: what a run costs, in calls and in CPU time.
//! - `provider`: the payment provider behind a network that fails on command, and a record of
//!   charges that no order wanted any more.
//! - [`shop`]: the services over that world, with a clock that a test holds, and every operation by
//!   its name.
//! - [`prose`]: documentation comments as running text.
//! - [`seeds`]: the seeds of a test, played on all cores.
//!
//! Two things exist in no emulator and are made here: throttling and transaction conflicts
//! ([`aws::Fault`]).

pub mod aws;
pub mod bank;
pub mod dynamodb;
pub mod events;
pub mod faults;
pub mod harness;
pub mod metering;
pub mod partitions;
pub mod prose;
#[cfg(feature = "payments")]
pub mod provider;
pub mod secrets;
pub mod seeds;
pub mod ses;
pub mod shop;
pub mod sqs;
pub mod template;

//! Test support: AWS in the memory of one process, and the fixtures on which tests of more than one
//! function are built.
//!
//! ```no_run
//! # use {std::sync::Arc, serde_json::json, shared::{http, lambda::Lambda}, tests::{aws::Aws, events}};
//! # async fn example(operation: Lambda) {
//! let aws = Aws::new();                                    // every table of template.yaml, empty
//! let table = aws.table("orders");                         // a shared::table::Table of the real SDK, over the in-memory DynamoDB
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
//! Modules, in reading order:
//!
//! - [`aws`]: the one HTTP client below every SDK client. It records each call and injects a fault
//!   into the k-th one. SDK retries are off.
//! - [`dynamodb`]: DynamoDB in memory, with the calls that the shop makes. Its tables come from
//!   [`template`], so tests and deployments use the same schema.
//! - [`faults`]: runs a scenario once for each fault at each call.
//! - [`partitions`]: counts or limits the write units of each partition key.
//! - [`reads`]: counts the rows, the read units and the connections of reads.
//! - [`bank`]: actions of the provider's staff and the buyers' banks in the simulated provider's
//!   table.
//! - [`sqs`], [`secrets`], [`ses`], [`cloudwatch`], [`codedeploy`]: small in-memory replacements of the
//!   other services.
//! - `api`: a shop with a valid request for each route, and what every response has in common.
//! - [`events`]: the events of API Gateway, queues and streams, and the samples in `events/`.
//! - [`harness`]: delivers changes to the publishers, and messages to the consumers, until all are
//!   processed.
//! - [`metering`]: the cost of a run in calls and in CPU time.
//! - `cost`: the calls and units of one invocation, and the budgets of `tests/bench/budgets.toml`.
//! - `provider`: the payment provider behind a network that fails on command, and a record of
//!   charges sent after their order was cancelled.
//! - `release`: the functions of another release, in a process of their own.
//! - [`shop`]: the services over the in-memory AWS, with a clock that the test sets, and every
//!   operation by its name.
//! - `samples`: the samples in `events/`, each with the state that it needs.
//! - `growth`: a shop with many stored records, and the cost of each operation in it.
//! - [`prose`]: documentation comments as running text.
//! - [`seeds`]: runs the seeds of a test on all cores; [`rng`] has their random numbers.
//!
//! No emulator has throttling and transaction conflicts, so [`aws::Fault`] injects them.

#[cfg(feature = "shop")]
pub mod api;
pub mod aws;
pub mod bank;
pub mod cloudwatch;
pub mod codedeploy;
#[cfg(feature = "shop")]
pub mod cost;
pub mod dynamodb;
pub mod events;
pub mod faults;
#[cfg(feature = "shop")]
pub mod growth;
pub mod harness;
pub mod metering;
pub mod partitions;
pub mod prose;
#[cfg(feature = "payments")]
pub mod provider;
pub mod reads;
#[cfg(feature = "shop")]
pub mod release;
pub mod rng;
#[cfg(feature = "shop")]
pub mod samples;
pub mod secrets;
pub mod seeds;
pub mod ses;
pub mod shop;
pub mod sqs;
pub mod template;

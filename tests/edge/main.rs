//! Bad input: every route, consumer and publisher gets what attackers, broken clients and broken
//! senders send.
//!
//! An HTTP response is always a problem document with the status in the table, never a 5xx. It
//! never repeats the input, and nothing is written. A queue returns exactly the bad record. A
//! publisher never stops. Each module is a table of inputs and a loop over routes:
//!
//! - [`bodies`]: JSON, types, unknown and repeated fields, numbers, texts.
//! - [`base_path`]: every route answers alike below the base path of a custom domain.
//! - [`methods`]: `HEAD` answers as `GET` without a body.
//! - [`requests`]: headers, paths, queries, callers.
//! - [`identity`]: invalid tokens and links, outdated versions, and too many attempts.
//! - [`trade`]: well-formed requests in the wrong state, or for another user's resources.
//! - [`webhooks`]: forged and invalid webhooks of the payment provider.
//! - [`queues`], [`publishers`]: bad records among good ones.
//! - [`unresponsive`]: endpoints of AWS and of the provider that never answer.
//! - [`measuring`]: the metrics that several services share.
//! - [`leaks`]: error texts in logs contain no secrets.
//! - [`mutations`]: every sample of `events/` with random damage; the seed is printed.
// Tables of inputs read best unwrapped; the seed comes from the environment.
#![allow(clippy::unwrap_used, clippy::type_complexity, clippy::disallowed_methods)]

mod base_path;
mod bodies;
mod identity;
mod leaks;
mod measuring;
mod methods;
mod mutations;
mod publishers;
mod queues;
mod requests;
mod trade;
mod unresponsive;
mod webhooks;

use tests::api::{fixture, routes};

//! Bad input: every route, consumer and publisher gets what attackers, broken clients and broken
//! senders send.
//!
//! An HTTP answer is always a problem document with the status in the table, never a 5xx; it never
//! repeats the input; and nothing is written. A queue returns exactly the bad record. A publisher
//! never stops. Each module is a table of inputs and a loop over routes:
//!
//! - [`bodies`]: JSON, types, unknown and repeated fields, numbers, texts.
//! - [`methods`]: `HEAD` answers as `GET` without a body.
//! - [`requests`]: headers, paths, queries, callers.
//! - [`identity`]: tokens and links that do not count, versions that are not the present one, and
//!   too many tries.
//! - [`trade`]: requests that are well formed and come at the wrong time, or ask for what is
//!   another's.
//! - [`webhooks`]: what claims to come from the payment provider.
//! - [`queues`]: consumers and publishers.
//! - [`leaks`]: what errors say in logs.
//! - [`mutations`]: every sample of `events/` with random damage; the seed is printed.
// Tables of inputs read best as they stand; the seed comes from the environment.
#![allow(clippy::unwrap_used, clippy::type_complexity, clippy::disallowed_methods)]

mod bodies;
mod fixture;
mod identity;
mod leaks;
mod methods;
mod mutations;
mod publishers;
mod queues;
mod requests;
mod routes;
mod trade;
mod webhooks;

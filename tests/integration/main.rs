//! The shop as its users meet it: stories over HTTP, on a deployed stack.
//!
//! `make test` starts a stack and sets what these tests need: `FERROCART_URL` (the API, with its
//! stage), `FERROCART_STACK` and the usual AWS variables, with access to tables and queues. Any
//! AWS-compatible endpoint works: the emulator, LocalStack, a test account.
//!
//! Tests run side by side, each with buyers and products of its own. Those that break something on
//! purpose take the whole stack for themselves ([`shop::Shop::alone`]).
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounts;
mod books;
mod edge;
mod health;
mod identity;
mod load;
mod loss;
mod messages;
mod payments;
mod redrive;
mod shop;
mod stories;
#[expect(clippy::print_stdout, reason = "the numbers are part of what a test shows")]
mod tokens;
mod trade;
mod webhooks;

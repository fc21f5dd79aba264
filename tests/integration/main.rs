//! The deployed shop as its users see it: scenarios over HTTP against a stack.
//!
//! `make test` starts a stack and sets the variables that these tests need: `FERROCART_URL` (the
//! API with its stage), `FERROCART_STACK` and the usual AWS variables, with access to tables and
//! queues. Any AWS-compatible endpoint works: the emulator, LocalStack, a test account.
//!
//! Tests run concurrently, each with its own buyers and products. Tests that break something on
//! purpose use the stack exclusively ([`shop::Shop::alone`]).
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounts;
mod checkout;
mod edge;
mod health;
mod identity;
mod load;
mod loss;
mod messages;
mod payments;
mod reconciliation;
mod redrive;
mod shop;
#[expect(clippy::print_stdout, reason = "the numbers are part of what a test shows")]
mod tokens;
mod trade;
mod webhooks;

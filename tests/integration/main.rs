//! The deployed shop as its users see it: scenarios over HTTP against a stack.
//!
//! Two variables choose the target: `API_URL`, the API with its stage, and `AWS_ENDPOINT_URL`,
//! which is not set for AWS. `make test` starts the emulator and sets them. The stack is
//! `ferrocart` unless `FERROCART_STACK` names another one. [`target`] says which tests are skipped
//! where.
//!
//! Tests run concurrently, each with its own buyers and products. Tests that break something on
//! purpose use the stack exclusively ([`shop::Shop::alone`]).
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod accounts;
mod carts;
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
mod target;
#[expect(clippy::print_stdout, reason = "the numbers are part of what a test shows")]
mod tokens;
mod trade;
mod webhooks;

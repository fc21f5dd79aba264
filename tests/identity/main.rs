//! Identity under theft, floods, forgery, crashes and concurrency: what takes too many attempts for
//! the tests of the tables.
#![allow(clippy::unwrap_used)]

mod families;
mod faults;
mod flood;
mod forged;
mod registrations;
mod revocation;
mod rng;
mod rotation;
mod server_keys;
mod writers;

/// What a test has counted: `cargo test -p tests --test identity -- --nocapture` shows it.
#[expect(clippy::print_stdout, reason = "the numbers are part of what a test shows")]
fn print(numbers: &str) {
    println!("{numbers}");
}

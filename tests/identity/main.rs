//! Identity under theft, floods, forgery, crashes and concurrency: properties that need more
//! attempts than the `stores` tests make.
#![allow(clippy::unwrap_used)]

mod faults;
mod flood;
mod forged;
mod registrations;
mod revocation;
mod rotation;
mod server_keys;
mod sessions;
mod writers;

/// Prints a test's counts: `cargo test -p tests --test identity -- --nocapture` shows them.
#[expect(clippy::print_stdout, reason = "the numbers are part of what a test shows")]
fn print(numbers: &str) {
    println!("{numbers}");
}

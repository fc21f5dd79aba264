//! Proves the promises of the shop: `make prove` prints each one with its runs, violations and
//! seconds. `FULL=1` plays as many runs as a night allows. `cargo test --test prove` plays a
//! hundredth.
//!
//! Each run is one case of a promise: a seed, a fault at one call. The same case has the same trace.
//! Runs are spread over one process per core. A violation ends all of them: it prints the promise,
//! the case and the trace, and the command that repeats it.
//!
//! `PROMISE=` names one promise, `CASE=` one of its cases, `FIRST=` its first case.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod bites;
mod faults;
mod promises;
mod runner;
mod schedule;
mod stage;
mod stories;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [command] if command == worker::COMMAND => worker::run(),
        _ => runner::run(),
    }
}

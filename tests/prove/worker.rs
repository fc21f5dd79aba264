//! A process that plays every n-th case of a promise, one after the other, on paused time.

use std::{
    collections::BTreeMap,
    io,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    bites, faults,
    promises::{Facts, Promise, promise},
};

/// The argument that makes this program a worker.
pub const COMMAND: &str = "worker";

/// The cases of one worker, or of a promise that continues after a violation all of them: these are
/// sent one by one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    pub promise: String,
    pub first: u64,
    /// The case after the last one.
    pub end: u64,
    pub step: usize,
    /// After this time no further case begins.
    pub seconds: Option<u64>,
    /// The calls of the stories: see [`faults::counted_calls`].
    pub calls: Vec<String>,
    /// The defects: see [`bites::found_cases`].
    pub defects: Vec<bites::Case>,
}

/// What a worker prints as one line of JSON: at its end, and after each case of a promise that
/// continues after a violation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub runs: u64,
    /// Whether the time ended before the cases did.
    pub has_stopped: bool,
    pub calls: u64,
    pub facts: Facts,
    pub violations: Vec<Violation>,
    /// The traces to be compared, by case.
    pub traces: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Violation {
    pub case: u64,
    pub text: String,
}

/// Plays the share that is the first line of standard input as JSON, and prints its reports. The
/// lines after it are cases.
pub fn run() -> ExitCode {
    let mut lines = io::stdin().lines();
    let share = lines.next().unwrap().unwrap();
    let mut share: Share = serde_json::from_str(&share).unwrap();
    faults::set_calls(std::mem::take(&mut share.calls));
    bites::set_cases(std::mem::take(&mut share.defects));
    let promise = promise(&share.promise).unwrap();
    if promise.continues {
        let cases = lines.map(|case| case.unwrap().parse().unwrap());
        print(&play(promise, cases, None));
    } else {
        let cases = (share.first..share.end).step_by(share.step);
        print(&play(promise, cases, share.seconds));
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "the report goes to the process that started this one")]
fn print(report: &Report) {
    println!("{}", serde_json::to_string(report).unwrap());
}

/// Plays cases. Prints the report of each of them if the promise continues after a violation, and
/// returns what is not printed.
fn play(promise: &Promise, cases: impl Iterator<Item = u64>, seconds: Option<u64>) -> Report {
    let violation = Arc::new(Mutex::new(String::new()));
    let found = violation.clone();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        *found.lock().unwrap() = format!("{text}\n(found at {place})");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut report = Report::default();
    let (started, limit) = (Instant::now(), seconds.map(Duration::from_secs));
    for case in cases {
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            report.has_stopped = true;
            break;
        }
        let played =
            panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on((promise.play)(case))));
        report.runs += 1;
        match played {
            Ok(outcome) => {
                report.calls += outcome.calls;
                report.traces.extend(outcome.trace.map(|trace| (case, trace)));
                for fact in outcome.facts {
                    *report.facts.entry(fact).or_default() += 1;
                }
            }
            Err(_) => {
                let text = violation.lock().unwrap().clone();
                report.violations.push(Violation { case, text });
                if !promise.continues {
                    return report;
                }
            }
        }
        if promise.continues {
            print(&std::mem::take(&mut report));
        }
    }
    report
}

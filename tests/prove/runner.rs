//! Plays the promises in workers, and prints the table.

use std::{
    env,
    num::NonZero,
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use crate::{
    promises::{Facts, PROMISES, Promise},
    worker::{COMMAND, Report, Share, Violation},
};

/// What to play, from the environment.
struct Settings {
    scale: Scale,
    promise: Option<String>,
    case: Option<u64>,
    first: u64,
    cases: Option<u64>,
}

/// How many cases to play: `SCALE=short`, `SCALE=full`, or a hundredth of the short form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Sample,
    Short,
    Full,
}

impl Settings {
    fn from_env() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        let number = |name: &str| {
            text(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
        };
        let promise = text("PROMISE");
        if let Some(name) = &promise {
            let names: Vec<&str> = PROMISES.iter().map(|promise| promise.name).collect();
            assert!(names.contains(&name.as_str()), "PROMISE is one of {}", names.join(", "));
        }
        Self {
            scale: match text("SCALE").as_deref() {
                Some("full") => Scale::Full,
                Some("short") => Scale::Short,
                _ => Scale::Sample,
            },
            promise,
            case: number("CASE"),
            first: number("FIRST").unwrap_or_default(),
            cases: number("CASES"),
        }
    }

    /// The first case of a promise, and the one after its last.
    fn cases(&self, promise: &Promise) -> (u64, u64) {
        if let Some(case) = self.case {
            return (case, case + 1);
        }
        let first = if promise.is_random { self.first } else { 0 };
        let (short, full) = (promise.cases)();
        let number = match self.scale {
            Scale::Full => full,
            Scale::Short => short,
            Scale::Sample => short.div_ceil(100),
        };
        (first, first + self.cases.unwrap_or(number))
    }
}

/// The results of all workers of a promise.
#[derive(Default)]
struct Total {
    runs: u64,
    calls: u64,
    facts: Facts,
    violations: Vec<Violation>,
}

/// Plays the promises. Fails if one is violated.
#[expect(clippy::print_stdout, reason = "the table is the result")]
pub fn run() -> ExitCode {
    let settings = Settings::from_env();
    println!(
        "{:<62} {:>9} {:>10} {:>7} {:>10}",
        "promise", "runs", "violations", "seconds", "calls/run"
    );
    let mut has_failed = false;
    for promise in PROMISES {
        if settings.promise.as_ref().is_some_and(|name| name != promise.name) {
            continue;
        }
        // The stories are counted here, so the first violation ends the run.
        let (first, end) = if has_failed { (0, 0) } else { settings.cases(promise) };
        if first == end {
            continue;
        }
        let started = Instant::now();
        let total = play(promise, first, end);
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{:<62} {:>9} {:>10} {seconds:>7.1} {:>10}",
            promise.text,
            total.runs,
            total.violations.len(),
            total.calls / total.runs.max(1)
        );
        for violation in &total.violations {
            has_failed = true;
            println!(
                "\nviolated: {} (make prove PROMISE={} CASE={})\n{}\n",
                promise.text, promise.name, violation.case, violation.text
            );
        }
        if settings.case.is_some() || settings.promise.is_some() {
            for (fact, count) in &total.facts {
                println!("{count:>9}  {fact}");
            }
        }
        if let Some((ending, least)) = promise.least {
            let found: u64 = total
                .facts
                .iter()
                .filter(|(fact, _)| fact.ends_with(ending))
                .map(|(_, count)| count)
                .sum();
            let expected = least * total.runs / (promise.cases)().0;
            if total.violations.is_empty() && found < expected {
                has_failed = true;
                println!("\ntoo few cases with{ending}: {found} instead of {expected}\n");
            }
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Plays cases of a promise in one process per core. The first violation ends all of them.
fn play(promise: &Promise, first: u64, end: u64) -> Total {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = cores.min(usize::try_from(end - first).unwrap_or(cores));
    let (reports, received) = mpsc::channel();
    let mut children: Vec<Child> = Vec::new();
    for number in 0..workers {
        let share = Share {
            promise: promise.name.to_owned(),
            first: first + number as u64,
            end,
            step: workers,
        };
        let mut child = Command::new(env::current_exe().unwrap())
            .args([COMMAND, &serde_json::to_string(&share).unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reports = reports.clone();
        thread::spawn(move || {
            let report = std::io::read_to_string(output).unwrap_or_default();
            let _ = reports.send(serde_json::from_str::<Report>(report.trim()));
        });
        children.push(child);
    }
    drop(reports);
    let mut total = Total::default();
    for report in received.iter().take(workers) {
        let report = report.unwrap_or_else(|_| Report {
            violation: Some(Violation { case: first, text: "a worker died".to_owned() }),
            ..Report::default()
        });
        total.runs += report.runs;
        total.calls += report.calls;
        for (fact, count) in report.facts {
            *total.facts.entry(fact).or_default() += count;
        }
        if let Some(violation) = report.violation {
            total.violations.push(violation);
            break;
        }
    }
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
    total
}

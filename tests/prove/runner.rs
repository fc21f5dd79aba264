//! Plays the promises in workers, and prints the table.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    num::NonZero,
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use crate::{
    bites, faults,
    promises::{BITES, Facts, PROMISES, Promise, Scale, difference},
    worker::{COMMAND, Report, Share, Violation},
};

/// What to play, from the environment: `SCALE=short`, `SCALE=full`, or a hundredth of the short
/// form.
struct Settings {
    scale: Scale,
    promise: Option<String>,
    case: Option<u64>,
    /// A part of the names of the defects to be played.
    kind: Option<String>,
    first: u64,
    cases: Option<u64>,
    seconds: Option<u64>,
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
            kind: text("KIND"),
            first: number("FIRST").unwrap_or_default(),
            cases: number("CASES"),
            seconds: number("SECONDS"),
        }
    }

    /// The cases of a promise to be played.
    fn cases(&self, promise: &Promise) -> Cases {
        if let Some(case) = self.case {
            return Cases { first: case, end: case + 1, ..Cases::default() };
        }
        if let Some(kind) = self.kind.as_ref().filter(|_| promise.name == BITES) {
            let named = bites::named(kind);
            assert!(!named.is_empty(), "no name of a defect contains KIND");
            return Cases { end: named.len() as u64, named, ..Cases::default() };
        }
        let first = if promise.is_random { self.first } else { 0 };
        let number = match (promise.cases)(self.scale) {
            // A promise of the full form that is named is played in full.
            0 if self.promise.is_some() => (promise.cases)(Scale::Full),
            number => number,
        };
        let number = self.cases.unwrap_or(number);
        // A hundredth of the faults hits all stories.
        let all = (promise.cases)(Scale::Short);
        let is_spread = self.scale == Scale::Sample && !promise.is_random && number > 0;
        let step = if is_spread { (all / number).max(1) } else { 1 };
        let seconds = self.seconds.filter(|_| promise.is_random);
        Cases { first, end: first + number * step, step, seconds, named: Vec::new() }
    }
}

/// Every `step`-th case from `first` to before `end`.
struct Cases {
    first: u64,
    end: u64,
    step: u64,
    /// After this time no further case begins.
    seconds: Option<u64>,
    /// The cases at these numbers, if they are not the numbers themselves.
    named: Vec<u64>,
}

impl Default for Cases {
    fn default() -> Self {
        Self { first: 0, end: 0, step: 1, seconds: None, named: Vec::new() }
    }
}

impl Cases {
    fn number(&self) -> u64 {
        (self.end - self.first).div_ceil(self.step)
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let case = move |number: u64| self.named.get(number as usize).copied().unwrap_or(number);
        (self.first..self.end).step_by(self.step as usize).map(case)
    }
}

/// The results of all workers of a promise.
#[derive(Default)]
struct Total {
    runs: u64,
    has_stopped: bool,
    calls: u64,
    facts: Facts,
    violations: Vec<Violation>,
    traces: BTreeMap<u64, String>,
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
        if has_failed {
            continue;
        }
        let cases = settings.cases(promise);
        if cases.first == cases.end {
            continue;
        }
        let started = Instant::now();
        let total = prove(promise, &cases);
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{:<62} {:>9} {:>10} {seconds:>7.1} {:>10}",
            promise.text,
            total.runs,
            total.violations.len(),
            total.calls / total.runs.max(1)
        );
        if total.has_stopped {
            println!(
                "{:<62} {:>9}",
                "  the time ended before these runs:",
                cases.number() - total.runs
            );
        }
        for violation in &total.violations {
            has_failed = true;
            println!(
                "\nviolated: {} (make prove PROMISE={} CASE={})\n{}\n",
                promise.text, promise.name, violation.case, violation.text
            );
        }
        if !promise.continues && (settings.case.is_some() || settings.promise.is_some()) {
            for (fact, count) in &total.facts {
                println!("{count:>9}  {fact}");
            }
        }
        for (ending, least) in promise.least {
            let found: u64 = total
                .facts
                .iter()
                .filter(|(fact, _)| fact.ends_with(*ending))
                .map(|(_, count)| count)
                .sum();
            let expected = least * total.runs / (promise.cases)(Scale::Short);
            if total.violations.is_empty() && found < expected {
                has_failed = true;
                println!("\ntoo few cases with {ending:?}: {found} instead of {expected}\n");
            }
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Plays cases of a promise in one process per core. Cases with a trace are played again by another
/// number of processes, which must have the same traces.
fn prove(promise: &Promise, cases: &Cases) -> Total {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut total = play(promise, cases, cores);
    if total.traces.is_empty() || !total.violations.is_empty() {
        return total;
    }
    let again = play(promise, cases, cores + 1);
    total.violations.extend(again.violations);
    for (case, trace) in &total.traces {
        let other = again.traces.get(case).map_or("", String::as_str);
        if let Some(difference) = difference(trace, other) {
            let text = format!("SEED={case} has two traces in two processes. {difference}");
            total.violations.push(Violation { case: *case, text });
        }
    }
    total
}

/// Plays cases of a promise in this number of processes. The first violation ends all of them,
/// unless the promise continues: then each process gets its next case once it has reported one.
fn play(promise: &Promise, cases: &Cases, processes: usize) -> Total {
    let number = cases.number();
    let workers = processes.min(usize::try_from(number).unwrap_or(processes));
    let (reports, received) = mpsc::channel();
    let mut next = cases.iter();
    let mut children: Vec<Child> = Vec::new();
    for worker in 0..workers {
        let mut child = Command::new(env::current_exe().unwrap())
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        send(&mut child, &serde_json::to_string(&share(promise, cases, worker, workers)).unwrap());
        if promise.continues {
            send_next(&mut child, &mut next);
        }
        let output = BufReader::new(child.stdout.take().unwrap());
        let reports = reports.clone();
        thread::spawn(move || {
            for line in output.lines() {
                let line = line.unwrap_or_default();
                let _ = reports.send((worker, serde_json::from_str::<Report>(&line)));
            }
        });
        children.push(child);
    }
    drop(reports);
    let mut total = Total::default();
    for (worker, report) in received {
        let report = report.unwrap_or_else(|error| Report {
            violations: vec![Violation {
                case: cases.first,
                text: format!("a worker crashed: {error}"),
            }],
            ..Report::default()
        });
        if promise.continues && report.runs > 0 {
            send_next(&mut children[worker], &mut next);
            show(&report, total.runs, number);
        }
        total.runs += report.runs;
        total.has_stopped |= report.has_stopped;
        total.calls += report.calls;
        for (fact, count) in report.facts {
            *total.facts.entry(fact).or_default() += count;
        }
        total.traces.extend(report.traces);
        total.violations.extend(report.violations);
        if !total.violations.is_empty() && !promise.continues {
            break;
        }
    }
    let is_complete = total.runs == number || total.has_stopped;
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
    if total.violations.is_empty() && !is_complete {
        let text = format!("a worker crashed: {} of {number} cases were played", total.runs);
        total.violations.push(Violation { case: cases.first, text });
    }
    total
}

/// The share of a worker. The cases of a promise that continues are sent later, one by one.
fn share(promise: &Promise, cases: &Cases, worker: usize, workers: usize) -> Share {
    Share {
        promise: promise.name.to_owned(),
        first: cases.first + worker as u64 * cases.step,
        end: cases.end,
        step: workers * cases.step as usize,
        seconds: cases.seconds,
        calls: faults::counted_calls(),
        defects: if promise.name == BITES { bites::found_cases() } else { Vec::new() },
    }
}

/// Sends a line to a worker.
fn send(worker: &mut Child, line: &str) {
    let input = worker.stdin.as_mut().unwrap();
    // A worker that crashed is reported by its missing cases.
    let _ = writeln!(input, "{line}");
}

/// Sends its next case to a worker, or ends it.
fn send_next(worker: &mut Child, cases: &mut impl Iterator<Item = u64>) {
    match cases.next() {
        Some(case) => send(worker, &case.to_string()),
        None => drop(worker.stdin.take()),
    }
}

/// Prints the report of a case at once.
#[expect(clippy::print_stdout, reason = "the result of a long run")]
fn show(report: &Report, played: u64, number: u64) {
    for fact in report.facts.keys() {
        println!("{:>4}/{number}  {fact}", played + 1);
    }
    for violation in &report.violations {
        println!("{:>4}/{number}  {}", played + 1, violation.text);
    }
}

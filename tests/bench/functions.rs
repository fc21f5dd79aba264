//! Measures the release builds of the functions that have a budget, and compares them with it.
//!
//! ```text
//! functions --bootstraps target/release --references target/bench/references [get-order …]
//! functions names --bootstraps target/release
//! functions chain --bootstraps target/release
//! functions growth [1000 100000 …]
//! ```
//!
//! The second form checks the look-up of names; see [`name_lookup`]. The third one measures an order
//! through all functions; see [`chain`]. The last one measures every operation in this process, among
//! these numbers of stored orders; see [`growing`].
//!
//! Each function runs as on Lambda: as a process with the Runtime API, over HTTP and over TLS, with
//! an AWS in this process. Starts of functions and references alternate within one run, because
//! CPU times of different machines and hours do not compare. Budgets are therefore ratios to the
//! references, or counts. No budget limits a duration.
//!
//! The output is a table, `target/bench/results.json` and `target/bench/results.svg`. The exit
//! status is 1 if a budget is exceeded.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads its arguments and the real clock, and prints"
)]

mod chain;
mod chart;
mod endpoint;
mod growing;
mod http;
mod measure;
mod name_lookup;
mod name_server;
mod process;
mod program;
mod report;
mod runtime_api;
mod server;
mod settings;
mod trust;

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;
use shared::clock::Clock;
use tests::{
    aws::Aws,
    cost::{Budgets, Costs, Scenario},
    shop::Shop,
    template::root,
};

use self::{
    measure::{Kind, Sample, Subject, Transport},
    program::Program,
    report::{CALLS, Figures, References},
    settings::megabytes,
    trust::Trust,
};

/// Starts of each function over each transport.
const STARTS: usize = 9;
/// Later events of each start.
const LATER: usize = 40;

/// The references, each with the profile that it is built with.
const EMPTY_LOOP: &str = "empty-loop";
const TUNED: &str = "tuned";
const QUICK_START: &str = "quick-start";
/// The tuned reference with several calls an event.
const TUNED_CALLS: &str = "tuned, 4 calls";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Cargo passes `--bench` to every benchmark.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.split_first() {
        Some((command, words)) if command == "names" => name_lookup::run_inside(words),
        Some((command, words)) if command == name_lookup::INSIDE => {
            let arguments = Arguments::parse(words.iter().cloned())?;
            let (bootstraps, nsswitch) = (arguments.bootstraps, arguments.nsswitch);
            name_lookup::run(&name_lookup::Check { bootstraps, nsswitch })
        }
        Some((command, words)) if command == "chain" => {
            chain::run(&Arguments::parse(words.iter().cloned())?.bootstraps)?;
            Ok(ExitCode::SUCCESS)
        }
        Some((command, counts)) if command == "growth" => {
            growing::run(counts)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => benchmark(&Arguments::parse(words.into_iter())?),
    }
}

fn benchmark(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let budgets = Budgets::read();
    let names: Vec<&str> = if arguments.functions.is_empty() {
        budgets.functions.keys().map(String::as_str).collect()
    } else {
        arguments.functions.iter().map(String::as_str).collect()
    };
    if let Some(name) = names.iter().find(|name| !budgets.functions.contains_key(**name)) {
        return Err(format!("tests/bench/budgets.toml has no budget of {name}").into());
    }
    let folder = root().join("target/bench");
    let trust = Trust::create(&folder.join("trust"))?;

    let mut subjects = references(&arguments.references, &trust)?;
    let references = subjects.len();
    let mut links = BTreeMap::new();
    let mut sizes = BTreeMap::new();
    let mut counted = BTreeMap::new();
    for name in &names {
        println!("preparing {name}");
        let program = Program::read(arguments.bootstraps.join(name))?;
        let (scenario, costs) = prepare(name)?;
        links.insert(program.link(), *name);
        sizes.insert((*name).to_owned(), program.zip_megabytes(&folder)?);
        counted.insert(*name, costs);
        subjects.push(function(name, &program, scenario, &trust)?);
    }
    for subject in &subjects[..references] {
        let program = Program::read(subject.programs[0].clone())?;
        sizes.insert(subject.name.clone(), program.zip_megabytes(&folder)?);
    }
    let [link] = links.keys().copied().collect::<Vec<_>>()[..] else {
        return Err("all functions have to be linked in the same way".into());
    };

    let samples = measure_all(&subjects, &trust)?;
    let mut complaints = differences(&samples, &counted);
    let figures: BTreeMap<&str, Figures> = samples
        .iter()
        .map(|(name, samples)| (*name, Figures::new(samples, sizes[*name])))
        .collect();
    let report = Report { link, figures, counted, budgets: &budgets };
    complaints.extend(report.publish(&folder)?);
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("functions: {} measured, {} budgets exceeded", names.len(), complaints.len());
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The arguments of the command.
struct Arguments {
    bootstraps: PathBuf,
    references: PathBuf,
    /// All functions with a budget if it is empty.
    functions: Vec<String>,
    nsswitch: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            bootstraps: root().join("target/release"),
            references: root().join("target/bench/references"),
            functions: Vec::new(),
            nsswitch: None,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bootstraps" | "--references" | "--nsswitch" => {
                    let path = words.next().ok_or_else(|| format!("{word} needs a path"))?;
                    let path = std::env::current_dir().unwrap_or_default().join(path);
                    match word.as_str() {
                        "--bootstraps" => parsed.bootstraps = path,
                        "--references" => parsed.references = path,
                        _ => parsed.nsswitch = Some(path),
                    }
                }
                name if name.starts_with('-') => return Err(format!("unknown option {name}")),
                name => parsed.functions.push(name.to_owned()),
            }
        }
        Ok(parsed)
    }
}

/// Prepares the events of a function and counts its cost, in paused time.
fn prepare(name: &str) -> Result<(Scenario, Costs), Box<dyn Error>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    Ok(runtime.block_on(async {
        let shop = Shop::over(Aws::new(), Clock::System);
        let scenario = Scenario::prepare(name, shop, LATER + 1).await;
        let costs = scenario.costs().await;
        (scenario, costs)
    }))
}

fn function(
    name: &str,
    program: &Program,
    scenario: Scenario,
    trust: &Trust,
) -> Result<Subject, Box<dyn Error>> {
    Ok(Subject {
        name: name.to_owned(),
        programs: [program.path.clone(), trust.copy(name, &program.bytes)?],
        kind: Kind::Function,
        aws: scenario.shop.aws,
        events: scenario.events,
    })
}

/// The references in the folder of their builds.
fn references(folder: &Path, trust: &Trust) -> Result<Vec<Subject>, Box<dyn Error>> {
    let aws = Aws::new();
    let mut subjects = Vec::new();
    for (name, path, calls) in [
        (EMPTY_LOOP, "release/empty-loop", 0),
        (TUNED, "release/tuned", 1),
        (TUNED_CALLS, "release/tuned", CALLS),
        (QUICK_START, "quick-start/quick-start", 1),
    ] {
        let program = Program::read(folder.join(path))?;
        let trusting = match name {
            TUNED | TUNED_CALLS => trust.copy(name, &program.bytes)?,
            _ => program.path.clone(),
        };
        let event = |number: usize| {
            let keys: Vec<String> =
                (0..calls).map(|call| format!("bench-{number}-{call}")).collect();
            json!({ "table": "ferrocart-stock", "keys": keys })
        };
        subjects.push(Subject {
            name: name.to_owned(),
            programs: [program.path, trusting],
            kind: Kind::Reference { roots: trust.bundle()? },
            aws: aws.clone(),
            events: (0..=LATER).map(event).collect(),
        });
    }
    Ok(subjects)
}

type Samples<'a> = BTreeMap<&'a str, Vec<(Transport, Sample)>>;

/// Starts every subject several times. Each round begins with another one.
fn measure_all<'a>(subjects: &'a [Subject], trust: &Trust) -> Result<Samples<'a>, Box<dyn Error>> {
    let tls = trust.server()?;
    let mut samples = Samples::new();
    for round in 0..STARTS {
        println!("round {} of {STARTS}", round + 1);
        for index in 0..subjects.len() {
            let subject = &subjects[(index + round) % subjects.len()];
            for transport in [Transport::Http, Transport::Tls] {
                let sample = subject.start(transport, &tls)?;
                samples.entry(&subject.name).or_default().push((transport, sample));
            }
        }
    }
    Ok(samples)
}

/// Compares the calls of the processes with those counted in memory.
fn differences(samples: &Samples<'_>, counted: &BTreeMap<&str, Costs>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, costs) in counted {
        for (_, sample) in &samples[name] {
            let made = (sample.cold_calls as f64, sample.warm_calls as f64);
            if made != (costs.cold.calls, costs.warm.calls) {
                complaints.push(format!(
                    "{name}: the process made {made:?} calls, cold and warm, and in memory it made ({}, {})",
                    costs.cold.calls, costs.warm.calls
                ));
                break;
            }
        }
    }
    complaints
}

/// Everything that a run has found.
struct Report<'a> {
    link: &'static str,
    figures: BTreeMap<&'a str, Figures>,
    counted: BTreeMap<&'a str, Costs>,
    budgets: &'a Budgets,
}

impl Report<'_> {
    /// Prints the table and writes the files. Returns a sentence for each exceeded budget.
    fn publish(mut self, folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
        let mut measured = BTreeMap::new();
        for name in self.counted.keys() {
            measured.extend(self.figures.remove_entry(name));
        }
        let figures = |name| &self.figures[name];
        let references = References {
            empty_loop: figures(EMPTY_LOOP),
            tuned: figures(TUNED),
            tuned_calls: figures(TUNED_CALLS),
        };
        let mut functions = BTreeMap::new();
        for (name, figures) in measured {
            let costs = self.counted[name];
            let function = references.relate(name, figures, costs, self.budgets, megabytes(name));
            functions.insert(name, function);
        }

        let of_references: BTreeMap<&str, &Figures> =
            self.figures.iter().map(|(name, figures)| (*name, figures)).collect();
        println!("\n{}\n", report::table(&of_references, &functions));
        let title = format!(
            "Functions on {}, linked {}ally, and references",
            std::env::consts::ARCH,
            self.link
        );
        let rows: Vec<(&str, &Figures)> = of_references
            .iter()
            .map(|(name, figures)| (*name, *figures))
            .chain(functions.iter().map(|(name, function)| (*name, &function.figures)))
            .collect();
        std::fs::write(folder.join("results.svg"), chart::draw(&rows, &title))?;
        let results = json!({
            "architecture": std::env::consts::ARCH,
            "link": self.link,
            "starts": STARTS,
            "later_events": LATER,
            "references": of_references,
            "functions": functions,
        });
        std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(&results)?)?;

        let limits = &self.budgets.limits[self.link];
        let complaints = functions
            .iter()
            .flat_map(|(name, function)| function.complaints(name, self.budgets, limits));
        Ok(complaints.collect())
    }
}

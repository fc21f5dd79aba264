//! The cost of every operation with 1,000, 100,000 and 1,000,000 stored orders.

use std::{collections::BTreeMap, error::Error};

use tests::{
    growth::{self, Figures, GROWING, Invocations, SWEEPS, Stored},
    shop::operation_names,
};

/// Numbers of stored orders, unless others are given.
const STORED: [usize; 3] = [1_000, 100_000, 1_000_000];
/// The most due records, and orders of another customer: few operations are compared among them.
const MOST_OTHERS: usize = 100_000;
/// Runs of each operation, of which the shortest counts.
const RUNS: usize = 5;

/// Prints the table. Fails if the calls, units or rows of an operation depend on the records.
pub(crate) fn run(counts: &[String]) -> Result<(), Box<dyn Error>> {
    let counts: Vec<usize> = match counts {
        [] => STORED.to_vec(),
        counts => counts.iter().map(|count| count.parse()).collect::<Result<_, _>>()?,
    };
    let growing: Vec<&str> = GROWING.iter().map(|(name, _)| *name).collect();
    let names = || operation_names().into_iter().filter(|name| !growing.contains(&name.as_str()));
    let mut rows: BTreeMap<String, Row> = names().map(|name| (name, Row::default())).collect();
    let (mut pages, mut complaints) = (BTreeMap::<String, Row>::new(), Vec::new());
    for &count in &counts {
        let others = count.min(MOST_OTHERS);
        for is_own in [true, false] {
            let stored = paused()?.block_on(async {
                if is_own {
                    Stored::of_customer(count).await
                } else {
                    Stored::of_others(others).await
                }
            });
            println!("{count} orders: {} items, {:.1} GB", stored.items(), resident_gigabytes());
            for (name, row) in rows.iter_mut().filter(|(name, _)| stored.is_for(name)) {
                let invocations = paused()?.block_on(Invocations::of(name));
                let figures = paused()?.block_on(invocations.among(&stored))?;
                row.times.push(paused()?.block_on(invocations.microseconds_among(&stored, RUNS)));
                complaints.extend(row.take(name, figures));
            }
        }
        let due = paused()?.block_on(Stored::due(others));
        for name in SWEEPS {
            let figures = paused()?.block_on(growth::page_of_sweep(name, &due));
            let row = pages.entry(format!("{name}, a page")).or_default();
            complaints.extend(row.take(name, vec![figures]));
        }
    }
    let head: Vec<String> = counts.iter().map(|count| format!("{count:>9}")).collect();
    let head = head.join(" ");
    println!("\n{:26} {:>5} {:>5} {:>7} {:>5} {head}", "", "calls", "rows", "read", "write");
    for (name, row) in rows.iter().chain(&pages) {
        let Some(Figures { cost, rows }) = row.figures.last() else { continue };
        let times = row.times.iter().map(|time| format!("{time:>9}")).collect::<Vec<_>>().join(" ");
        println!(
            "{name:26} {:>5} {rows:>5} {:>7} {:>5} {times}",
            cost.calls, cost.read_units, cost.write_units
        );
    }
    println!("\nThe last columns are microseconds of CPU time, with the in-memory AWS.");
    for (name, reason) in GROWING {
        println!("{name} is left out: it {reason}.");
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

/// The figures of an operation, which are the same among all records, and its CPU times.
#[derive(Default)]
struct Row {
    figures: Vec<Figures>,
    times: Vec<u64>,
}

impl Row {
    /// Adds figures. Returns a sentence if they differ from the earlier ones.
    fn take(&mut self, name: &str, figures: Vec<Figures>) -> Option<String> {
        if self.figures.is_empty() {
            self.figures = figures;
            return None;
        }
        let is_equal = self.figures == figures;
        (!is_equal).then(|| format!("{name}: {:?} became {figures:?}", self.figures))
    }
}

/// A runtime whose clock moves only while nothing runs.
fn paused() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
}

/// The resident memory of this process: `VmRSS` (proc_pid_status(5)).
fn resident_gigabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|text| text.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<f64>().ok()).unwrap_or_default() / 1e6
}

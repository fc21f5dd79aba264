//! Defects of the shop, each of which a promise must notice: a condition that always holds, a write
//! that is left out, an idempotency key that does not arrive at the provider, a charge that is not
//! voided there.
//!
//! The defects are made in the requests of the shop, so they need no build. Each kind of write has
//! two of them. A defect is played only in runs that it can change: those with such a write, or with
//! such a condition that fails.

use std::{
    collections::BTreeMap,
    future::Future,
    num::NonZero,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde::{Deserialize, Serialize};
use tests::{
    dynamodb::{Change, Defect, Kinds},
    provider::ProviderDefect,
};
use tokio::task::LocalSet;

use crate::{
    faults,
    promises::Outcome,
    schedule,
    stage::{Deviation, deviate, record, recorded},
    stories::STORIES,
};

/// Schedules that are played with defects.
const SCHEDULES: u64 = 120;
/// Races that are played with defects.
const RACES: u64 = 3000;
/// Every n-th single fault is played with defects.
const EVERY_FAULT: usize = 11;
/// The most schedules and single faults that are played with one defect.
const MOST_RUNS: usize = 20;
/// The most races that are played with one defect: they are cheap, and each has another order.
const MOST_RACES: usize = 150;
/// The length of a rule in the table.
const MOST_CHARACTERS: usize = 120;

/// Defects that change nothing a client, a buyer or an operator sees, each with the reason in the
/// line below it.
const HARMLESS: &str = include_str!("harmless.txt");

/// A run that notices defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Run {
    Story(u64),
    Schedule(u64),
    Fault(u64),
    Race(u64),
}

impl Run {
    /// The promise that the run is a case of, and its number.
    fn case(self) -> (&'static str, u64) {
        match self {
            Self::Story(case) => ("stories", case),
            Self::Schedule(case) => ("simulation", case),
            Self::Fault(case) => ("faults", case),
            Self::Race(seed) => ("races", seed),
        }
    }

    async fn play(self) {
        match self {
            Self::Story(story) => drop(faults::story(story as usize).await),
            Self::Schedule(seed) => drop(schedule::play(seed).await),
            Self::Fault(case) => drop(faults::single(case).await),
            Self::Race(seed) => drop(faults::race(seed).await),
        }
    }
}

/// A defect, and the runs that it can change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    defect: Deviation,
    runs: Vec<Run>,
}

/// The defects, from runs without any.
static CASES: OnceLock<Vec<Case>> = OnceLock::new();

/// The defects if this process has found them, otherwise nothing.
pub fn found_cases() -> Vec<Case> {
    CASES.get().cloned().unwrap_or_default()
}

/// Takes over the defects that another process has found.
pub fn set_cases(cases: Vec<Case>) {
    if !cases.is_empty() {
        let _ = CASES.set(cases);
    }
}

/// The number of defects, which are found once.
pub fn cases() -> u64 {
    CASES.get_or_init(find).len() as u64
}

/// Plays all runs without a defect. Their writes have the defects.
fn find() -> Vec<Case> {
    let faults = (0..faults::singles()).step_by(EVERY_FAULT).map(Run::Fault);
    let stories = (0..STORIES.len() as u64).map(Run::Story);
    let (schedules, races) = ((0..SCHEDULES).map(Run::Schedule), (0..RACES).map(Run::Race));
    let runs: Vec<Run> = stories.chain(schedules).chain(faults).chain(races).collect();

    // The runs with a kind of write, and those in which the condition of one fails.
    let mut written: BTreeMap<String, (Vec<Run>, Vec<Run>)> = BTreeMap::new();
    for (run, kinds) in play_all(&runs) {
        for (kind, has_failed) in kinds {
            let (all, failed) = written.entry(kind).or_default();
            all.push(run);
            if has_failed {
                failed.push(run);
            }
        }
    }

    let of_provider =
        [ProviderDefect::NoChargeKeys, ProviderDefect::NoRefundKeys, ProviderDefect::NoVoids];
    let mut cases: Vec<Case> = of_provider
        .map(|defect| Case { defect: Deviation::Provider(defect), runs: chosen(&runs) })
        .into();
    for (writes, (all, failed)) in written {
        let mut add = |change, runs: &[Run]| {
            let defect = Deviation::Write(Defect { writes: writes.clone(), change });
            cases.push(Case { defect, runs: chosen(runs) });
        };
        if !writes.starts_with("Check ") {
            add(Change::LeftOut, &all);
        }
        if writes.contains(" IF ") {
            add(Change::Unconditional, &failed);
        }
    }
    cases
}

/// Plays runs, and records their writes.
fn play_all(runs: &[Run]) -> BTreeMap<Run, Kinds> {
    let next = AtomicU64::new(0);
    let work = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let mut found = Vec::new();
        record(true);
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            runtime.block_on(run.play());
            found.push((*run, recorded()));
        }
        found
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let found = workers.into_iter().map(|worker| worker.join());
        found
            .flat_map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// The runs that are played: all stories, then some schedules, faults and races.
fn chosen(runs: &[Run]) -> Vec<Run> {
    let of = |kind: fn(&Run) -> bool| runs.iter().copied().filter(kind);
    let some = |kind: fn(&Run) -> bool, most: usize| {
        let step = of(kind).count().div_ceil(most).max(1);
        of(kind).step_by(step)
    };
    of(|run| matches!(run, Run::Story(_)))
        .chain(some(|run| matches!(run, Run::Schedule(_)), MOST_RUNS))
        .chain(some(|run| matches!(run, Run::Fault(_)), MOST_RUNS))
        .chain(some(|run| matches!(run, Run::Race(_)), MOST_RACES))
        .collect()
}

/// What notices a defect: a run, and the rule that it finds broken.
struct Notice {
    run: Run,
    rule: String,
}

/// Makes a defect, and plays runs until one notices it.
pub async fn case(number: u64) -> Outcome {
    let Case { defect, runs } = CASES.get_or_init(find)[number as usize].clone();
    let name = match &defect {
        Deviation::Write(defect) => format!("{:?}: {}", defect.change, defect.writes),
        Deviation::Provider(defect) => format!("{defect:?}"),
    };
    let notice = LocalSet::new().run_until(noticed_by(&defect, &runs)).await;
    deviate(None);
    let played = runs.len();
    let fact = match (notice, harmless(&name)) {
        (Some(Notice { run, rule }), None) => {
            let (promise, case) = run.case();
            format!("{name}\n           PROMISE={promise} CASE={case}: {rule}")
        }
        (None, Some(reason)) => format!("{name}\n           harmless: {reason}"),
        (None, None) => panic!("none of {played} runs notices a defect: {name}"),
        (Some(Notice { run, rule }), Some(_)) => {
            panic!("{run:?} notices a defect that is listed as harmless: {name}\n{rule}")
        }
    };
    Outcome { facts: vec![fact], ..Outcome::default() }
}

/// The reason why a defect is harmless, if it is listed.
fn harmless(name: &str) -> Option<&'static str> {
    let mut lines = HARMLESS.lines();
    lines.find(|line| *line == name)?;
    lines.next().map(str::trim)
}

/// The first run that notices a defect.
async fn noticed_by(defect: &Deviation, runs: &[Run]) -> Option<Notice> {
    for run in runs {
        if let Some(rule) = broken(defect, run.play()).await {
            return Some(Notice { run: *run, rule });
        }
    }
    None
}

/// The rule that a run with this defect finds broken.
async fn broken(defect: &Deviation, run: impl Future<Output = ()> + 'static) -> Option<String> {
    deviate(Some(defect.clone()));
    let panic = tokio::task::spawn_local(run).await.err()?.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Some(text.lines().next().unwrap_or_default().chars().take(MOST_CHARACTERS).collect())
}

//! The runs in which a defect can be noticed, from a recording of runs without defects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use serde::{Deserialize, Serialize};
use tests::{
    aws::Fault,
    dynamodb::{Change, Defect, WriteRequest},
    provider::ProviderDefect,
};

use super::Case;
use crate::{
    faults, schedule,
    stage::{Deviation, record, recorded},
    stories::STORIES,
};

/// Schedules that are recorded.
const SCHEDULES: u64 = 160;
/// Races that are recorded. They are cheap, and each has a different order of calls.
const RACES: u64 = 1500;
/// Every n-th single fault is recorded.
const EVERY_FAULT: usize = 11;

/// The most faults at the calls of a write that are played with its defect.
const MOST_OWN_FAULTS: usize = 36;
/// The most other runs of each kind that are played with one defect.
const MOST_FAULTS: usize = 20;
const MOST_RACES: usize = 80;
const MOST_SCHEDULES: usize = 24;

/// The table of the simulated provider. Its writes are not those of the shop: the contract of all
/// providers tests them.
const PROVIDER: &str = "payment-simulator ";

/// A run that notices defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Run {
    Story(u64),
    Fault(u64),
    Race(u64),
    Schedule(u64),
}

impl fmt::Display for Run {
    /// The promise that the run is a case of, and its number.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Story(case) => write!(formatter, "PROMISE=stories CASE={case}"),
            Self::Fault(case) => write!(formatter, "PROMISE=faults CASE={case}"),
            Self::Race(seed) => write!(formatter, "PROMISE=races CASE={seed}"),
            Self::Schedule(seed) => write!(formatter, "PROMISE=simulation CASE={seed}"),
        }
    }
}

impl Run {
    pub(super) async fn play(self) {
        match self {
            Self::Story(story) => drop(faults::story(story as usize).await),
            Self::Fault(case) => faults::defective(case).await,
            Self::Race(seed) => drop(faults::race(seed).await),
            Self::Schedule(seed) => drop(schedule::play(seed).await),
        }
    }
}

/// The runs in which a kind of write occurs.
#[derive(Default)]
struct Occurrences {
    /// All runs with the write.
    runs: BTreeSet<Run>,
    /// The runs in which a condition fails, of this write or of another one in its transaction.
    failed: BTreeSet<Run>,
    /// The stories and the calls of the write in them.
    calls: BTreeSet<(u64, usize)>,
}

/// Plays runs without a defect. Their writes have the defects.
pub(super) fn find() -> Vec<Case> {
    let faults = (0..faults::singles()).step_by(EVERY_FAULT).map(Run::Fault);
    let stories = (0..STORIES.len() as u64).map(Run::Story);
    let (schedules, races) = ((0..SCHEDULES).map(Run::Schedule), (0..RACES).map(Run::Race));
    // The longest runs come first, so that all cores end at the same time.
    let runs: Vec<Run> = schedules.chain(faults).chain(stories).chain(races).collect();

    let mut written: BTreeMap<String, Occurrences> = BTreeMap::new();
    for (run, requests) in play_all(&runs) {
        for WriteRequest { call, kinds, has_failed } in requests {
            for kind in kinds.into_iter().filter(|kind| !kind.starts_with(PROVIDER)) {
                let occurrences = written.entry(kind).or_default();
                occurrences.runs.insert(run);
                if has_failed {
                    occurrences.failed.insert(run);
                }
                if let Run::Story(story) = run {
                    occurrences.calls.insert((story, call));
                }
            }
        }
    }

    let of_provider =
        [ProviderDefect::NoChargeKeys, ProviderDefect::NoRefundKeys, ProviderDefect::NoVoids];
    let all = runs.into_iter().collect();
    let mut cases: Vec<Case> = of_provider
        .map(|defect| Case { defect: Deviation::Provider(defect), runs: chosen(&all, Vec::new()) })
        .into();
    for (writes, Occurrences { runs, failed, calls }) in written {
        let mut add = |change, runs| {
            let defect = Deviation::Write(Defect { writes: writes.clone(), change });
            cases.push(Case { defect, runs });
        };
        // A condition fails when its write is repeated. A check alone changes nothing.
        if writes.contains(" IF ") {
            add(Change::Unconditional, chosen(&failed, faults_at(&calls, &REPEATING)));
        }
        if !writes.contains(" (checked)") {
            add(Change::LeftOut, chosen(&runs, faults_at(&calls, &faults::FAULTS)));
        }
    }
    cases
}

/// The faults after which the same write is sent again.
const REPEATING: [Fault; 2] = [Fault::LoseResponse, Fault::CrashAfter];

/// Some of these faults at the calls of a write.
fn faults_at(calls: &BTreeSet<(u64, usize)>, faults: &[Fault]) -> Vec<Run> {
    let at = |(story, call): &(u64, usize)| faults::singles_at(*story as usize, *call);
    let cases = calls.iter().flat_map(at).filter(|(fault, _)| faults.contains(fault));
    spread(&cases.map(|(_, case)| Run::Fault(case)).collect::<Vec<_>>(), MOST_OWN_FAULTS)
}

/// Plays runs, and records their writes.
fn play_all(runs: &[Run]) -> BTreeMap<Run, Vec<WriteRequest>> {
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

/// The runs that are played, in this order: all stories, faults at the calls of the write, and some
/// of the recorded faults, races and schedules.
fn chosen(runs: &BTreeSet<Run>, at_its_calls: Vec<Run>) -> Vec<Run> {
    let of = |kind: fn(&Run) -> bool| runs.iter().copied().filter(kind).collect::<Vec<_>>();
    let stories = of(|run| matches!(run, Run::Story(_)));
    let faults = spread(&of(|run| matches!(run, Run::Fault(_))), MOST_FAULTS);
    let races = spread(&of(|run| matches!(run, Run::Race(_))), MOST_RACES);
    let schedules = spread(&of(|run| matches!(run, Run::Schedule(_))), MOST_SCHEDULES);
    [stories, at_its_calls, faults, races, schedules].concat()
}

/// At most this many of the runs, from all parts of the list.
fn spread(runs: &[Run], most: usize) -> Vec<Run> {
    let number = runs.len().min(most);
    (0..number).map(|chosen| runs[chosen * runs.len() / number]).collect()
}

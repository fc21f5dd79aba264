//! Defects of the shop, each of which a promise must notice: conditions that always hold, a write
//! that is left out, an idempotency key that does not arrive at the provider, a charge that is not
//! voided there.
//!
//! The defects are injected into the requests of the shop, so they need no build. Runs without a
//! defect are recorded first. A defect is then played in the runs that it can change, until one of
//! them notices it: stories first, then faults at its own calls, then recorded faults, races and
//! schedules. Their number is bounded.

mod harmless;
mod runs;

use std::{future::Future, sync::OnceLock, time::Instant};

use serde::{Deserialize, Serialize};
use tests::{
    dynamodb::{Change, Defect},
    provider::ProviderDefect,
};
use tokio::task::LocalSet;

use self::runs::Run;
use crate::{
    promises::Outcome,
    stage::{Deviation, deviate, effects},
};

/// The length of a rule in the table.
const MOST_CHARACTERS: usize = 120;

/// A defect, and the runs that it can change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    defect: Deviation,
    runs: Vec<Run>,
}

impl Case {
    /// The name of the defect, which is that of its entry in `harmless.txt`.
    fn name(&self) -> String {
        match &self.defect {
            Deviation::Write(Defect { writes, change: Change::Unconditional }) => {
                format!("without conditions: {writes}")
            }
            Deviation::Write(Defect { writes, change: Change::LeftOut }) => {
                format!("left out: {writes}")
            }
            Deviation::Provider(defect) => match defect {
                ProviderDefect::NoChargeKeys => "provider: charges without idempotency keys",
                ProviderDefect::NoRefundKeys => "provider: refunds without idempotency keys",
                ProviderDefect::NoVoids => "provider: charges are not voided",
            }
            .to_owned(),
        }
    }
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

/// All defects. The runs that find them are played once per process.
fn all() -> &'static [Case] {
    CASES.get_or_init(runs::find)
}

/// The number of defects, and one case for the list of harmless ones.
pub fn cases() -> u64 {
    all().len() as u64 + 1
}

/// The numbers of the defects whose name contains this text.
pub fn named(text: &str) -> Vec<u64> {
    (0..)
        .zip(all())
        .filter(|(_, case)| case.name().contains(text))
        .map(|(number, _)| number)
        .collect()
}

/// What notices a defect: a run, and the rule that it finds broken.
struct Notice {
    run: Run,
    rule: String,
}

/// The runs that were played with a defect.
#[derive(Default)]
struct Played {
    runs: usize,
    /// Those whose writes the defect has changed.
    changed: usize,
    notice: Option<Notice>,
}

/// Injects a defect, and plays runs until one notices it. The case after the last one checks the
/// list of harmless defects.
pub async fn case(number: u64) -> Outcome {
    let started = Instant::now();
    let Some(case) = all().get(number as usize) else { return listed() };
    let played = LocalSet::new().run_until(play(case)).await;
    deviate(None);
    let (name, seconds) = (case.name(), started.elapsed().as_secs_f64());
    let Played { runs, changed, notice } = played;
    let cost = format!("CASE={number}, {seconds:.1} s, {runs} runs");
    let fact = match (notice, harmless::reason(&name)) {
        (Some(Notice { run, rule }), None) => format!("{name}\n           {cost}; {run}: {rule}"),
        (None, Some(reason)) => {
            format!("{name}\n           {cost}, {changed} of them changed; harmless: {reason}")
        }
        (None, None) => panic!("not noticed: {name}\n{cost}, {changed} of them changed"),
        (Some(Notice { run, rule }), Some(_)) => {
            panic!("noticed, but listed as harmless: {name}\n{cost}; {run}: {rule}")
        }
    };
    Outcome { facts: vec![fact], ..Outcome::default() }
}

/// Checks that each defect that is listed as harmless exists.
fn listed() -> Outcome {
    let names: Vec<String> = all().iter().map(Case::name).collect();
    let unknown = harmless::names().filter(|name| !names.iter().any(|other| other == name));
    let unknown: Vec<&str> = unknown.collect();
    assert!(unknown.is_empty(), "listed as harmless, but no write has it:\n{}", unknown.join("\n"));
    Outcome::default()
}

/// Plays the runs of a defect until one notices it.
async fn play(case: &Case) -> Played {
    let mut played = Played::default();
    for run in &case.runs {
        let rule = broken(&case.defect, run.play()).await;
        played.runs += 1;
        played.changed += usize::from(effects() > 0);
        if let Some(rule) = rule {
            played.notice = Some(Notice { run: *run, rule });
            break;
        }
    }
    played
}

/// The rule that a run with this defect finds broken.
async fn broken(defect: &Deviation, run: impl Future<Output = ()> + 'static) -> Option<String> {
    deviate(Some(defect.clone()));
    let panic = tokio::task::spawn_local(run).await.err()?.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Some(text.lines().next().unwrap_or_default().chars().take(MOST_CHARACTERS).collect())
}

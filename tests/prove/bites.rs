//! Defects of the shop, each of which a promise must notice: a condition that always holds, a write
//! that is left out, an idempotency key that does not arrive at the provider, a charge that is not
//! voided there.
//!
//! The defects are made in the requests of the shop, so they need no build. Each kind of write that
//! the stories and some schedules make has two of them.

use std::{collections::BTreeSet, future::Future, sync::LazyLock};

use tests::{
    dynamodb::{Change, Defect},
    provider::ProviderDefect,
};
use tokio::task::LocalSet;

use crate::{
    faults,
    promises::Outcome,
    schedule,
    stage::{Deviation, deviate},
    stories::STORIES,
};

/// Schedules whose writes have a defect.
const RECORDED: u64 = 20;
/// Schedules that are played with each defect until one notices it.
const SCHEDULES: u64 = 80;
/// Every n-th single fault is played with each defect.
const EVERY_FAULT: usize = 17;
/// The length of a rule in the table.
const MOST_CHARACTERS: usize = 120;

/// Defects that change nothing a client, a buyer or an operator sees, each with the reason.
const HARMLESS: &[(&str, &str)] = &[];

/// The defects, from a run without any.
static DEFECTS: LazyLock<Vec<Deviation>> = LazyLock::new(|| {
    let record = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut kinds = BTreeSet::new();
            for story in STORIES {
                let mut stage = story.stage("recorded").await;
                stage.shop.aws.database().record_kinds();
                story.play(&mut stage).await;
                kinds.extend(stage.shop.aws.database().kinds());
            }
            for seed in 0..RECORDED {
                kinds.extend(schedule::kinds(seed).await);
            }
            kinds
        })
    };
    let kinds =
        std::thread::spawn(record).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let of_provider =
        [ProviderDefect::NoChargeKeys, ProviderDefect::NoRefundKeys, ProviderDefect::NoVoids];
    let mut defects: Vec<Deviation> = of_provider.map(Deviation::Provider).into();
    for writes in kinds {
        if !writes.starts_with("Check ") {
            let defect = Defect { writes: writes.clone(), change: Change::LeftOut };
            defects.push(Deviation::Write(defect));
        }
        if writes.contains(" IF ") {
            defects.push(Deviation::Write(Defect { writes, change: Change::Unconditional }));
        }
    }
    defects
});

/// The number of defects.
pub fn cases() -> u64 {
    DEFECTS.len() as u64
}

/// What notices a defect: a case of a promise, and the rule that it finds broken.
struct Notice {
    promise: &'static str,
    case: u64,
    rule: String,
}

/// Makes a defect, and plays stories, schedules and faults until one notices it.
pub async fn case(number: u64) -> Outcome {
    let defect = DEFECTS[number as usize].clone();
    let name = match &defect {
        Deviation::Write(defect) => format!("{:?}: {}", defect.change, defect.writes),
        Deviation::Provider(defect) => format!("{defect:?}"),
    };
    let notice = LocalSet::new().run_until(noticed_by(&defect)).await;
    deviate(None);
    let harmless = HARMLESS.iter().find(|(defect, _)| *defect == name);
    let fact = match (notice, harmless) {
        (Some(Notice { promise, case, rule }), None) => {
            format!("{name}\n           PROMISE={promise} CASE={case}: {rule}")
        }
        (None, Some((_, reason))) => format!("{name}\n           harmless: {reason}"),
        (None, None) => panic!("a defect is not noticed: {name}"),
        (Some(Notice { promise, case, rule }), Some(_)) => {
            panic!("{promise} {case} notices a defect listed as harmless: {name}\n{rule}")
        }
    };
    Outcome { facts: vec![fact], ..Outcome::default() }
}

/// The first run that notices a defect.
async fn noticed_by(defect: &Deviation) -> Option<Notice> {
    for case in 0..STORIES.len() as u64 {
        if let Some(rule) = broken(defect, faults::story(case as usize)).await {
            return Some(Notice { promise: "stories", case, rule });
        }
    }
    for case in 0..SCHEDULES {
        if let Some(rule) = broken(defect, schedule::play(case)).await {
            return Some(Notice { promise: "simulation", case, rule });
        }
    }
    for case in (0..faults::singles()).step_by(EVERY_FAULT) {
        if let Some(rule) = broken(defect, faults::single(case)).await {
            return Some(Notice { promise: "faults", case, rule });
        }
    }
    None
}

/// The rule that a run with this defect finds broken.
async fn broken<T: 'static>(
    defect: &Deviation,
    run: impl Future<Output = T> + 'static,
) -> Option<String> {
    deviate(Some(defect.clone()));
    let panic = tokio::task::spawn_local(run).await.err()?.into_panic();
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Some(text.lines().next().unwrap_or_default().chars().take(MOST_CHARACTERS).collect())
}

//! Defects of the shop, each of which a promise must notice: a condition that always holds, a write
//! that is left out, an idempotency key that does not arrive at the provider.
//!
//! The defects are made in the requests of the shop, so they need no build. Each kind of write that
//! the stories and some schedules make has two of them.

use std::{collections::BTreeSet, future::Future, sync::LazyLock};

use tests::dynamodb::{Change, Defect};
use tokio::task::LocalSet;

use crate::{
    faults,
    promises::Outcome,
    schedule,
    stage::{Deviation, deviate},
    stories::STORIES,
};

/// Schedules whose writes have a defect.
const RECORDED: u64 = 30;
/// Schedules that are played with each defect until one notices it.
const SCHEDULES: u64 = 80;
/// Every n-th single fault is played with each defect.
const EVERY_FAULT: usize = 17;

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
    let mut defects = vec![Deviation::NoProviderKeys];
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

/// Makes a defect, and plays stories, schedules and faults until one notices it.
pub async fn case(number: u64) -> Outcome {
    let defect = DEFECTS[number as usize].clone();
    let name = match &defect {
        Deviation::Write(defect) => format!("{:?}: {}", defect.change, defect.writes),
        Deviation::NoProviderKeys => "idempotency keys do not arrive at the provider".to_owned(),
    };
    let noticed = LocalSet::new().run_until(noticed_by(&defect)).await;
    deviate(None);
    let harmless = HARMLESS.iter().find(|(defect, _)| *defect == name);
    let fact = match (noticed, harmless) {
        (Some(by), None) => format!("noticed by {by}: {name}"),
        (None, Some((_, reason))) => format!("harmless, {reason}: {name}"),
        (None, None) => panic!("a defect is not noticed: {name}"),
        (Some(by), Some(_)) => panic!("a defect listed as harmless is noticed by {by}: {name}"),
    };
    Outcome { calls: 0, facts: vec![fact] }
}

/// The first run that notices a defect.
async fn noticed_by(defect: &Deviation) -> Option<String> {
    for (number, story) in STORIES.iter().enumerate() {
        if fails(defect, faults::story(number)).await {
            return Some(format!("the story \"{}\"", story.name));
        }
    }
    for seed in 0..SCHEDULES {
        if fails(defect, schedule::play(seed)).await {
            return Some(format!("the schedule {seed}"));
        }
    }
    for case in (0..faults::singles()).step_by(EVERY_FAULT) {
        if fails(defect, faults::single(case)).await {
            return Some(format!("the fault {case}"));
        }
    }
    None
}

/// Whether a run panics with this defect.
async fn fails<T: 'static>(defect: &Deviation, run: impl Future<Output = T> + 'static) -> bool {
    deviate(Some(defect.clone()));
    tokio::task::spawn_local(run).await.is_err()
}

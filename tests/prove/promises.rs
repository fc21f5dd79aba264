//! The promises, and how many cases of each are played.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use crate::{
    bites, faults,
    schedule::{self, releases},
    stage::NOT_SENT_AGAIN,
    stories::STORIES,
};

/// The outcome of one case.
#[derive(Default)]
pub struct Outcome {
    /// The number of AWS calls.
    pub calls: usize,
    /// What happened, to be counted over all cases.
    pub facts: Vec<String>,
}

/// A promise, and the cases that prove it.
pub struct Promise {
    /// The name for `PROMISE=`.
    pub name: &'static str,
    pub text: &'static str,
    /// The number of cases in the short form, and in the full form.
    pub cases: fn() -> (u64, u64),
    /// Whether other cases are played every night.
    pub is_random: bool,
    /// Plays one case. It panics with the violation.
    pub play: fn(u64) -> Pin<Box<dyn Future<Output = Outcome>>>,
    /// Facts with this ending that must have happened, and how often in the short form. Without
    /// them the promise is proved for the wrong cases.
    pub least: Option<(&'static str, u64)>,
}

/// Schedules that once sent a charge after its order was cancelled: the payment deadline had passed,
/// or the provider was unreachable at the cancellation.
const CHARGED_TOO_LATE: [u64; 2] = [23, 32];

pub const PROMISES: &[Promise] = &[
    Promise {
        name: "repeatable",
        text: "the same seed plays the same schedule",
        cases: || (20, 1000),
        is_random: false,
        play: |seed| Box::pin(repeatable(seed)),
        least: None,
    },
    Promise {
        name: "regressions",
        text: "a charge is not sent after its order is cancelled",
        cases: || (CHARGED_TOO_LATE.len() as u64, CHARGED_TOO_LATE.len() as u64),
        is_random: false,
        play: |case| Box::pin(settles(CHARGED_TOO_LATE[case as usize])),
        least: None,
    },
    Promise {
        name: "simulation",
        text: "orders are never lost, stuck, oversold or charged twice",
        cases: || (10_000, 1_000_000),
        is_random: true,
        play: |seed| Box::pin(settles(seed)),
        least: Some((NOT_SENT_AGAIN, 400)),
    },
    Promise {
        name: "stories",
        text: "ten stories end as they are named",
        cases: || (STORIES.len() as u64, STORIES.len() as u64),
        is_random: false,
        play: |number| Box::pin(faults::story(number as usize)),
        least: None,
    },
    Promise {
        name: "faults",
        text: "every fault at every AWS call is survivable",
        cases: || (faults::singles(), faults::singles()),
        is_random: false,
        play: |case| Box::pin(faults::single(case)),
        least: None,
    },
    Promise {
        name: "pairs",
        text: "two faults in one order are survivable (sampled)",
        cases: || (2000, 0),
        is_random: true,
        play: |seed| Box::pin(faults::sampled_pair(seed)),
        least: None,
    },
    Promise {
        name: "all-pairs",
        text: "every two faults in one order are survivable",
        cases: || (0, faults::pairs()),
        is_random: false,
        play: |case| Box::pin(faults::pair(case)),
        least: None,
    },
    Promise {
        name: "upgrade",
        text: "two releases run in one shop, and a rollback loses nothing",
        cases: || if releases::program().is_some() { (1000, 50_000) } else { (0, 0) },
        is_random: true,
        play: |seed| Box::pin(mixed(seed)),
        least: Some((releases::LEFT_FOR_LATER, 100)),
    },
    Promise {
        name: "bites",
        text: "every defect of a write or a provider key is noticed",
        cases: || (0, bites::cases()),
        is_random: false,
        play: |case| Box::pin(bites::case(case)),
        least: None,
    },
];

/// The promise of this name.
pub fn promise(name: &str) -> Option<&'static Promise> {
    PROMISES.iter().find(|promise| promise.name == name)
}

/// Counts facts.
pub type Facts = BTreeMap<String, u64>;

async fn settles(seed: u64) -> Outcome {
    let played = schedule::play(seed).await;
    Outcome { calls: played.calls, facts: played.ends }
}

async fn mixed(seed: u64) -> Outcome {
    let played = releases::play(seed).await;
    Outcome { calls: played.calls, facts: played.ends }
}

async fn repeatable(seed: u64) -> Outcome {
    let (one, other) = (schedule::play(seed).await, schedule::play(seed).await);
    let differs = one.trace.lines().zip(other.trace.lines()).find(|(one, other)| one != other);
    assert!(
        one.trace == other.trace && one.calls == other.calls,
        "SEED={seed} played {} and {} calls. The traces differ here:\n{differs:#?}",
        one.calls,
        other.calls
    );
    Outcome { calls: one.calls + other.calls, facts: Vec::new() }
}

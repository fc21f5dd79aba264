//! The promises, and how many cases of each are played.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use crate::{
    bites, faults,
    schedule::{self, met, releases},
    stage::NOT_SENT_AGAIN,
    stories::STORIES,
};

/// How many cases of a promise are played.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A hundredth of the short form.
    Sample,
    Short,
    Full,
}

impl Scale {
    /// The number of cases of a promise with this number in the short and in the full form.
    fn of(self, short: u64, full: u64) -> u64 {
        match self {
            Self::Sample => short.div_ceil(100),
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// The outcome of one case.
#[derive(Default)]
pub struct Outcome {
    /// The number of AWS calls.
    pub calls: u64,
    /// What happened, to be counted over all cases.
    pub facts: Vec<String>,
    /// The trace, if it is compared with that of another process.
    pub trace: Option<String>,
}

/// A promise, and the cases that prove it.
pub struct Promise {
    /// The name for `PROMISE=`.
    pub name: &'static str,
    pub text: &'static str,
    pub cases: fn(Scale) -> u64,
    /// Whether other cases are played every night.
    pub is_random: bool,
    /// Whether the cases after a violation are played as well.
    pub continues: bool,
    /// Plays one case. It panics with the violation.
    pub play: fn(u64) -> Pin<Box<dyn Future<Output = Outcome>>>,
    /// Facts with these endings that must have happened, and how often in the short form. Without
    /// them the promise is proved for the wrong cases.
    pub least: &'static [(&'static str, u64)],
}

/// Schedules that once sent a charge after its order was cancelled: the payment deadline had
/// passed, or the provider was unreachable at the cancellation.
const CHARGED_TOO_LATE: [u64; 2] = [23, 32];

/// The promise about defects.
pub const BITES: &str = "bites";

pub const PROMISES: &[Promise] = &[
    Promise {
        name: "repeatable",
        text: "the same seed has the same trace in every process",
        cases: |scale| scale.of(20, 200),
        is_random: false,
        continues: false,
        play: |seed| Box::pin(repeatable(seed)),
        least: &[],
    },
    Promise {
        name: "regressions",
        text: "a charge is not sent after its order is cancelled",
        cases: |_| CHARGED_TOO_LATE.len() as u64,
        is_random: false,
        continues: false,
        play: |case| Box::pin(settles(CHARGED_TOO_LATE[case as usize])),
        least: &[],
    },
    Promise {
        name: "simulation",
        text: "orders are never lost, stuck, oversold or charged twice",
        cases: |scale| scale.of(10_000, 1_000_000),
        is_random: true,
        continues: false,
        play: |seed| Box::pin(settles(seed)),
        least: &[
            (NOT_SENT_AGAIN, 400),
            (met::CHANGED_PRICE, 100),
            (met::FREE_ORDER, 10),
            (met::CART_ORDER, 400),
            (met::MERGED_CART, 200),
            (met::TWO_KEYS, 3),
        ],
    },
    Promise {
        name: "stories",
        text: "every story ends as it is named",
        cases: |_| STORIES.len() as u64,
        is_random: false,
        continues: false,
        play: |number| Box::pin(faults::story(number as usize)),
        least: &[],
    },
    Promise {
        name: "faults",
        text: "every fault at every AWS call is survivable",
        cases: |scale| scale.of(faults::singles(), faults::singles()),
        is_random: false,
        continues: false,
        play: |case| Box::pin(faults::single(case)),
        least: &[],
    },
    Promise {
        name: "pairs",
        text: "two faults in one order are survivable (sampled)",
        cases: |scale| scale.of(2000, 0),
        is_random: true,
        continues: false,
        play: |seed| Box::pin(faults::sampled_pair(seed)),
        least: &[],
    },
    Promise {
        name: "races",
        text: "calls that run at the same time are survivable",
        cases: |scale| scale.of(1000, 200_000),
        is_random: true,
        continues: false,
        play: |seed| Box::pin(faults::race(seed)),
        least: &[],
    },
    Promise {
        name: "all-pairs",
        text: "every two faults in one order are survivable",
        cases: |scale| scale.of(0, faults::pairs()),
        is_random: false,
        continues: false,
        play: |case| Box::pin(faults::pair(case)),
        least: &[],
    },
    Promise {
        name: "upgrade",
        text: "two releases run in one shop, and a rollback loses nothing",
        cases: |scale| if releases::program().is_some() { scale.of(1000, 50_000) } else { 0 },
        is_random: true,
        continues: false,
        play: |seed| Box::pin(mixed(seed)),
        least: &[(releases::LEFT_FOR_LATER, 10)],
    },
    Promise {
        name: BITES,
        text: "every defect of a write or a provider key is noticed",
        cases: |scale| if scale == Scale::Full { bites::cases() } else { 0 },
        is_random: false,
        continues: true,
        play: |case| Box::pin(bites::case(case)),
        least: &[],
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
    Outcome { calls: played.calls, facts: played.ends, trace: None }
}

async fn mixed(seed: u64) -> Outcome {
    let played = releases::play(seed).await;
    Outcome { calls: played.calls, facts: played.ends, trace: None }
}

/// The runner compares the traces of two processes.
async fn repeatable(seed: u64) -> Outcome {
    let (one, other) = (schedule::play(seed).await, schedule::play(seed).await);
    if let Some(difference) = difference(&one.trace, &other.trace) {
        panic!("SEED={seed} has two traces in one process. {difference}");
    }
    Outcome { calls: one.calls + other.calls, facts: Vec::new(), trace: Some(one.trace) }
}

/// The first lines in which two traces differ; `None` if they are equal.
pub fn difference(one: &str, other: &str) -> Option<String> {
    if one == other {
        return None;
    }
    let lines = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    Some(lines.map_or_else(
        || "One begins with the other.".to_owned(),
        |(one, other)| format!("They differ here:\n{one}\n{other}"),
    ))
}

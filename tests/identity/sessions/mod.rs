//! Sessions (refresh token families) under use by their owner, by attackers and with random faults.

mod memory;
mod rules;
mod scenario;
mod table;

use std::{collections::BTreeMap, ops::Range};

use memory::{Flaw, Memory};
use scenario::{Backend, Counts, play, scenario_of, shortest};
use table::Tables;
use tests::seeds;

use crate::print;

/// Number of scenarios per test run, in memory and on the tables.
const IN_MEMORY: u64 = 24_000;
const ON_TABLES: u64 = 300;
/// The number of scenarios within which every flaw must be detected.
const DETECTED_WITHIN: u64 = 1_500;

const FLAWS: [Flaw; 14] = [
    Flaw::NoSequence,
    Flaw::NoEnd,
    Flaw::NoExpiry,
    Flaw::NoAbsoluteEnd,
    Flaw::NoEpoch,
    Flaw::NoVersion,
    Flaw::NoTokenVersion,
    Flaw::NoRevocation,
    Flaw::RevokedTwice,
    Flaw::OverIsReuse,
    Flaw::EndlessGrace,
    Flaw::NoGrace,
    Flaw::AnsweredTooSoon,
    Flaw::NoLogout,
];

/// Plays the scenarios of `seeds`; prints a failing one in its shortest form.
fn play_all<W: Backend>(
    seeds: Range<u64>,
    skews: bool,
    backend: impl AsyncFn(u64) -> W + Sync,
) -> Counts {
    let counted = seeds::play_all(seeds, async |seed| {
        let (events, mut counts) = (scenario_of(seed, skews), Counts::default());
        if play(&mut backend(seed).await, &events, &mut counts).await.is_err() {
            let (events, wrong) = shortest(async || backend(seed).await, events).await;
            panic!("seed {seed}: {wrong}\nthe shortest scenario: {events:#?}");
        }
        counts
    });
    let mut counts = Counts::default();
    for (what, times) in counted.into_iter().flat_map(|counts| counts.0) {
        *counts.0.entry(what).or_default() += times;
    }
    counts
}

fn check(counts: &Counts, scenarios: u64) {
    assert_eq!(counts.0["scenarios"] as u64, scenarios);
    for what in [
        "exchanges",
        "lost answers",
        "lost answers that came again",
        "requests at the same time",
        "refusals",
        "reuses",
        "scenarios without an attack",
    ] {
        let happened = counts.0.get(what).copied().unwrap_or_default();
        assert!(happened as u64 > scenarios / 20, "{what}: {happened}, so the test is vacuous");
    }
}

#[test]
fn token_theft_ends_the_session_and_lost_answers_are_repeated() {
    let counts = play_all(0..IN_MEMORY, true, async |_| Memory::new(None));
    print(&format!("sessions in memory: {:?}", counts.0));
    check(&counts, IN_MEMORY);
}

#[test]
fn operations_on_the_tables_follow_the_same_rules() {
    let counts = play_all(1_000_000..1_000_000 + ON_TABLES, false, Tables::new);
    print(&format!("sessions on the tables: {:?}", counts.0));
    check(&counts, ON_TABLES);
}

#[test]
fn every_missing_condition_is_detected() {
    let noticed: BTreeMap<String, u64> = seeds::play_all(0..FLAWS.len() as u64, async |number| {
        let flaw = FLAWS[usize::try_from(number).unwrap()];
        for seed in 0..DETECTED_WITHIN {
            if play(&mut Memory::new(Some(flaw)), &scenario_of(seed, true), &mut Counts::default())
                .await
                .is_err()
            {
                return Some((format!("{flaw:?}"), seed));
            }
        }
        None
    })
    .into_iter()
    .flatten()
    .collect();
    print(&format!("flaws detected by the scenario of seed: {noticed:?}"));
    let missed: Vec<_> =
        FLAWS.iter().filter(|flaw| !noticed.contains_key(&format!("{flaw:?}"))).collect();
    assert!(missed.is_empty(), "not detected: {missed:?}");
}

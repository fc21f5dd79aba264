//! Faults at every AWS call of every story: one in a run, or two.

use std::sync::LazyLock;

use tests::{aws::Fault, rng::Rng};

use crate::{promises::Outcome, stories::STORIES};

pub const FAULTS: [Fault; 6] = [
    Fault::Throttle,
    Fault::LoseRequest,
    Fault::LoseResponse,
    Fault::Conflict,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// After a fault a story makes more calls. The second fault of a pair may hit one of these.
const MORE_CALLS: u64 = 12;

/// The number of AWS calls of each story without faults.
static CALLS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    // The cases are counted outside the runtime that plays them.
    let count = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut calls = Vec::new();
            for number in 0..STORIES.len() {
                calls.push(story(number).await.calls as u64);
            }
            calls
        })
    };
    std::thread::spawn(count).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
});

/// A fault at a call of a story.
type At = (u64, Fault);

/// The number of cases of [`single`]: each fault at each call of each story.
pub fn singles() -> u64 {
    CALLS.iter().sum::<u64>() * FAULTS.len() as u64
}

/// The number of cases of [`pair`].
pub fn pairs() -> u64 {
    CALLS.iter().map(|calls| pairs_of(*calls)).sum()
}

fn pairs_of(calls: u64) -> u64 {
    calls * (calls + MORE_CALLS) * (FAULTS.len() * FAULTS.len()) as u64
}

/// Plays a story with one fault.
pub async fn single(case: u64) -> Outcome {
    let (story, rest) = story_of(case, |calls| calls * FAULTS.len() as u64);
    let faults = FAULTS.len() as u64;
    play(story, &[(rest / faults, FAULTS[(rest % faults) as usize])]).await
}

/// Plays a story with two faults.
pub async fn pair(case: u64) -> Outcome {
    let (story, rest) = story_of(case, pairs_of);
    let faults = FAULTS.len() as u64;
    let (one, rest) = (FAULTS[(rest % faults) as usize], rest / faults);
    let (other, rest) = (FAULTS[(rest % faults) as usize], rest / faults);
    let others = CALLS[story] + MORE_CALLS;
    play(story, &[(rest / others, one), (rest % others, other)]).await
}

/// Plays a random pair.
pub async fn sampled_pair(seed: u64) -> Outcome {
    pair(Rng::new(seed).next() % pairs()).await
}

/// The story of a case, and the number of the case within the story.
fn story_of(mut case: u64, cases: impl Fn(u64) -> u64) -> (usize, u64) {
    for (story, calls) in CALLS.iter().enumerate() {
        if case < cases(*calls) {
            return (story, case);
        }
        case -= cases(*calls);
    }
    panic!("there is no such case")
}

/// Plays a story without faults. It must end as it is named.
pub async fn story(number: usize) -> Outcome {
    let story = &STORIES[number];
    let mut stage = story.stage("no fault").await;
    let before = stage.shop.aws.requests();
    let ends = story.play(&mut stage).await;
    stage.ensure(ends == [story.end], || format!("the story ends as {ends:?}"));
    let fact = format!("{}: {}", story.name, story.end);
    Outcome { calls: stage.shop.aws.requests() - before, facts: vec![fact] }
}

/// Plays a story with these faults.
async fn play(story: usize, faults: &[At]) -> Outcome {
    let mut stage = STORIES[story].stage(&format!("{faults:?}")).await;
    let before = stage.shop.aws.requests();
    for (call, fault) in faults {
        stage.shop.aws.fail(*call as usize, *fault);
    }
    STORIES[story].play(&mut stage).await;
    Outcome { calls: stage.shop.aws.requests() - before, facts: Vec::new() }
}

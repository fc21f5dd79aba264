//! Faults at every AWS call of every story: one in a run, or two.

use std::sync::OnceLock;

use tests::{aws::Fault, rng::Rng};

use crate::{
    promises::Outcome,
    stories::{Ended, STORIES},
};

pub const FAULTS: [Fault; 6] = [
    Fault::Throttle,
    Fault::LoseRequest,
    Fault::LoseResponse,
    Fault::Conflict,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// The faults of reads that differ: a read has no effect, so its lost response equals a lost
/// request, and a death after it equals one before. No read conflicts.
const FAULTS_OF_READS: [Fault; 3] = [Fault::Throttle, Fault::LoseRequest, Fault::CrashBefore];

/// The most calls that a fault adds to a story. The second fault of a pair may hit each of them.
/// [`single`] checks the number.
const MORE_CALLS: u64 = 80;

/// The AWS calls of each story without faults: `r` for a read, `w` for another call.
static CALLS: OnceLock<Vec<String>> = OnceLock::new();

/// The calls of all stories, which are counted once.
pub fn calls() -> &'static [String] {
    CALLS.get_or_init(|| {
        // The cases are counted outside the runtime that plays them.
        let count = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build();
            runtime.expect("a runtime").block_on(async {
                let mut stories = Vec::new();
                for story in STORIES {
                    let mut stage = story.stage("counted").await;
                    stage.shop.aws.record_calls();
                    let calls = story.play(&mut stage).await.calls as usize;
                    let calls = stage.shop.aws.calls().into_iter().take(calls);
                    stories
                        .push(calls.map(|call| if call.is_read() { 'r' } else { 'w' }).collect());
                }
                stories
            })
        };
        std::thread::spawn(count).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The calls of all stories if this process has counted them, otherwise nothing. A violation of a
/// story is then reported by its promise, and not by the count.
pub fn counted_calls() -> Vec<String> {
    CALLS.get().cloned().unwrap_or_default()
}

/// Takes over the calls that another process has counted.
pub fn set_calls(calls: Vec<String>) {
    if !calls.is_empty() {
        let _ = CALLS.set(calls);
    }
}

/// The faults of a call.
fn faults_of(call: u8) -> &'static [Fault] {
    if call == b'r' { &FAULTS_OF_READS } else { &FAULTS }
}

/// A story with more calls has single faults only: its pairs would take a night of their own. These
/// are the steps of the audit, to which schedules add up to three faults.
const MOST_CALLS_OF_PAIRS: usize = 200;

/// A fault at a call of a story.
type At = (u64, Fault);

/// The number of cases of [`single`]: each fault at each call of each story.
pub fn singles() -> u64 {
    calls().iter().map(|calls| singles_of(calls)).sum()
}

fn singles_of(calls: &str) -> u64 {
    calls.bytes().map(|call| faults_of(call).len() as u64).sum()
}

/// The cases of [`single`] with a fault at this call of a story: none after its last call.
pub fn singles_at(story: usize, call: usize) -> Vec<(Fault, u64)> {
    let stories = calls();
    let Some(fault) = stories[story].as_bytes().get(call) else { return Vec::new() };
    let earlier: u64 = stories[..story].iter().map(|calls| singles_of(calls)).sum();
    let first = earlier + singles_of(&stories[story][..call]);
    faults_of(*fault).iter().copied().zip(first..).collect()
}

/// The number of cases of [`pair`]: each fault at a call, and each fault at a later one.
pub fn pairs() -> u64 {
    calls().iter().map(|calls| pairs_of(calls)).sum()
}

fn pairs_of(calls: &str) -> u64 {
    if calls.len() > MOST_CALLS_OF_PAIRS {
        return 0;
    }
    (0..calls.len()).map(|call| pairs_at(calls, call)).sum()
}

/// The number of pairs whose first fault hits this call.
fn pairs_at(calls: &str, call: usize) -> u64 {
    let later = (calls.len() - call - 1) as u64 + MORE_CALLS;
    (faults_of(calls.as_bytes()[call]).len() * FAULTS.len()) as u64 * later
}

/// Plays a story with one fault. Checks the number of calls, on which [`pair`] depends.
pub async fn single(case: u64) -> Outcome {
    let (story, call, fault) = single_of(case);
    let played = play(story, &[(call, fault)]).await;
    let known = &calls()[story];
    let most = known.len() as u64 + MORE_CALLS;
    assert!(
        played.calls <= most || pairs_of(known) == 0,
        "{fault:?} at call {call} of \"{}\" leads to {} calls, more than {most}",
        STORIES[story].name,
        played.calls
    );
    Outcome { calls: played.calls, ..Outcome::default() }
}

/// Plays a case of [`single`] with a defect, which may make more calls.
pub async fn defective(case: u64) {
    let (story, call, fault) = single_of(case);
    play(story, &[(call, fault)]).await;
}

/// The story, the call and the fault of a case of [`single`].
fn single_of(case: u64) -> (usize, u64, Fault) {
    let (story, mut rest) = story_of(case, singles_of);
    let known = &calls()[story];
    let (mut call, mut faults) = (0, faults_of(known.as_bytes()[0]));
    while rest >= faults.len() as u64 {
        rest -= faults.len() as u64;
        call += 1;
        faults = faults_of(known.as_bytes()[call]);
    }
    (story, call as u64, faults[rest as usize])
}

/// Plays a story with two faults.
pub async fn pair(case: u64) -> Outcome {
    let (story, mut rest) = story_of(case, pairs_of);
    let known = &calls()[story];
    let mut call = 0;
    while rest >= pairs_at(known, call) {
        rest -= pairs_at(known, call);
        call += 1;
    }
    let (first, others) = (faults_of(known.as_bytes()[call]), FAULTS.len() as u64);
    let (one, rest) = (first[(rest % first.len() as u64) as usize], rest / first.len() as u64);
    let (other, rest) = (FAULTS[(rest % others) as usize], rest / others);
    let call = call as u64;
    let calls = play(story, &[(call, one), (call + 1 + rest, other)]).await.calls;
    Outcome { calls, ..Outcome::default() }
}

/// Plays a random pair.
pub async fn sampled_pair(seed: u64) -> Outcome {
    pair(Rng::new(seed).next() % pairs()).await
}

/// The story of a case, and the number of the case within the story.
fn story_of(mut case: u64, cases: impl Fn(&str) -> u64) -> (usize, u64) {
    for (story, calls) in calls().iter().enumerate() {
        if case < cases(calls) {
            return (story, case);
        }
        case -= cases(calls);
    }
    panic!("there is no such case")
}

/// Plays a story without faults. It must reach the final state in its name and leave nothing
/// pending. Otherwise some of its calls would never get a fault.
pub async fn story(number: usize) -> Outcome {
    let story = &STORIES[number];
    let mut stage = story.stage("no fault").await;
    let Ended { ends, calls, was_settled } = story.play(&mut stage).await;
    stage.ensure(ends == [story.end], || format!("the story ends as {ends:?}"));
    stage.ensure(was_settled, || "something is pending at the end of the story".to_owned());
    stage.ensure(
        stage.account_deleted_at.is_none() || stage.notifications_of_buyer().is_empty(),
        || "a notification of a deleted account is left".to_owned(),
    );
    let fact = format!("{calls:>4} calls  {}: {}", story.name, story.end);
    Outcome { calls, facts: vec![fact], ..Outcome::default() }
}

/// Plays a story in which calls run at the same time.
pub async fn race(seed: u64) -> Outcome {
    let story = &STORIES[seed as usize % STORIES.len()];
    let mut stage = story.stage(&format!("SEED={seed}")).await;
    stage.race(seed);
    let ended = story.play(&mut stage).await;
    let facts = ended.ends.iter().map(|end| format!("{}: {end}", story.name)).collect();
    Outcome { calls: ended.calls, facts, trace: None }
}

/// Plays a story with these faults.
async fn play(story: usize, faults: &[At]) -> Ended {
    let mut stage = STORIES[story].stage(&format!("{faults:?}")).await;
    for (call, fault) in faults {
        stage.shop.aws.fail(*call as usize, *fault);
    }
    STORIES[story].play(&mut stage).await
}

//! Random scenarios of one session: its owner, two attackers who steal tokens, lost responses and
//! passing time.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use shared::clock::Timestamp;
use tests::rng::Rng;

use super::rules::{self, Act, End, Response, State};

/// A refresh token held by one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub number: u64,
    /// The hash that the table would store for it.
    pub hash: String,
    pub text: String,
    /// The version of the user that it was made from.
    pub user_version: u64,
}

/// A fault in one database call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    LoseRequest,
    LoseResponse,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub asked: Asked,
    /// How far the executing instance's clock is ahead.
    pub skew: Duration,
    /// The faulty call, by number.
    pub fault: Option<(usize, CallFault)>,
}

#[derive(Clone, Debug)]
pub enum Asked {
    Refresh(Held),
    Other(Act),
}

#[derive(Clone, Debug)]
pub enum Answer {
    Token(Held),
    Refused,
    Done,
    VersionConflict,
    Busy,
}

/// The implementation that a scenario runs against.
pub trait Backend {
    /// The first token of the session.
    fn first(&self) -> Held;
    fn now(&self) -> Timestamp;
    fn wait(&mut self, time: Duration);
    /// The tables, and the hash of the valid secret.
    async fn state(&mut self) -> (State, String);
    /// Executes concurrent requests, interleaved by the random generator.
    async fn carry_out(&mut self, requests: &[Request], rng: &mut Rng) -> Vec<Answer>;
}

#[derive(Clone, Debug)]
pub enum Event {
    Wait(Duration),
    /// An attacker steals the token that the owner held this number of rotations ago.
    Steal(usize, usize),
    /// Sends concurrent requests.
    Ask(Vec<PlannedRequest>, u64),
}

#[derive(Clone, Debug)]
pub struct PlannedRequest {
    who: Who,
    what: What,
    skew: Duration,
    fault: Option<(usize, CallFault)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Owner,
    Attacker(usize),
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// With the token from this many rotations ago.
    Refresh(usize),
    Other(Act),
}

/// How often each outcome occurred: a test in which nothing occurs proves nothing.
#[derive(Debug, Default)]
pub struct Counts(pub BTreeMap<&'static str, usize>);

impl Counts {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

const DAY: u64 = 86_400_000;

/// Waits close to the time limits: ten seconds in which a lost response can be repeated, a
/// session's thirty days, and the rest of its 180 days after [`old_age`].
const WAITS: [u64; 14] = [
    1,
    1_000,
    4_000,
    5_000,
    9_999,
    10_000,
    10_001,
    60_000,
    900_000,
    30 * DAY - 1,
    30 * DAY,
    15 * DAY,
    6 * DAY - 1,
    6 * DAY,
];

/// The largest difference between two clocks.
const MOST_SKEW: Duration = Duration::from_millis(200);

/// The scenario of a seed. Some have no attackers, and an owner who retries in time.
pub fn scenario_of(seed: u64, skews: bool) -> Vec<Event> {
    let mut rng = Rng::new(seed);
    let (is_honest, is_quiet) = (rng.chance(35), rng.chance(40));
    let length = rng.within(6..16);
    let mut events = if rng.chance(15) { old_age(&mut rng) } else { Vec::new() };
    for _ in 0..length {
        let event = match rng.within(0..100) {
            0..30 => Event::Wait(Duration::from_millis(*rng.one(if is_honest {
                &WAITS[..4]
            } else {
                &WAITS[..]
            }))),
            30..45 if !is_honest => Event::Steal(rng.within(0..2), rng.within(0..4)),
            _ => ask(&mut rng, is_honest, is_quiet, skews),
        };
        events.push(event);
    }
    events
}

/// An owner who returns every 29 days, for 174 days.
fn old_age(rng: &mut Rng) -> Vec<Event> {
    let back = || PlannedRequest {
        who: Who::Owner,
        what: What::Refresh(0),
        skew: Duration::ZERO,
        fault: None,
    };
    (0..6)
        .flat_map(|_| {
            [Event::Wait(Duration::from_millis(29 * DAY)), Event::Ask(vec![back()], rng.next())]
        })
        .collect()
}

fn ask(rng: &mut Rng, is_honest: bool, is_quiet: bool, skews: bool) -> Event {
    let many = [1, 1, 1, 2, 2, 3][rng.within(0..6)];
    let planned = |rng: &mut Rng| {
        let who =
            if is_honest || rng.chance(50) { Who::Owner } else { Who::Attacker(rng.within(0..2)) };
        let other = who == Who::Owner && !is_quiet && rng.chance(14);
        let act = match rng.within(0..10) {
            0 => Act::Logout,
            1..3 => Act::ChangePassword { here: true },
            3 => Act::ChangePassword { here: false },
            4 => Act::SetActive(false),
            5 => Act::SetActive(true),
            _ => Act::Rename,
        };
        let act = if is_honest { Act::Rename } else { act };
        let back = if is_honest || rng.chance(75) { 0 } else { rng.within(0..4) };
        let fault = rng.chance(25).then(|| {
            (rng.within(0..3), *rng.one(&[CallFault::LoseRequest, CallFault::LoseResponse]))
        });
        let skew = if skews && rng.chance(25) { rng.milliseconds(0..200) } else { Duration::ZERO };
        PlannedRequest {
            who,
            what: if other { What::Other(act) } else { What::Refresh(back) },
            skew,
            fault,
        }
    };
    Event::Ask((0..many).map(|_| planned(rng)).collect(), rng.next())
}

/// The tokens of each party.
struct Cast {
    /// The content of the tables.
    state: State,
    /// Every token that the owner has held; the last one is used next.
    owner: Vec<Held>,
    attackers: [Vec<Held>; 2],
    /// Since when the owner waits for a response.
    waiting: Option<Timestamp>,
    /// Whether only the owner has sent requests so far, and no logout.
    is_honest: bool,
}

impl Cast {
    fn hand(&mut self, who: Who) -> &mut Vec<Held> {
        match who {
            Who::Owner => &mut self.owner,
            Who::Attacker(number) => &mut self.attackers[number],
        }
    }

    /// The request of a step; `None` if the party has no token yet.
    fn request(&mut self, planned: &PlannedRequest) -> Option<Request> {
        let asked = match planned.what {
            What::Other(act) => Asked::Other(act),
            What::Refresh(back) => {
                let hand = self.hand(planned.who);
                Asked::Refresh(hand.get(hand.len().checked_sub(1)?.saturating_sub(back))?.clone())
            }
        };
        Some(Request { asked, skew: planned.skew, fault: planned.fault })
    }
}

/// Plays a scenario and checks every step.
///
/// # Errors
/// The violated rule, with all events before it.
pub async fn play(
    backend: &mut impl Backend,
    events: &[Event],
    counts: &mut Counts,
) -> Result<(), String> {
    let first = backend.first();
    let mut chain = Chain::default();
    chain.add(&first)?;
    let (state, _) = backend.state().await;
    let mut cast = Cast {
        state,
        owner: vec![first],
        attackers: Default::default(),
        waiting: None,
        is_honest: true,
    };
    let mut log = String::new();
    for event in events {
        let _ = writeln!(log, "{event:?}");
        scene(backend, event, &mut cast, &mut chain, counts)
            .await
            .map_err(|wrong| format!("{wrong}\nafter\n{log}"))?;
    }
    finale(backend, &cast, &chain, counts)
        .await
        .map_err(|wrong| format!("{wrong}\nat the end of\n{log}"))
}

async fn scene(
    backend: &mut impl Backend,
    event: &Event,
    cast: &mut Cast,
    chain: &mut Chain,
    counts: &mut Counts,
) -> Result<(), String> {
    let (plan, seed) = match event {
        Event::Wait(time) => {
            backend.wait(*time);
            return Ok(());
        }
        Event::Steal(attacker, back) => {
            let stolen = cast.owner[cast.owner.len().saturating_sub(1 + back)].clone();
            cast.attackers[*attacker].push(stolen);
            return Ok(());
        }
        Event::Ask(plan, seed) => (plan, *seed),
    };
    let asked: Vec<(Who, Request)> =
        plan.iter().filter_map(|planned| Some((planned.who, cast.request(planned)?))).collect();
    let before = cast.state.clone();
    let is_over = before.end != End::None || !before.is_current_epoch || !before.is_active;
    // A password change fails from an ended session, and every change fails for a disabled user.
    let possible = |request: &Request| match request.asked {
        Asked::Other(Act::ChangePassword { here: true }) => !is_over && asked.len() == 1,
        Asked::Other(Act::Rename | Act::ChangePassword { .. }) => before.is_active,
        // The admin's client skips a change that changes nothing.
        Asked::Other(Act::SetActive(is_active)) => {
            is_active != before.is_active && asked.len() == 1
        }
        _ => true,
    };
    let asked: Vec<_> = asked.iter().filter(|(_, request)| possible(request)).cloned().collect();
    if asked.is_empty() {
        return Ok(());
    }

    let now = backend.now();
    let requests: Vec<Request> = asked.iter().map(|(_, request)| request.clone()).collect();
    let answers = backend.carry_out(&requests, &mut Rng::new(seed)).await;
    let (after, hash) = backend.state().await;

    let acts: Vec<_> =
        requests.iter().map(|request| (act(request), now.plus(request.skew))).collect();
    let responses: Vec<Response> = answers.iter().map(response_of).collect();
    if responses.contains(&Response::Busy) && requests.iter().all(|request| request.fault.is_none())
    {
        return Err(format!(
            "no fault was injected, and a request was answered busy: {acts:?} {responses:?}"
        ));
    }
    if !rules::explains(&before, &acts, &responses, &after) {
        return Err(format!(
            "no order of {acts:?} explains {responses:?}\nbefore {before:?}\nafter  {after:?}"
        ));
    }

    let is_honest = |(who, request): &(Who, Request)| match &request.asked {
        Asked::Refresh(shown) => *who == Who::Owner && cast.owner.last() == Some(shown),
        Asked::Other(act) => *act == Act::Rename,
    };
    cast.is_honest &= asked.iter().all(is_honest);
    for ((who, request), answer) in asked.iter().zip(&answers) {
        let Asked::Refresh(shown) = &request.asked else { continue };
        match answer {
            Answer::Token(token) => {
                chain.add(token)?;
                counts.count(if before.sequence == token.number {
                    "lost answers that came again"
                } else {
                    "exchanges"
                });
                if cast.hand(*who).last() != Some(token) {
                    cast.hand(*who).push(token.clone());
                }
                if *who == Who::Owner {
                    cast.waiting = None;
                }
            }
            Answer::Busy if *who == Who::Owner => {
                counts.count("lost answers");
                cast.waiting.get_or_insert(now);
            }
            Answer::Refused if *who == Who::Owner && cast.is_honest => {
                // Clocks may differ: a request is in time if it is within ten seconds by all of
                // them.
                let in_time = cast.waiting.is_none_or(|since| {
                    now.plus(MOST_SKEW).since(since) <= Duration::from_secs(10)
                });
                let is_last = cast.owner.last() == Some(shown);
                if in_time && is_last && before.expires_at > now.plus(request.skew) {
                    return Err(format!(
                        "an unattacked owner is logged out: {shown:?} at {now}, waiting since {:?}",
                        cast.waiting
                    ));
                }
                counts.count("owners who came too late");
            }
            Answer::Refused => counts.count("refusals"),
            _ => {}
        }
    }
    if requests.len() > 1 {
        counts.count("requests at the same time");
    }
    if before.end != End::Reused && after.end == End::Reused {
        counts.count("reuses");
        if after.token_version <= before.token_version {
            return Err("a reuse left the access tokens alive".to_owned());
        }
    }
    chain.check(&after, &hash, backend.now())?;
    cast.state = after;
    Ok(())
}

/// Presents every issued token again: an invalid token must remain invalid.
async fn finale(
    backend: &mut impl Backend,
    cast: &Cast,
    chain: &Chain,
    counts: &mut Counts,
) -> Result<(), String> {
    let mut before = cast.state.clone();
    for token in chain.tokens.values() {
        let request =
            Request { asked: Asked::Refresh(token.clone()), skew: Duration::ZERO, fault: None };
        let answers = backend.carry_out(&[request], &mut Rng::new(0)).await;
        let (after, _) = backend.state().await;
        let acts = [(Act::Refresh(token.number), backend.now())];
        if !rules::explains(&before, &acts, &[response_of(&answers[0])], &after) {
            return Err(format!(
                "{acts:?} was answered {:?}\nbefore {before:?}\nafter  {after:?}",
                answers[0]
            ));
        }
        if before.end == End::Reused && !matches!(answers[0], Answer::Refused) {
            return Err(format!("token {} works after a reuse", token.number));
        }
        before = after;
    }
    if cast.is_honest {
        counts.count("scenarios without an attack");
    }
    counts.count("scenarios");
    Ok(())
}

fn act(request: &Request) -> Act {
    match &request.asked {
        Asked::Refresh(token) => Act::Refresh(token.number),
        Asked::Other(act) => *act,
    }
}

fn response_of(answer: &Answer) -> Response {
    match answer {
        Answer::Token(token) => Response::Token(token.number),
        Answer::Refused => Response::Refused,
        Answer::Done => Response::Done,
        Answer::VersionConflict => Response::VersionConflict,
        Answer::Busy => Response::Busy,
    }
}

/// Every token ever issued: one secret per number, and one text per version of the user.
#[derive(Default)]
struct Chain {
    hashes: BTreeMap<u64, String>,
    tokens: BTreeMap<(u64, u64), Held>,
}

impl Chain {
    fn add(&mut self, token: &Held) -> Result<(), String> {
        let hash = self.hashes.entry(token.number).or_insert_with(|| token.hash.clone());
        let same =
            self.tokens.entry((token.number, token.user_version)).or_insert_with(|| token.clone());
        if *hash != token.hash || same.text != token.text {
            return Err(format!("two tokens have the number {}", token.number));
        }
        Ok(())
    }

    /// At most one secret is valid: that of the token with the stored number.
    fn check(&self, state: &State, stored: &str, now: Timestamp) -> Result<(), String> {
        let live: Vec<_> = self
            .hashes
            .iter()
            .filter(|(number, hash)| state.counts(**number, now) && *hash == stored)
            .collect();
        let known = self.hashes.get(&state.sequence);
        if live.len() > 1 || known.is_some_and(|hash| hash != stored) {
            return Err(format!("{} tokens count at the same time", live.len()));
        }
        Ok(())
    }
}

/// The shortest part of a scenario that still fails.
pub async fn shortest<W: Backend>(
    backend: impl AsyncFn() -> W,
    mut events: Vec<Event>,
) -> (Vec<Event>, String) {
    let mut wrong =
        play(&mut backend().await, &events, &mut Counts::default()).await.err().unwrap_or_default();
    let mut position = 0;
    while position < events.len() {
        let mut fewer = events.clone();
        fewer.remove(position);
        match play(&mut backend().await, &fewer, &mut Counts::default()).await {
            Err(still) => (events, wrong) = (fewer, still),
            Ok(()) => position += 1,
        }
    }
    (events, wrong)
}

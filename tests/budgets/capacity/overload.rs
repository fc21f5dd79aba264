//! A queue whose consumer needs more than its tables' throughput, in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use shared::{
    lambda::{Invocation, Lambda},
    queue,
};
use tests::{events, sqs::QueuedMessage};
use tokio::{task::JoinSet, time::Instant};

/// A queue, its consumer and the load.
pub(super) struct Overload {
    pub queue: &'static str,
    pub consumer: Lambda,
    /// Number of concurrent executions of the consumer.
    pub concurrency: usize,
    /// The receives after which a message becomes a dead letter.
    pub max_receives: u32,
    pub rate: f64,
    /// For how long commands are sent.
    pub duration: Duration,
    /// The times after the first send at which an unanswered command is re-sent.
    pub repeats: &'static [Duration],
}

#[derive(Debug)]
pub(super) struct Outcome {
    /// Number of executed commands.
    pub answered: usize,
    /// Executed commands per second while they were sent.
    pub rate: f64,
    /// Number of messages that became dead letters.
    pub dead_letters: usize,
    /// Time from the end of sending until the queue was empty.
    pub catch_up: Duration,
    /// The most receives of any message.
    pub most_receives: u32,
    /// Number of re-sent commands.
    pub repeats: usize,
}

#[derive(Default)]
struct State {
    waiting: BinaryHeap<Reverse<(Instant, u64)>>,
    messages: Vec<(usize, QueuedMessage)>,
    unfinished: usize,
    answered: BTreeSet<usize>,
    answered_in_time: usize,
    dead_letters: usize,
    most_receives: u32,
    repeats: usize,
    all_sent: bool,
}

/// The batch size of every mapping.
const BATCH: usize = 10;
const POLL: Duration = Duration::from_millis(100);

impl Overload {
    /// Sends commands until all are answered. `command` builds one from its number and its count of
    /// earlier sends.
    pub(super) async fn run(self, command: impl Fn(usize, usize) -> Value) -> Outcome {
        let (start, state) = (Instant::now(), Arc::new(Mutex::new(State::default())));
        let end = start + self.duration;
        let run = Arc::new(self);
        let mut executions = JoinSet::new();
        for _ in 0..run.concurrency {
            executions.spawn(run.clone().consume(state.clone(), end));
        }
        run.send(&state, start, command).await;
        executions.join_all().await;
        let state = lock(&state);
        Outcome {
            answered: state.answered.len(),
            rate: state.answered_in_time as f64 / run.duration.as_secs_f64(),
            dead_letters: state.dead_letters,
            catch_up: Instant::now() - end,
            most_receives: state.most_receives,
            repeats: state.repeats,
        }
    }

    /// Sends new commands at the rate, and re-sends unanswered ones.
    async fn send(
        &self,
        state: &Mutex<State>,
        start: Instant,
        command: impl Fn(usize, usize) -> Value,
    ) {
        let count = (self.rate * self.duration.as_secs_f64()) as usize;
        let mut due: BinaryHeap<Reverse<(Duration, usize, usize)>> = (0..count)
            .map(|number| Reverse((Duration::from_secs_f64(number as f64 / self.rate), number, 0)))
            .collect();
        while let Some(Reverse((at, number, repeat))) = due.pop() {
            tokio::time::sleep_until(start + at).await;
            let mut state = lock(state);
            if state.answered.contains(&number) {
                continue;
            }
            state.repeats += usize::from(repeat > 0);
            state.send(number, command(number, repeat).to_string());
            if let Some(wait) = self.repeats.get(repeat) {
                due.push(Reverse((
                    Duration::from_secs_f64(number as f64 / self.rate) + *wait,
                    number,
                    repeat + 1,
                )));
            }
        }
        lock(state).all_sent = true;
    }

    /// One execution: takes batches until the queue is empty.
    async fn consume(self: Arc<Self>, state: Arc<Mutex<State>>, end: Instant) {
        loop {
            let batch = lock(&state).take(Instant::now());
            if batch.is_empty() {
                if lock(&state).is_finished() {
                    return;
                }
                tokio::time::sleep(POLL).await;
                continue;
            }
            let messages: Vec<QueuedMessage> =
                batch.iter().map(|(_, message)| message.clone()).collect();
            let answer =
                (self.consumer)(Invocation::with_event(events::sqs(self.queue, &messages)))
                    .await
                    .expect("the batch is answered");
            lock(&state).finish_batch(batch, &answer, self.max_receives, Instant::now() <= end);
        }
    }
}

impl State {
    fn send(&mut self, number: usize, body: String) {
        let id = format!("message-{}", self.messages.len());
        let index = self.messages.len() as u64;
        self.messages.push((
            number,
            QueuedMessage { id, body, receives: 0, delay_seconds: 0, attributes: BTreeMap::new() },
        ));
        self.waiting.push(Reverse((Instant::now(), index)));
        self.unfinished += 1;
    }

    fn take(&mut self, now: Instant) -> Vec<(usize, QueuedMessage)> {
        let mut batch = Vec::new();
        while batch.len() < BATCH && self.waiting.peek().is_some_and(|Reverse((at, _))| *at <= now)
        {
            if let Some(Reverse((_, index))) = self.waiting.pop() {
                batch.push(self.messages[index as usize].clone());
            }
        }
        batch
    }

    fn finish_batch(
        &mut self,
        batch: Vec<(usize, QueuedMessage)>,
        answer: &Value,
        max_receives: u32,
        is_in_time: bool,
    ) {
        let failed = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
        for (number, message) in batch {
            let has_failed =
                failed.iter().any(|failure| failure["itemIdentifier"] == message.id.as_str());
            self.finish(number, message, has_failed, max_receives, is_in_time);
        }
    }

    fn finish(
        &mut self,
        number: usize,
        message: QueuedMessage,
        has_failed: bool,
        max_receives: u32,
        is_in_time: bool,
    ) {
        let receives = message.receives + 1;
        self.most_receives = self.most_receives.max(receives);
        if has_failed && receives < max_receives {
            let index: u64 =
                message.id.trim_start_matches("message-").parse().expect("our own ids");
            self.messages[index as usize].1.receives = receives;
            self.waiting.push(Reverse((Instant::now() + queue::retry_delay(receives), index)));
            return;
        }
        self.unfinished -= 1;
        if has_failed {
            self.dead_letters += 1;
        } else if self.answered.insert(number) {
            self.answered_in_time += usize::from(is_in_time);
        }
    }

    fn is_finished(&self) -> bool {
        self.all_sent && self.unfinished == 0
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

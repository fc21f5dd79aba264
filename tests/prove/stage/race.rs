//! Calls that run at the same time: everything that is pending, some of it twice, with the request
//! of a client. Their AWS calls take random times on the paused clock, so the seed decides in which
//! order they happen.

use serde_json::{Value, json};
use tests::{aws::Called, events, rng::Rng, sqs::QueuedMessage};

use super::{PUBLISHERS, QUEUES, Stage, TABLES};

/// The most messages of a queue that are processed at the same time.
const MOST_MESSAGES: usize = 10;

/// What an invocation processes.
enum Work {
    Request,
    Changes(&'static str, usize),
    Message(&'static str, QueuedMessage),
}

impl Stage {
    /// From now on calls run at the same time.
    pub fn race(&mut self, seed: u64) {
        let mut rng = Rng::new(seed);
        self.shop.aws.take_random_times(rng.next());
        self.race = Some(rng);
    }

    /// Whether calls run at the same time.
    pub fn is_racing(&self) -> bool {
        self.race.is_some()
    }

    /// Runs a request twice at the same time, occasionally together with everything that is
    /// pending. Returns the response with the lower status.
    pub async fn race_request(&mut self, operation: &str, event: Value) -> Called {
        let answers = self.race_requests(operation, [event.clone(), event]).await.into_iter();
        answers.min_by_key(Called::status).unwrap_or_else(|| self.fail("no response"))
    }

    /// Runs two requests at the same time, occasionally together with everything that is pending.
    pub async fn race_requests(&mut self, operation: &str, events: [Value; 2]) -> Vec<Called> {
        let (mut calls, mut works) = (Vec::new(), Vec::new());
        for event in events {
            calls.push((operation.to_owned(), event));
            works.push(Work::Request);
        }
        if self.happens() {
            self.add_pending("", &mut calls, &mut works);
        }
        self.run(calls, works).await
    }

    /// Runs a scheduled operation twice at the same time, occasionally together with everything
    /// that is pending.
    pub async fn race_sweep(&mut self, operation: &str) {
        let (mut calls, mut works) = (Vec::new(), Vec::new());
        if self.happens() {
            self.add_pending("", &mut calls, &mut works);
        }
        for _ in 0..2 {
            calls.push((operation.to_owned(), json!({})));
            works.push(Work::Request);
        }
        self.run(calls, works).await;
        self.note(&format!("{operation} runs twice at the same time"));
    }

    /// Processes everything that is pending at the same time, except the messages of one queue.
    /// Returns whether anything was pending.
    pub(super) async fn race_pending(&mut self, delayed: &str) -> bool {
        let (mut calls, mut works) = (Vec::new(), Vec::new());
        self.add_pending(delayed, &mut calls, &mut works);
        let was_pending = !works.is_empty();
        self.run(calls, works).await;
        was_pending
    }

    fn happens(&mut self) -> bool {
        self.race.as_mut().is_some_and(|rng| rng.chance(50))
    }

    /// Adds an invocation for each table with changes and each message.
    fn add_pending(
        &mut self,
        delayed: &str,
        calls: &mut Vec<(String, Value)>,
        works: &mut Vec<Work>,
    ) {
        for table in TABLES {
            if self.has_changes(table) {
                let (records, position) = self.changes(table);
                calls.push((PUBLISHERS[table].clone(), json!({ "Records": records })));
                works.push(Work::Changes(table, position));
            }
        }
        for queue in QUEUES.into_iter().filter(|queue| *queue != delayed) {
            for message in self.shop.aws.queues().take(queue, MOST_MESSAGES) {
                let event = events::sqs(queue, std::slice::from_ref(&message));
                calls.push((Self::consumer(queue).to_owned(), event));
                works.push(Work::Message(queue, message));
            }
        }
    }

    /// Runs invocations at the same time, and about half of them twice. Messages and changes that
    /// one of two invocations could not process stay pending. Returns the responses to requests.
    async fn run(&mut self, mut calls: Vec<(String, Value)>, works: Vec<Work>) -> Vec<Called> {
        let names: Vec<String> = calls.iter().map(|(operation, _)| operation.clone()).collect();
        let mut twice = Vec::new();
        for (number, work) in works.iter().enumerate() {
            if !matches!(work, Work::Request) && self.happens() {
                twice.push(number);
                calls.push(calls[number].clone());
            }
        }
        if !calls.is_empty() {
            self.note(&format!(
                "at the same time: {}, {} of them twice",
                names.join(", "),
                twice.len()
            ));
        }
        let mut answers = self.shop.call_together(calls).await;
        let repeated = answers.split_off(works.len());
        let mut responses = Vec::new();
        for (number, (work, called)) in works.into_iter().zip(answers).enumerate() {
            let again = twice.iter().position(|other| *other == number);
            let again = again.map(|again| &repeated[again]);
            self.finish(&names[number], work, called, again, &mut responses);
        }
        responses
    }

    /// Takes over the answers of one or two invocations with the same event.
    fn finish(
        &mut self,
        operation: &str,
        work: Work,
        called: Called,
        again: Option<&Called>,
        responses: &mut Vec<Called>,
    ) {
        match work {
            Work::Request => responses.push(called),
            Work::Changes(table, position) => {
                let failed = [Some(&called), again].into_iter().flatten();
                let failed = failed.filter_map(|called| called.answer.as_ref().err()).next();
                match failed {
                    Some(failure) => self.note(&format!("{operation} fails: {failure:?}")),
                    None => self.published(table, position),
                }
            }
            Work::Message(queue, message) => {
                if is_failed(&called) || again.is_some_and(is_failed) {
                    self.note(&format!("{queue} is redelivered: {:?}", called.answer));
                    self.shop.aws.queues().make_visible(queue, message);
                }
            }
        }
    }
}

/// Whether a consumer did not process its only message.
fn is_failed(called: &Called) -> bool {
    called.answer.as_ref().map_or(true, |answer| answer["batchItemFailures"] != json!([]))
}

//! One schedule of a shop whose functions belong to two releases: this one, and another one in a
//! process of its own (`OTHER=` names its program; see [`tests::release`]).
//!
//! 1. Every function has its own release, which changes at random times in both directions. The
//!    tables have the indexes of the newer release from its first deployment on.
//! 2. A rollback: for a while all functions and indexes are those of the older release. Half of the
//!    schedules have one, and some of these mix the releases again.
//! 3. The roll-forward: all functions are those of the newer release. An operator redrives the dead
//!    letters: messages and changes that the older release did not understand.
//!
//! Then every order settles, and the ledger reconciles. A function of the older release may reject
//! and retry what it does not understand. It never removes an attribute that it does not know.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use shared::lambda::{Invocation, Lambda};
use tests::{release::Release, rng::Rng, shop::operations, template};

use super::{Played, Schedule};
use crate::stage::{QUEUES, TABLES};

/// The end of the fact about the dead letters of a schedule.
pub const LEFT_FOR_LATER: &str = " left for the newer release";

/// The attributes of orders that `tests/upgrade/next.patch` adds and never changes.
const ADDED: [&str; 1] = ["warehouse"];
/// The services of the schedules.
const SERVICES: [&str; 5] = ["inventory", "orders", "payments", "notifications", "ledger"];
/// Percentage of invocations before which a function changes its release.
const SWITCHES: u64 = 15;
/// Redrives after which the dead-letter queues do not become empty.
const MOST_REDRIVES: usize = 20;

/// The program of the other release.
pub fn program() -> Option<PathBuf> {
    env::var_os("OTHER").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether the other release is older than this one.
fn is_other_older() -> bool {
    env::var("OTHER_IS").is_ok_and(|age| age == "older")
}

/// The two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    This,
    Other,
}

impl Which {
    fn newer() -> Self {
        if is_other_older() { Self::This } else { Self::Other }
    }

    fn older() -> Self {
        if is_other_older() { Self::Other } else { Self::This }
    }
}

/// The release of each function.
struct Mixture {
    rng: Rng,
    /// The release of all functions; `None` while they are mixed.
    all: Option<Which>,
    of: BTreeMap<String, Which>,
}

impl Mixture {
    /// Chooses the release of an invocation.
    fn choose(&mut self, operation: &str) -> Which {
        let (switches, is_newer) =
            (self.rng.next() % 100 < SWITCHES, self.rng.next().is_multiple_of(2));
        if let Some(all) = self.all {
            return all;
        }
        let chosen = if is_newer { Which::newer() } else { Which::older() };
        let present = self.of.entry(operation.to_owned()).or_insert(chosen);
        if switches {
            *present = chosen;
        }
        *present
    }
}

/// A schedule whose functions belong to two releases.
struct Mixed {
    schedule: Schedule,
    other: Arc<Release>,
    mixture: Arc<Mutex<Mixture>>,
    /// The tables of this release.
    tables: BTreeMap<String, Value>,
    /// The number of redriven dead letters.
    left: usize,
}

/// Plays one schedule.
pub async fn play(seed: u64) -> Played {
    let mut mixed = Mixed::new(seed).await;
    mixed.play(seed).await
}

impl Mixed {
    async fn new(seed: u64) -> Self {
        thread_local! {
            /// A process is started once per worker.
            static OTHER: RefCell<Option<Arc<Release>>> = const { RefCell::new(None) };
        }
        let other = OTHER.with_borrow_mut(|other| {
            let start = || Arc::new(Release::start(&program().expect("OTHER names a program")));
            other.get_or_insert_with(start).clone()
        });
        other.begin();
        let mut schedule = Schedule::new(seed, false).await;
        // Releases before 0.2.0 charge 0 for a free order.
        schedule.has_free_orders = false;
        let mixture = Mixture { rng: Rng::new(seed ^ 0x5eed), all: None, of: BTreeMap::new() };
        let mixture = Arc::new(Mutex::new(mixture));
        for operation in operations().filter(|operation| SERVICES.contains(&operation.service)) {
            let name = operation.name();
            // An operation that only one release has stays as it is.
            if other.operations.contains(&name) {
                mix(&schedule, &other, &mixture, &name);
            }
        }
        let tables = template::template().tables();
        Self { schedule, other, mixture, tables, left: 0 }
    }

    async fn play(&mut self, seed: u64) -> Played {
        self.mix();
        self.schedule.run_with_faults().await;
        if seed.is_multiple_of(2) {
            self.run_only(Which::older(), "the rollback");
            self.schedule.run_steps(40).await;
        }
        if seed.is_multiple_of(4) {
            self.mix();
            self.schedule.run_steps(40).await;
        }
        self.run_only(Which::newer(), "the roll-forward");
        self.settle().await;
        self.schedule.stage.check();
        self.schedule.continue_confirmed().await;
        self.settle().await;
        let mut ends = self.schedule.stage.check();
        self.schedule.redrive().await;
        let again = self.schedule.stage.check();
        self.schedule.stage.ensure(again == ends, || {
            format!("the redrive changed the final state of orders: {ends:?}, {again:?}")
        });
        self.schedule.stage.check_ledger(seed.is_multiple_of(4)).await;
        self.check_attributes();
        if self.left > 0 {
            ends.push(format!("dead letters{LEFT_FOR_LATER}"));
        }
        let calls = self.schedule.stage.shop.aws.requests() as u64;
        Played { trace: self.schedule.stage.trace().to_owned(), ends, calls }
    }

    /// From now on every function changes its release at random times.
    fn mix(&mut self) {
        self.deploy(Which::newer());
        self.lock().all = None;
        self.schedule.stage.note("the releases are mixed");
    }

    /// Runs all functions in this release from now on.
    fn run_only(&mut self, release: Which, reason: &str) {
        self.deploy(release);
        self.lock().all = Some(release);
        self.schedule.stage.note(reason);
    }

    /// Updates the tables to those of a release.
    fn deploy(&self, release: Which) {
        let tables = match release {
            Which::This => &self.tables,
            Which::Other => &self.other.tables,
        };
        self.schedule.stage.shop.aws.database().deploy(tables);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Mixture> {
        self.mixture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the faults, redrives the dead letters, and lets everything settle.
    async fn settle(&mut self) {
        self.schedule.clear_faults();
        self.other.deliver_late_charges(&self.schedule.stage.shop);
        for _ in 0..MOST_REDRIVES {
            let redriven = self.redrive_dead_letters().await;
            self.schedule.settle().await;
            if redriven == 0 {
                return;
            }
            self.left += redriven;
        }
        self.schedule.stage.fail("the dead-letter queues do not become empty");
    }

    /// Does what `make redrive` does for every queue: sends messages to their queue again, and
    /// changes to their publisher. Returns their number.
    async fn redrive_dead_letters(&mut self) -> usize {
        let aws = self.schedule.stage.shop.aws.clone();
        let queues = aws.queues();
        let mut redriven = 0;
        for queue in QUEUES {
            for letter in queues.take(&format!("{queue}-dead-letter"), usize::MAX) {
                self.schedule.stage.note(&format!("{} is redriven", letter.json()["type"]));
                queues.send(queue, &letter.body);
                redriven += 1;
            }
        }
        for table in TABLES {
            let publisher = tests::shop::publisher_of(table);
            let name = publisher.strip_suffix("-events").unwrap_or(&publisher);
            for letter in queues.take(&format!("{name}-dead-letter"), usize::MAX) {
                let records = [letter.json()];
                self.schedule.stage.note(&format!("a change of {table} is redriven"));
                let called = self.schedule.stage.publish(table, &records).await;
                let stage = &self.schedule.stage;
                stage.ensure(called.answer.is_ok(), || format!("{:?}", called.answer));
                redriven += 1;
            }
        }
        redriven
    }

    /// Checks in the stream that no write has removed or changed an attribute of the next release.
    fn check_attributes(&self) {
        let stage = &self.schedule.stage;
        let table = format!("{}-orders", template::STACK);
        for record in stage.shop.aws.database().changes(&table, None).0 {
            let (old, new) = (&record["dynamodb"]["OldImage"], &record["dynamodb"]["NewImage"]);
            for name in ADDED.into_iter().filter(|name| old.get(name).is_some()) {
                stage.ensure(new.is_null() || new[name] == old[name], || {
                    format!("{name} is lost: {record:#}")
                });
            }
        }
    }
}

/// Puts a function in front of an operation that passes each event to one of the releases.
fn mix(schedule: &Schedule, other: &Arc<Release>, mixture: &Arc<Mutex<Mixture>>, operation: &str) {
    let shop = &schedule.stage.shop;
    let (this, that) = (shop.lambda(operation), other.lambda(operation, shop));
    let (aws, mixture, name) = (shop.aws.clone(), mixture.clone(), operation.to_owned());
    let lambda: Lambda = Arc::new(move |invocation: Invocation| {
        let chosen = mixture.lock().unwrap_or_else(PoisonError::into_inner).choose(&name);
        if chosen == Which::Other {
            aws.mention(format!("{name} of the other release"));
        }
        match chosen {
            Which::This => this(invocation),
            Which::Other => that(invocation),
        }
    });
    shop.replace(operation, lambda);
}

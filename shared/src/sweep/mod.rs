//! Sweeps: scheduled runs over all due records, regardless of their number and of failed records.
//!
//! - [`Lease`]: allows only one run at a time. The other runs return at once.
//! - [`Backlog`]: the due records of an index, the longest overdue first.
//! - [`Sweep`]: holds the lease and processes the backlog with limited concurrency, until it is
//!   empty or the time is up.
//! - [`Stop`]: ends a run that can process no further record now.
//! - [`LongestWait`]: how long the oldest record of a run has waited.
//! - [`RateLimiter`]: limits how many calls to an external service start per second.
//!
//! The services define the keys of leases and indexes.

mod backlog;
mod lease;
mod longest_wait;
mod rate_limiter;
mod report;
mod running;
mod stop;

use std::time::Duration;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    lambda::Failure,
    table::Item,
};

pub use backlog::Backlog;
pub use lease::Lease;
pub use longest_wait::LongestWait;
pub use rate_limiter::RateLimiter;
pub use report::{Report, TaskError};
pub use stop::Stop;

use running::Running;

/// Processes one record of the index. Returns `true` if the record is settled.
pub type Task<'a> = dyn Fn(Item) -> BoxFuture<'static, Result<bool, TaskError>> + Send + Sync + 'a;

/// One run: processes a backlog while it holds the lease.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// Prevents concurrent runs.
    pub lease: Lease,
    pub backlog: Backlog,
    /// The service's clock, for the lease.
    pub clock: &'a Clock,
    /// Time at which Lambda stops the function, by the system's clock.
    pub deadline: Timestamp,
    /// How many records are processed concurrently.
    pub concurrency: usize,
    /// Maximum time to process one record and release the lease. With less time left, the run
    /// starts no further record.
    pub min_time_left: Duration,
}

impl<'a> Sweep<'a> {
    /// Processes the backlog. A failed record is logged and skipped, so that it does not block the
    /// others.
    ///
    /// # Errors
    /// If the lease cannot be acquired or the index cannot be read. Records in progress are
    /// finished first.
    pub fn run(self, task: &'a Task<'a>) -> BoxFuture<'a, Result<Report, Failure>> {
        self.run_until(Stop::default(), task)
    }

    /// Processes the backlog until it is empty, the time is up or a task requests the end. The next
    /// run begins with the records that have been due for longest.
    ///
    /// # Errors
    /// See [`Sweep::run`].
    pub fn run_until(
        self,
        stop: Stop,
        task: &'a Task<'a>,
    ) -> BoxFuture<'a, Result<Report, Failure>> {
        Box::pin(async move {
            let Self { lease, backlog, clock, deadline, concurrency, min_time_left } = self;
            let limits = Limits { deadline, concurrency, min_time_left, stop };
            let work = Box::pin(work_through(backlog, limits, task));
            Ok(lease.hold(clock, deadline, work).await?.unwrap_or_else(Report::skipped))
        })
    }
}

/// What ends a run, and how many records it processes at the same time.
struct Limits {
    deadline: Timestamp,
    concurrency: usize,
    min_time_left: Duration,
    stop: Stop,
}

async fn work_through(
    mut backlog: Backlog,
    limits: Limits,
    task: &Task<'_>,
) -> Result<Report, Failure> {
    let Limits { deadline, concurrency, min_time_left, stop } = limits;
    let (mut report, mut running) = (Report::default(), Running::default());
    let mut outcome = Ok(());
    loop {
        if running.len() >= concurrency.max(1) {
            running.join_one(&mut report).await;
            continue;
        }
        if stop.is_requested() {
            report.remaining = backlog.buffered();
            break;
        }
        match backlog.next_item().await {
            Ok(Some(record)) if deadline.since(Clock::System.now()) >= min_time_left => {
                running.start(&record, task(record.clone()))
            }
            Ok(Some(_)) => {
                report.remaining = backlog.buffered().saturating_add(1);
                break;
            }
            Ok(None) => break,
            Err(error) => {
                outcome = Err(Failure::from_error("BacklogReadFailed", &error));
                break;
            }
        }
    }
    while running.len() > 0 {
        running.join_one(&mut report).await;
    }
    outcome.map(|()| report)
}

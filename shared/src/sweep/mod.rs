//! Sweeps: functions that a schedule starts, and that work through all that is due, however much it
//! is and whatever of it fails.
//!
//! - [`Lease`]: of several runs that a schedule starts, one works. The others return at once.
//! - [`Backlog`]: what an index shows as due, the longest overdue first.
//! - [`Sweep`]: holds the lease and works through the backlog, several records at a time, until it
//!   is done or the time is up.
//! - [`RateLimiter`]: how many calls to an external service may begin per second.
//!
//! The keys of leases and indexes belong to the service.

mod backlog;
mod lease;
mod rate_limiter;
mod report;
mod running;

use std::time::Duration;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    lambda::Failure,
    table::Item,
};

pub use backlog::Backlog;
pub use lease::Lease;
pub use rate_limiter::RateLimiter;
pub use report::{Report, TaskError};

use running::Running;

/// What is done with one record of the index: `true` if it is settled then.
pub type Task<'a> = dyn Fn(Item) -> BoxFuture<'static, Result<bool, TaskError>> + Send + Sync + 'a;

/// One run.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// Makes sure that no other run works at the same time.
    pub lease: Lease,
    /// What is due.
    pub backlog: Backlog,
    /// The service's clock, for the lease.
    pub clock: &'a Clock,
    /// When the function is stopped, by the system's clock.
    pub deadline: Timestamp,
    /// How many records are worked on at a time.
    pub concurrency: usize,
    /// The time that one record and the release of the lease take at most. A run that has less left
    /// begins no further record.
    pub min_time_left: Duration,
}

impl<'a> Sweep<'a> {
    /// Works through the backlog. A record that fails is logged and passed over, so that it keeps
    /// no other from its turn.
    ///
    /// # Errors
    /// When the lease cannot be taken or the index cannot be read. What was begun before is
    /// finished.
    pub fn run(self, task: &'a Task<'a>) -> BoxFuture<'a, Result<Report, Failure>> {
        Box::pin(async move {
            let Self { lease, backlog, clock, deadline, concurrency, min_time_left } = self;
            let work = Box::pin(work_through(backlog, deadline, concurrency, min_time_left, task));
            Ok(lease.hold(clock, deadline, work).await?.unwrap_or_else(Report::skipped))
        })
    }
}

async fn work_through(
    mut backlog: Backlog,
    deadline: Timestamp,
    concurrency: usize,
    min_time_left: Duration,
    task: &Task<'_>,
) -> Result<Report, Failure> {
    let (mut report, mut running) = (Report::default(), Running::default());
    let mut outcome = Ok(());
    loop {
        if running.len() >= concurrency.max(1) {
            running.join_one(&mut report).await;
            continue;
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

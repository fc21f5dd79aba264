//! Faults, latency and limits that a test injects.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use super::{Aws, Check, lock};
use crate::{
    partitions::{Limits, PartitionKey, Partitions},
    rng::Rng,
    template,
};

/// The bound of the random times of [`Aws::take_random_times`].
const MOST_MILLISECONDS: u64 = 10;

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service throttles it.
    Throttle,
    /// The request never arrives. To the caller it looks like a lost response.
    LoseRequest,
    /// The request is executed, and its response never arrives.
    LoseResponse,
    /// A write fails with a transaction conflict on its item. Other calls are executed.
    Conflict,
    /// The function crashes before the call.
    CrashBefore,
    /// The call is executed, and the function crashes before its response arrives.
    CrashAfter,
}

impl Aws {
    /// Injects a fault into a later call: 0 is the next one.
    pub fn fail(&self, call: usize, fault: Fault) {
        lock(&self.0.faults).insert(self.0.next_call.load(Ordering::SeqCst) + call, fault);
    }

    /// The faults that hit a call since the last time, each with the call: `Throttle at PutItem orders`.
    pub fn take_hits(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0.hits))
    }

    /// Adds to the hits something else that affects the present event.
    pub fn mention(&self, what: String) {
        lock(&self.0.hits).push(what);
    }

    /// Checks the tables after each write from now on. The first violation is kept.
    pub fn watch(&self, check: Check) {
        *lock(&self.0.watch) = Some(check);
    }

    /// The first violation that [`Aws::watch`] found.
    pub fn violation(&self) -> Option<String> {
        lock(&self.0.violation).clone()
    }

    /// From a later call on, the endpoint of `service` accepts requests and answers none of them: 0
    /// is the next call, of any service. Tests of this run with time paused, and with
    /// [`Aws::call_as_deployed`]: without timeouts the caller waits forever.
    pub fn hang(&self, service: &'static str, call: usize) {
        *lock(&self.0.hanging) = Some((service, self.requests() + call));
    }

    /// Gives SDK clients that are built from now on the timeouts and retries of deployed functions.
    pub fn call_as_deployed(&self) {
        self.0.is_deployed.store(true, Ordering::SeqCst);
    }

    /// From now on every call takes `latency`. Tests of this run with time paused. The elapsed time
    /// divided by `latency` is the number of sequential calls.
    pub fn take_time(&self, latency: Duration) {
        *lock(&self.0.latency) = latency;
    }

    /// From now on every call takes a random time of some milliseconds, so that concurrent
    /// invocations overlap. Tests of this run with time paused: the same seed has the same order.
    pub fn take_random_times(&self, seed: u64) {
        *lock(&self.0.random_times) = Some(Rng::new(seed));
    }

    /// The time that the next call takes.
    pub(super) fn next_latency(&self) -> Duration {
        match &mut *lock(&self.0.random_times) {
            Some(rng) => Duration::from_millis(rng.next() % MOST_MILLISECONDS),
            None => *lock(&self.0.latency),
        }
    }

    /// From now on the read units, and the write units of each partition key, are counted. With
    /// `limits`, writes above them are throttled and transactions conflict. Tests of limits run with
    /// time paused.
    pub fn count_write_units(&self, limits: Option<Limits>) {
        *lock(&self.0.partitions) = Some(Partitions::new(template::template(), limits));
    }

    /// The write units charged to each partition key since [`Aws::count_write_units`].
    pub fn write_units(&self) -> BTreeMap<PartitionKey, u64> {
        lock(&self.0.partitions)
            .as_ref()
            .map(|partitions| partitions.units().clone())
            .unwrap_or_default()
    }

    /// The read units of all keys together since [`Aws::count_write_units`].
    pub fn read_units(&self) -> f64 {
        lock(&self.0.partitions).as_ref().map(Partitions::read_units).unwrap_or_default()
    }

    /// The items that reads have returned since [`Aws::count_write_units`].
    pub fn rows_read(&self) -> u64 {
        lock(&self.0.partitions).as_ref().map(Partitions::rows).unwrap_or_default()
    }

    /// The numbers of throttled requests and of conflicts since [`Aws::count_write_units`].
    pub fn refusals(&self) -> (u64, u64) {
        lock(&self.0.partitions).as_ref().map(Partitions::refusals).unwrap_or_default()
    }

    /// Removes the faults that are still pending.
    pub fn heal(&self) {
        lock(&self.0.faults).clear();
        *lock(&self.0.hanging) = None;
    }
}

/// An error response: with a reason for each write of a transaction, otherwise with the error's
/// name.
pub(super) fn refused(
    service: &str,
    operation: &str,
    request: &Value,
    error: &str,
    reason: &str,
) -> (u16, String) {
    if operation == "TransactWriteItems" {
        let writes = request["TransactItems"].as_array().map_or(1, Vec::len);
        let reasons =
            (0..writes).map(|write| json!({ "Code": if write == 0 { reason } else { "None" } }));
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled",
            "CancellationReasons": reasons.collect::<Vec<_>>(),
        });
        return (400, body.to_string());
    }
    let error = if service == "ses" { "TooManyRequestsException" } else { error };
    (400, json!({ "__type": error, "message": "fault injected by the test" }).to_string())
}

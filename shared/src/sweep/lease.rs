//! The lease of a sweep: one item of the service's table, with an owner and an expiry.

use std::time::Duration;

use serde::Serialize;

use crate::{
    BoxFuture,
    clock::{Clock, Timestamp},
    ids::Ids,
    lambda::Failure,
    table::{AttributeValue, Expression, Item, Key, Outcome, Table, TableError, to_item},
};

/// Time that a lease outlasts its function, to allow for clock skew between instances.
const MARGIN: Duration = Duration::from_secs(10);

/// Maximum number of attempts to write the lease if a write has no known outcome.
const MAX_ATTEMPTS: u32 = 3;

/// Allows only one run of a sweep at a time.
///
/// A killed run cannot release its lease. The lease expires ten seconds after the function's
/// deadline, by the service's clock.
#[derive(Clone, Debug)]
pub struct Lease {
    table: Table,
    key: Key,
    owner: String,
}

#[derive(Serialize)]
struct LeaseItem<'a> {
    owner: &'a str,
    expires_at: Timestamp,
}

impl Lease {
    /// Creates a lease with the key `key`, without acquiring it.
    pub fn new(table: &Table, key: Key) -> Self {
        let owner = Ids::System.bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { table: table.clone(), key, owner }
    }

    /// Acquires the lease, runs `work` and releases the lease, even if `work` fails. Returns `None`
    /// without running `work` if another run holds the lease.
    ///
    /// # Errors
    /// If the lease cannot be written, or if `work` fails.
    pub fn hold<'a, T: Send + 'a>(
        self,
        clock: &'a Clock,
        deadline: Timestamp,
        work: BoxFuture<'a, Result<T, Failure>>,
    ) -> BoxFuture<'a, Result<Option<T>, Failure>> {
        Box::pin(async move {
            if !self
                .acquire(clock, deadline)
                .await
                .map_err(|error| Failure::from_error("LeaseFailed", &error))?
            {
                tracing::info!("another run holds the lease, run skipped");
                return Ok(None);
            }
            let outcome = work.await;
            self.release(clock).await;
            outcome.map(Some)
        })
    }

    async fn acquire(&self, clock: &Clock, deadline: Timestamp) -> Result<bool, TableError> {
        let now = clock.now();
        // The deadline uses the system's clock, the lease the service's, which a test can advance.
        let expires_at = now.plus(deadline.since(Clock::System.now()) + MARGIN);
        let is_free = Expression::new("attribute_not_exists(#expires_at) OR #expires_at <= :now")
            .value("now", now);
        match self.write(expires_at, is_free).await? {
            Outcome::Written => Ok(true),
            // The response to an earlier attempt of this write was lost.
            Outcome::ConditionFailed(current) => {
                Ok(current.is_some_and(|item| self.is_owned(&item)))
            }
        }
    }

    /// Releases the lease. If that fails, the sweep pauses until the lease expires.
    async fn release(&self, clock: &Clock) {
        let is_ours = Expression::new("#owner = :this_run").value("this_run", &self.owner);
        if let Err(error) = self.write(clock.now(), is_ours).await {
            crate::http::warn(
                &error,
                "lease not released, it expires soon after the function's time limit",
            );
        }
    }

    async fn write(
        &self,
        expires_at: Timestamp,
        condition: Expression,
    ) -> Result<Outcome, TableError> {
        let mut item = to_item(&LeaseItem { owner: &self.owner, expires_at });
        item.extend(self.key.clone().into_item());
        let mut outcome = self.table.put(item.clone(), condition.clone()).await;
        for _ in 1..MAX_ATTEMPTS {
            if !outcome.as_ref().is_err_and(TableError::is_transient) {
                break;
            }
            outcome = self.table.put(item.clone(), condition.clone()).await;
        }
        outcome
    }

    fn is_owned(&self, item: &Item) -> bool {
        item.get("owner") == Some(&AttributeValue::S(self.owner.clone()))
    }
}

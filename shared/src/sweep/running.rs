//! The records that a sweep works on at the moment.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use super::{Cause, Report};
use crate::{
    BoxFuture, telemetry,
    table::{Item, key_text},
};

/// Tasks, each with the key of its record: a task that panics does not say which record it was.
#[derive(Debug, Default)]
pub(super) struct Running {
    tasks: JoinSet<Result<bool, Cause>>,
    keys: HashMap<Id, String>,
}

impl Running {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn start(&mut self, record: &Item, task: BoxFuture<'static, Result<bool, Cause>>) {
        let started = self.tasks.spawn(task.in_current_span());
        self.keys.insert(started.id(), key_text(record));
    }

    /// Waits for one task and counts how it ended. A failure is logged with the record's key.
    pub(super) async fn join_one(&mut self, report: &mut Report) {
        let Some(joined) = self.tasks.join_next_with_id().await else { return };
        report.examined += 1;
        let (id, failure) = match joined {
            Ok((id, Ok(is_settled))) => {
                self.keys.remove(&id);
                *(if is_settled { &mut report.settled } else { &mut report.unsettled }) += 1;
                return;
            }
            Ok((id, Err(error))) => (id, telemetry::causes(&*error)),
            Err(panic) => (panic.id(), panic.to_string()),
        };
        report.failed += 1;
        let record = self.keys.remove(&id).unwrap_or_default();
        tracing::error!(record, error = failure, "record failed, it stays due");
    }
}

//! The records that a sweep is currently processing.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use super::report::{Report, TaskError};
use crate::{
    BoxFuture,
    table::{Item, key_text},
    telemetry,
};

/// Tasks with the keys of their records. A panic does not say which record caused it.
#[derive(Debug, Default)]
pub(super) struct Running {
    tasks: JoinSet<Result<bool, TaskError>>,
    keys: HashMap<Id, String>,
}

impl Running {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn start(
        &mut self,
        record: &Item,
        task: BoxFuture<'static, Result<bool, TaskError>>,
    ) {
        let started = self.tasks.spawn(task.in_current_span());
        self.keys.insert(started.id(), key_text(record));
    }

    /// Waits for one task and counts its result. A failure is logged with the record's key.
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
        tracing::error!(record, error = failure, "record failed and stays due");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::AttributeValue;

    #[tokio::test]
    async fn failures_and_panics_are_counted_and_do_not_stop_the_sweep() {
        let (mut running, mut report) = (Running::default(), Report::default());
        let tasks: [fn() -> Result<bool, TaskError>; 4] =
            [|| Ok(true), || Ok(false), || Err("unreadable".into()), || panic!("a mistake")];
        for (number, task) in tasks.into_iter().enumerate() {
            let record =
                Item::from([("pk".to_owned(), AttributeValue::S(format!("ORDER#{number}")))]);
            running.start(&record, Box::pin(async move { task() }));
        }
        while running.len() > 0 {
            running.join_one(&mut report).await;
        }
        assert_eq!(
            report,
            Report { examined: 4, settled: 1, unsettled: 1, failed: 2, ..Report::default() }
        );
        assert!(running.keys.is_empty());
    }
}

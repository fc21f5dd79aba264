//! The result of a run: how many records were processed, and how.

use std::error::Error;

use serde::Serialize;

/// Counts of a run, logged and returned to the invoker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that were processed.
    pub examined: u32,
    /// Records that have no due work left.
    pub settled: u32,
    /// Records that are still due, or that need no work now.
    pub unsettled: u32,
    /// Records that could not be read or written, or that panicked. They are still due; the log
    /// contains their keys.
    pub failed: u32,
    /// Records that were read but not processed when the time was up. The index may contain more.
    pub remaining: u32,
    /// True if another run holds the lease. This run did nothing.
    pub already_running: bool,
}

impl Report {
    /// The report of a run that did not acquire the lease.
    pub fn skipped() -> Self {
        Self { already_running: true, ..Self::default() }
    }
}

pub type TaskError = Box<dyn Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_run_has_processed_nothing() {
        let skipped = Report::skipped();
        assert!(skipped.already_running);
        assert_eq!(Report { already_running: false, ..skipped }, Report::default());
    }
}

//! What a run did, and why a record failed.

use std::error::Error;

use serde::Serialize;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that were examined.
    pub examined: u32,
    /// Records for which everything was done that was due.
    pub settled: u32,
    /// Records that stay due, or that need nothing now.
    pub unsettled: u32,
    /// Records that could not be read or written, or that panicked. They stay due; the log names
    /// each.
    pub failed: u32,
    /// Records that were found and not examined, because the time was up. There may be more behind
    /// them.
    pub remaining: u32,
    /// Whether another run holds the lease: this one did nothing.
    pub already_running: bool,
}

impl Report {
    /// The report of a run that found the lease taken.
    pub fn skipped() -> Self {
        Self { already_running: true, ..Self::default() }
    }
}

/// Why a record failed.
pub type TaskError = Box<dyn Error + Send + Sync>;

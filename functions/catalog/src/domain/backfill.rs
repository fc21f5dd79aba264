//! Backfill runs: each publishes every product again, so that a copy that missed a message becomes
//! current.
//!
//! A run moves its cursor through the partitions of all active products, then of all archived ones.
//! A product that is archived during the run moves to a later partition, never to an earlier one. A
//! product that is renamed may be skipped: its change was just published as a new version.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

/// Progress of a backfill run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRun {
    /// Greater than the numbers of all earlier runs. Stored in each product that the run publishes.
    pub number: u64,
    /// Where the run continues; `None` once it is finished.
    #[serde(default)]
    pub cursor: Option<Cursor>,
    /// Increases with every write.
    pub version: u64,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A position between two products.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Index of the partition: active partitions first, then archived ones.
    pub partition: u32,
    /// Sort key of the last product read; `None` at the start of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl BackfillRun {
    /// Starts a run after `last`; `None` for the first run.
    pub fn start(last: Option<&Self>, now: Timestamp) -> Self {
        let milliseconds_now = u64::try_from(now.milliseconds()).unwrap_or(0);
        Self {
            // Versions count from 1 and run numbers are milliseconds since 1970, so the number of a
            // run is never the version of a product.
            number: last.map_or(milliseconds_now, |last| milliseconds_now.max(last.number + 1)),
            cursor: Some(Cursor::default()),
            version: last.map_or(1, |last| last.version + 1),
            started_at: now,
            updated_at: now,
        }
    }

    /// Whether the run is finished and the next one may not start yet: `cooldown` must pass from
    /// the start of this run.
    pub fn is_cooling_down(&self, cooldown: Duration, now: Timestamp) -> bool {
        self.cursor.is_none() && now.since(self.started_at) < cooldown
    }

    /// The run at its next position; `None` finishes it.
    #[must_use]
    pub fn advance(&self, cursor: Option<Cursor>, now: Timestamp) -> Self {
        Self { cursor, version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

impl Cursor {
    /// The position after a page that ended with `last`. With `more`, the partition may contain
    /// further products. `None` after the last of all `partitions`.
    pub fn after_page(&self, last: Option<String>, more: bool, partitions: u32) -> Option<Self> {
        if more {
            return Some(Self { partition: self.partition, after: last });
        }
        let next = self.partition + 1;
        (next < partitions).then_some(Self { partition: next, after: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn run_numbers_increase_even_if_the_clock_goes_backwards() {
        let now = Timestamp::from_milliseconds(1_800_000_000_000);
        let first = BackfillRun::start(None, now);
        let second = BackfillRun::start(Some(&first), now.plus(Duration::from_secs(1)));
        let third = BackfillRun::start(Some(&second), now);
        assert!(first.number < second.number && second.number < third.number);
        assert_eq!((first.version, second.version, third.version), (1, 2, 3));
    }

    #[test]
    fn finished_run_cools_down_from_its_start() {
        let start = Timestamp::from_milliseconds(1_800_000_000_000);
        let (later, cooldown) = (start.plus(Duration::from_secs(59)), Duration::from_secs(60));
        let running = BackfillRun::start(None, start);
        assert!(!running.is_cooling_down(cooldown, later), "it continues");
        let finished = running.advance(None, later);
        assert!(finished.is_cooling_down(cooldown, later));
        assert!(!finished.is_cooling_down(cooldown, start.plus(cooldown)));
    }

    #[test]
    fn advanced_run_keeps_its_number_and_start() {
        let start = Timestamp::from_milliseconds(1_800_000_000_000);
        let later = start.plus(Duration::from_secs(1));
        let cursor = Some(Cursor { partition: 1, after: Some("m".to_owned()) });
        let run = BackfillRun::start(None, start);
        let advanced = run.advance(cursor.clone(), later);
        assert_eq!(advanced, BackfillRun { cursor, version: 2, updated_at: later, ..run });
    }

    #[test]
    fn run_visits_every_page_of_every_partition() {
        let mut cursor = Some(Cursor::default());
        let mut seen = Vec::new();
        while let Some(here) = cursor {
            // The second partition has two pages.
            let more = here.partition == 1 && here.after.is_none();
            seen.push((here.partition, here.after.clone()));
            cursor = here.after_page(Some("m".to_owned()), more, 3);
        }
        assert_eq!(seen, [(0, None), (1, None), (1, Some("m".to_owned())), (2, None)]);
    }
}

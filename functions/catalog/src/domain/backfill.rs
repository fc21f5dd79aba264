//! Backfill runs, which publish every product again so that a copy that missed a message becomes
//! current.
//!
//! A run moves its cursor first through all active products, then through all archived ones, each
//! over the partitions of its index. A product that is archived meanwhile moves from the unread
//! part to a later part, never backwards. One that is renamed meanwhile may be skipped: its change
//! was just published in a version of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;

/// How far a round is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRun {
    /// Its number, greater than those of all earlier runs; products published in it carry it.
    pub number: u64,
    /// Where it continues; `None` once it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Grows with every write.
    pub version: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
}

/// Between two products.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which partition, counted through both kinds.
    pub partition: u32,
    /// The product that was the last, by what the index sorts it by; none: at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl BackfillRun {
    /// The round that begins now, after `last` (none: it is the first of all).
    pub fn start(last: Option<&Self>, now: Timestamp) -> Self {
        let milliseconds_now = u64::try_from(now.milliseconds()).unwrap_or(0);
        Self {
            // Versions are counted and rounds take the time, so that a message of a round never has
            // the number of a version's.
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

    /// The round at its next place (none: it is over).
    #[must_use]
    pub fn advance(&self, cursor: Option<Cursor>, now: Timestamp) -> Self {
        Self { cursor, version: self.version + 1, updated_at: now, ..self.clone() }
    }
}

impl Cursor {
    /// The place behind a page that was found here and ended with `last`, if `more` may follow in
    /// the same partition. There are `partitions` in all; none: that was the last.
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
    fn a_round_goes_through_every_partition_to_its_end() {
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

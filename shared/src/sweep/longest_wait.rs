//! The longest wait of the records that a run processes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The maximum of the included waits, in whole milliseconds. Clones share it, so that concurrent
/// tasks can include their records.
#[derive(Clone, Debug, Default)]
pub struct LongestWait(Arc<AtomicU64>);

impl LongestWait {
    pub fn include(&self, wait: Duration) {
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_max(milliseconds, Ordering::Relaxed);
    }

    /// Returns the longest wait, or zero if none was included.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_wait_is_shared_by_clones() {
        let longest = LongestWait::default();
        assert_eq!(longest.get(), Duration::ZERO);
        for milliseconds in [7, 90, 11] {
            longest.clone().include(Duration::from_millis(milliseconds));
        }
        assert_eq!(longest.get(), Duration::from_millis(90));
    }
}

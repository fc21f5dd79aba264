//! Ends a run before its backlog is empty.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Requests the end of a run that can process no further record now. Clones share the request, so
/// that concurrent tasks can make it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Requests the end of the run. Records in progress are finished.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_shared_by_clones() {
        let stop = Stop::default();
        assert!(!stop.is_requested());
        stop.clone().request();
        assert!(stop.is_requested());
    }
}

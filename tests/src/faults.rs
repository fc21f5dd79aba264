//! Whatever happens to a call: a story played once for each fault at each of its calls of AWS.

use std::thread;

use crate::aws::{Called, Fault};

/// Every fault.
pub const FAULTS: [Fault; 4] =
    [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];

/// One fault of one call, which the story hands to [`crate::aws::Aws::fail`] when its turn has
/// come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFault {
    /// Which call, counted from then on.
    pub call: usize,
    /// What happens to it.
    pub fault: Fault,
}

/// Says which mishap it was when the story fails.
struct Told(InjectedFault);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            let InjectedFault { call, fault } = self.0;
            eprintln!("this happened: {fault:?} at call {call}");
        }
    }
}

/// Plays a story for each fault at each of these calls.
pub async fn for_each_fault(
    calls: impl IntoIterator<Item = usize>,
    mut story: impl AsyncFnMut(InjectedFault),
) {
    for call in calls {
        for fault in FAULTS {
            let told = Told(InjectedFault { call, fault });
            story(told.0).await;
        }
    }
}

/// Plays a story for each fault at every call that its operation makes: it returns what the faulty
/// operation answered. The last time no fault is injected.
pub async fn whatever_happens_to_any_call(mut story: impl AsyncFnMut(InjectedFault) -> Called) {
    for fault in FAULTS {
        for call in 0.. {
            let told = Told(InjectedFault { call, fault });
            if story(told.0).await.calls.len() <= call {
                break;
            }
        }
    }
}

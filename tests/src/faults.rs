//! Fault injection: runs a test scenario once for each fault at each of its AWS calls.

use std::thread;

use crate::aws::{Called, Fault};

pub const FAULTS: [Fault; 4] =
    [Fault::Throttle, Fault::LoseRequest, Fault::LoseResponse, Fault::Conflict];

/// A fault at one call. The scenario passes it to [`crate::aws::Aws::fail`] just before the
/// operation under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFault {
    /// The call's number, counted from the injection.
    pub call: usize,
    pub fault: Fault,
}

/// Prints the injected fault when the scenario panics.
struct PrintOnPanic(InjectedFault);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let InjectedFault { call, fault } = self.0;
            eprintln!("injected fault: {fault:?} at call {call}");
        }
    }
}

/// Runs a scenario for each fault at each of these calls.
pub async fn for_each_fault(
    calls: impl IntoIterator<Item = usize>,
    mut story: impl AsyncFnMut(InjectedFault),
) {
    for call in calls {
        for fault in FAULTS {
            let injected = PrintOnPanic(InjectedFault { call, fault });
            story(injected.0).await;
        }
    }
}

/// Runs a scenario for each fault at every call of its operation. The scenario returns the answer
/// of the faulty operation. The last run injects no fault.
pub async fn for_each_fault_at_each_call(mut story: impl AsyncFnMut(InjectedFault) -> Called) {
    for fault in FAULTS {
        for call in 0.. {
            let injected = PrintOnPanic(InjectedFault { call, fault });
            if story(injected.0).await.calls.len() <= call {
                break;
            }
        }
    }
}

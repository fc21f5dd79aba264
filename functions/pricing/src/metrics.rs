//! The metrics of pricing.

use shared::metrics::{self, Metric};

const SERVICE: &str = "pricing";

pub const SWEEP_FAILED: Metric = metrics::SWEEP_FAILED.of(SERVICE);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    SWEEP_FAILED,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::UNPUBLISHABLE_CHANGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

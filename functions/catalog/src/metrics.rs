//! The metrics of the catalog.

use shared::metrics::{self, Metric};

const SERVICE: &str = "catalog";

pub const SWEEP_FAILED: Metric = metrics::SWEEP_FAILED.of(SERVICE);

/// Every metric of the service.
pub const METRICS: &[Metric] =
    &[SWEEP_FAILED, metrics::UNPUBLISHABLE_CHANGE.of(SERVICE), metrics::SERVER_ERRORS.of(SERVICE)];

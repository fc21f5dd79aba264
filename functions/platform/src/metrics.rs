//! The metrics of the platform.

use shared::metrics::{self, Metric};

const SERVICE: &str = "platform";

/// Every metric of the service.
pub const METRICS: &[Metric] = &[metrics::SERVER_ERRORS.of(SERVICE)];

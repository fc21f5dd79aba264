//! The metrics of users.

use shared::metrics::{self, Metric};

const SERVICE: &str = "users";

pub const REFRESH_TOKEN_REUSED: Metric = Metric::count(
    SERVICE,
    "RefreshTokenReused",
    "Sessions that ended because a refresh token was used twice",
);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    REFRESH_TOKEN_REUSED,
    metrics::UNPUBLISHABLE_CHANGE.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

//! The metrics of the ledger.

use shared::metrics::{self, Metric};

const SERVICE: &str = "ledger";

pub const LEDGER_MISMATCH: Metric = Metric::count(
    SERVICE,
    "LedgerMismatch",
    "Messages whose ledger entry contradicts the recorded entry with its id",
);

pub const LEDGER_UNBALANCED: Metric = Metric::count(
    SERVICE,
    "LedgerUnbalanced",
    "Orders and products whose records do not reconcile",
);

pub const AUDIT_INCOMPLETE: Metric = Metric::count(
    SERVICE,
    "AuditIncomplete",
    "Reconciliations that are overdue or could not read all records",
);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    LEDGER_MISMATCH,
    LEDGER_UNBALANCED,
    AUDIT_INCOMPLETE,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

//! The metrics of notifications.

use shared::metrics::{self, Metric};

const SERVICE: &str = "notifications";

pub const MAIL_SUPPRESSED: Metric = Metric::count(
    SERVICE,
    "MailSuppressed",
    "Mails that were not sent because their recipient is suppressed",
);

pub const MAIL_REJECTED: Metric = Metric::count(SERVICE, "MailRejected", "Mails that SES rejected");

pub const MAIL_BOUNCED: Metric =
    Metric::count(SERVICE, "MailBounced", "Recipients suppressed after a permanent bounce");

pub const MAIL_COMPLAINED: Metric =
    Metric::count(SERVICE, "MailComplained", "Recipients suppressed after a complaint");

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    MAIL_SUPPRESSED,
    MAIL_REJECTED,
    MAIL_BOUNCED,
    MAIL_COMPLAINED,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

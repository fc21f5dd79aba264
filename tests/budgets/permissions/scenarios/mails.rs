//! Mails that bounce, and mails about accounts.

use crate::permissions::*;

/// Bounced mails and one complaint; each is reported twice.
pub(super) async fn bounced_mails(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    for (kind, data) in [
        ("mail_bounced.v1", ses::bounced(ADA, "Transient")),
        ("mail_bounced.v1", ses::bounced(ADA, "Permanent")),
        ("mail_complained.v1", ses::complained(ADA, Some("abuse"))),
    ] {
        for _ in 0..2 {
            let feedback = watched
                .cold("record-mail-feedback", events::message("record-mail-feedback", kind, &data))
                .await;
            assert_eq!(feedback.ok()["batchItemFailures"], json!([]));
        }
    }
    assert_eq!(
        watched.cold("send-notification", sample("send-notification")).await.ok()["batchItemFailures"],
        json!([])
    );
    assert!(watched.shop.aws.mails().mails().is_empty(), "no mail is sent to it");
}

/// Account mails to a suppressed address and to one that is not suppressed.
pub(super) async fn account_mails(seen: &Arc<Mutex<Actions>>) {
    let operation = "send-account-notification";
    for call in 0..6 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            let watched = Watched::new(seen);
            watched.with_fault(call, fault, operation, sample(operation)).await;
            watched.shop.clock.advance(Duration::from_secs(3600));
            watched.cold(operation, sample(operation)).await;
        }
    }
}

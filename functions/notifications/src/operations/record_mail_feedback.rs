//! Queue `record-mail-feedback`: suppresses addresses that bounce or complain.
//!
//! SES reports both through EventBridge. The rules copy the fields that this function reads into
//! our envelope, and drop the rest of the mail.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use shared::{
    metrics::Metric,
    queue::{FromMessage, InvalidMessage, Received, read_as},
};

use crate::{Notifications, error::NotificationError, metrics, suppression::Reason};

/// Feedback about a mail that SES had accepted.
#[derive(Clone, Debug)]
pub enum MailFeedback {
    /// `mail_bounced.v1`: the mail bounced.
    Bounced(MailBounced),
    /// `mail_complained.v1`: the recipient complained.
    Complained(MailComplained),
}

#[derive(Clone, Debug, Deserialize)]
pub struct MailBounced {
    destination: Vec<String>,
    bounce: Bounce,
}

/// The bounce, in SES's terms.
#[derive(Clone, Debug, Deserialize)]
struct Bounce {
    /// `Permanent`, `Transient` or `Undetermined`.
    #[serde(rename = "bounceType")]
    kind: String,
}

/// A mail that its recipient reported as spam.
#[derive(Clone, Debug, Deserialize)]
pub struct MailComplained {
    destination: Vec<String>,
    complaint: Complaint,
}

/// The complaint, in SES's terms.
#[derive(Clone, Debug, Deserialize)]
struct Complaint {
    /// The mailbox provider's term: `abuse`, `not-spam` and others.
    #[serde(rename = "complaintFeedbackType")]
    kind: Option<String>,
}

impl FromMessage for MailFeedback {
    fn from_message(kind: &str, data: Value) -> Result<Self, InvalidMessage> {
        match kind {
            "mail_bounced.v1" => read_as(kind, kind, data).map(Self::Bounced),
            "mail_complained.v1" => read_as(kind, kind, data).map(Self::Complained),
            _ => Err(InvalidMessage::unknown_type()),
        }
    }

    /// The count of suppressed addresses, which is one item.
    fn contends_for(_data: &Value) -> Vec<String> {
        vec!["suppression count".to_owned()]
    }
}

impl MailFeedback {
    /// Why the address is suppressed; `None` if it is not.
    ///
    /// A transient or undetermined bounce may succeed the next time. `not-spam` withdraws a
    /// complaint.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Bounced(mail) => (mail.bounce.kind == "Permanent").then_some(Reason::Bounce),
            Self::Complained(mail) => {
                (mail.complaint.kind.as_deref() != Some("not-spam")).then_some(Reason::Complaint)
            }
        }
    }

    /// The address that the mail was sent to. The report may contain another one, if the mail was
    /// forwarded. Each of our mails has one recipient; with several, the bounced one is unknown.
    fn address(&self) -> Option<&str> {
        let (Self::Bounced(MailBounced { destination, .. })
        | Self::Complained(MailComplained { destination, .. })) = self;
        match destination.as_slice() {
            [address] => Some(address),
            _ => None,
        }
    }

    fn metric(&self) -> Metric {
        match self {
            Self::Bounced(_) => metrics::MAIL_BOUNCED,
            Self::Complained(_) => metrics::MAIL_COMPLAINED,
        }
    }
}

/// Suppresses the mail's address, stored as a MAC. A duplicate message changes nothing.
///
/// # Errors
/// If the suppression was not stored: the message is redelivered.
pub async fn record_mail_feedback(
    notifications: Arc<Notifications>,
    received: Received<MailFeedback>,
) -> Result<(), NotificationError> {
    let feedback = received.message;
    let Some(reason) = feedback.reason() else {
        tracing::info!(
            feedback = feedback.metric().name,
            "temporary bounce, recipient not suppressed"
        );
        return Ok(());
    };
    let Some(address) = feedback.address() else {
        tracing::warn!(
            feedback = feedback.metric().name,
            "ignoring SES event with several recipients"
        );
        return Ok(());
    };

    let address = notifications.address_macs(address).await?;
    notifications.store.suppress(address.active(), reason, notifications.clock.now()).await?;

    tracing::warn!(?reason, "recipient suppressed, mails to it are not sent");
    feedback.metric().increment();
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(kind: &str, data: Value) -> Option<Reason> {
        MailFeedback::from_message(kind, data).ok().unwrap().reason()
    }

    #[test]
    fn permanent_bounces_and_complaints_suppress_the_address() {
        let bounced = |kind: &str| json!({ "destination": ["ada@example.com"], "bounce": { "bounceType": kind, "bounceSubType": "General" } });
        assert_eq!(reason("mail_bounced.v1", bounced("Permanent")), Some(Reason::Bounce));
        for passing in ["Transient", "Undetermined", "A kind of tomorrow"] {
            assert_eq!(reason("mail_bounced.v1", bounced(passing)), None, "{passing}");
        }
        let complained = |complaint: Value| json!({ "destination": ["ada@example.com"], "complaint": complaint });
        for serious in [
            json!({}),
            json!({ "complaintFeedbackType": null }),
            json!({ "complaintFeedbackType": "abuse" }),
        ] {
            assert_eq!(reason("mail_complained.v1", complained(serious)), Some(Reason::Complaint));
        }
        assert_eq!(
            reason(
                "mail_complained.v1",
                complained(json!({ "complaintFeedbackType": "not-spam" }))
            ),
            None
        );
    }

    #[test]
    fn feedback_address_is_the_single_destination() {
        let address = |destination: Value| {
            let recipients = json!([{ "emailAddress": "forwarded@example.org" }]);
            let data = json!({ "destination": destination, "bounce": { "bounceType": "Permanent", "bouncedRecipients": recipients } });
            MailFeedback::from_message("mail_bounced.v1", data)
                .ok()
                .unwrap()
                .address()
                .map(str::to_owned)
        };
        assert_eq!(address(json!(["ada@example.com"])).as_deref(), Some("ada@example.com"));
        assert_eq!(address(json!(["ada@example.com", "bob@example.com"])), None);
        assert_eq!(address(json!([])), None);
    }

    #[test]
    fn other_messages_are_not_read() {
        let bounced =
            json!({ "destination": ["ada@example.com"], "bounce": { "bounceType": "Permanent" } });
        assert!(MailFeedback::from_message("mail_complained.v1", bounced.clone()).is_err());
        assert!(MailFeedback::from_message("mail_opened.v1", bounced).is_err());
        assert!(
            MailFeedback::from_message(
                "mail_bounced.v1",
                json!({ "destination": ["ada@example.com"] })
            )
            .is_err()
        );
        assert!(
            MailFeedback::from_message(
                "mail_bounced.v1",
                json!({ "bounce": { "bounceType": "Permanent" } })
            )
            .is_err()
        );
    }
}

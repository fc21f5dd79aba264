//! SES in memory: keeps the mails, or refuses them; and what it says later of one that it has
//! taken.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The mails that were sent.
#[derive(Default)]
pub struct Ses {
    mails: Mutex<Vec<Mail>>,
    refusal: Mutex<Option<String>>,
}

impl Clone for Ses {
    fn clone(&self) -> Self {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { mails: Mutex::new(self.mails()), refusal: Mutex::new(refusal) }
    }
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sends it.
    pub from: String,
    /// What reports whether it bounces.
    pub configuration_set: String,
    /// Who gets it.
    pub to: Vec<String>,
    pub subject: String,
    /// The part for mail programs that show HTML.
    pub html: String,
    /// The part for all others.
    pub text: String,
}

impl Ses {
    /// All mails, in the order in which they were sent.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one-time token of the last mail with a link that went to `address`.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn token_for(&self, address: &str) -> String {
        let is_token = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let token = |mail: &Mail| {
            Some(
                mail.text
                    .split_once("#token=")?
                    .1
                    .split(|letter| !is_token(letter))
                    .next()?
                    .to_owned(),
            )
        };
        let mails = self.mails();
        let to_them = mails.iter().rev().filter(|mail| mail.to.iter().any(|to| to == address));
        to_them
            .filter_map(token)
            .next()
            .unwrap_or_else(|| panic!("no mail with a link went to {address}"))
    }

    /// Refuses every mail with this error from now on, such as `MessageRejected`. What SES says
    /// with it repeats the address.
    pub fn refuse(&self, error: &str) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    /// Takes mails again.
    pub fn heal(&self) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Answers `SendEmail`.
    pub(crate) fn call(&self, request: &Value) -> (u16, String) {
        let text = |pointer: &str| {
            request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let to = request
            .pointer("/Destination/ToAddresses")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let mail = Mail {
            from: text("/FromEmailAddress"),
            configuration_set: text("/ConfigurationSetName"),
            to: to.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect(),
            subject: text("/Content/Simple/Subject/Data"),
            html: text("/Content/Simple/Body/Html/Data"),
            text: text("/Content/Simple/Body/Text/Data"),
        };
        if let Some(error) = &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            return (400, json!({ "__type": error, "message": format!("{:?} cannot be written to", mail.to) }).to_string());
        }
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.push(mail);
        (200, json!({ "MessageId": format!("mail-{}", mails.len()) }).to_string())
    }
}

/// What the consumer of bounces is sent when a mail to `address` came back, by the form that SES
/// publishes: `kind` is `Permanent`, `Transient` or `Undetermined`. The report names another
/// address: the mail was forwarded there.
pub fn bounced(address: &str, kind: &str) -> Value {
    let recipient =
        json!({ "emailAddress": "forwarded@example.org", "action": "failed", "status": "5.1.1" });
    json!({
        "destination": [address],
        "bounce": {
            "bounceType": kind,
            "bounceSubType": "General",
            "bouncedRecipients": [recipient],
            "timestamp": "2026-11-21T09:58:49.669Z",
            "feedbackId": "feedback-1",
            "reportingMTA": "dsn; mta.example.com",
        },
    })
}

/// The event when the recipient at `address` complains: `kind` is their provider's word,
/// where it has one.
pub fn complained(address: &str, kind: Option<&str>) -> Value {
    let mut complaint = json!({
        "complainedRecipients": [{ "emailAddress": address }],
        "timestamp": "2026-11-21T09:58:49.669Z",
        "feedbackId": "feedback-1",
        "complaintSubType": null,
    });
    if let Some(kind) = kind {
        complaint["complaintFeedbackType"] = kind.into();
    }
    json!({ "destination": [address], "complaint": complaint })
}

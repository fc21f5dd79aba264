//! SES in memory: stores or rejects mails, and builds its bounce and complaint events.

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    /// The configuration set, which reports bounces.
    pub configuration_set: String,
    pub to: Vec<String>,
    pub subject: String,
    pub html: String,
    pub text: String,
    /// Value of the header `X-Trace-Id`.
    pub trace_id: String,
}

impl Ses {
    /// The number of mails that were sent.
    pub fn count(&self) -> usize {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// All mails, in the order they were sent.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one-time token in the last mail with a link to `address`.
    ///
    /// # Panics
    /// If there is no such mail.
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

    /// Rejects every mail with this error from now on, such as `MessageRejected`. Like SES, the
    /// error message repeats the address.
    pub fn refuse(&self, error: &str) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
    }

    /// Ends the outage: mails are accepted again.
    pub fn heal(&self) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn call(&self, request: &Value) -> (u16, String) {
        let text = |pointer: &str| {
            request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let to = request
            .pointer("/Destination/ToAddresses")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let headers = request.pointer("/Content/Simple/Headers").and_then(Value::as_array);
        let is_trace = |header: &&Value| header["Name"] == "X-Trace-Id";
        let trace_id = headers.into_iter().flatten().find(is_trace);
        let mail = Mail {
            from: text("/FromEmailAddress"),
            configuration_set: text("/ConfigurationSetName"),
            to: to.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect(),
            subject: text("/Content/Simple/Subject/Data"),
            html: text("/Content/Simple/Body/Html/Data"),
            text: text("/Content/Simple/Body/Text/Data"),
            trace_id: trace_id
                .and_then(|header| header["Value"].as_str())
                .unwrap_or_default()
                .to_owned(),
        };
        if let Some(error) = &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            return (400, json!({ "__type": error, "message": format!("{:?} cannot be written to", mail.to) }).to_string());
        }
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.push(mail);
        (200, json!({ "MessageId": format!("mail-{}", mails.len()) }).to_string())
    }
}

/// The event of a bounced mail to `address`, in the format that SES documents. `kind` is
/// `Permanent`, `Transient` or `Undetermined`. The report also names another address, to which the
/// mail was forwarded.
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

/// The event of a complaint by the recipient at `address`. `kind` is the complaint type that their
/// provider reports, if any.
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

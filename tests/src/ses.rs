//! SES in memory: keeps the mails.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The mails that were sent.
#[derive(Default)]
pub struct Ses {
    mails: Mutex<Vec<Mail>>,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sends it.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Its subject.
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

    /// Answers `SendEmail`.
    pub(crate) fn call(&self, request: &Value) -> (u16, String) {
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let to = request.pointer("/Destination/ToAddresses").and_then(Value::as_array).cloned().unwrap_or_default();
        let mail = Mail {
            from: text("/FromEmailAddress"),
            to: to.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect(),
            subject: text("/Content/Simple/Subject/Data"),
            html: text("/Content/Simple/Body/Html/Data"),
            text: text("/Content/Simple/Body/Text/Data"),
        };
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.push(mail);
        (200, json!({ "MessageId": format!("mail-{}", mails.len()) }).to_string())
    }
}

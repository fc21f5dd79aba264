//! Sends mails through SES.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message, MessageHeader},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::{BoxFuture, telemetry::Trace};

use crate::templates::RenderedEmail;

/// Header with the trace id, which is random and identifies no person. It connects a mail with the
/// log lines of the order that it reports.
const TRACE_HEADER: &str = "X-Trace-Id";

/// Sends mails from the shop's address.
#[derive(Clone, Debug)]
pub struct Mailer {
    client: Client,
    sender: String,
    configuration_set: Option<String>,
}

/// A mail that SES rejected or may not have accepted.
///
/// Omits SES's error message, because it contains addresses and errors are logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// SES rejects the mail permanently.
    #[error("SES rejected the mail: {code}")]
    Rejected {
        /// SES's error code, such as `MessageRejected`.
        code: String,
    },
    /// SES did not accept the mail this time, or its response was lost.
    #[error("the mail was not sent: {code}")]
    SendFailed {
        /// SES's error code, such as `TooManyRequestsException`; `NoResponse` if there was no
        /// response.
        code: String,
    },
}

impl Mailer {
    /// Sends from the address `sender` under the name `shop`. `configuration_set` reports bounces
    /// and complaints. Each mail names it, because the sender's identity may belong to another
    /// stack.
    pub fn new(
        client: Client,
        shop: &str,
        sender: &str,
        configuration_set: Option<String>,
    ) -> Self {
        Self { client, sender: mailbox(shop, sender), configuration_set }
    }

    pub fn send<'a>(
        &'a self,
        address: &'a str,
        mail: &'a RenderedEmail,
        trace: &'a Trace,
    ) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let invalid = |_| MailError::SendFailed { code: "InvalidText".to_owned() };
            let content = |text: &str| {
                Content::builder().data(text).charset("UTF-8").build().map_err(invalid)
            };
            let body =
                Body::builder().html(content(&mail.html)?).text(content(&mail.text)?).build();
            let traced = MessageHeader::builder().name(TRACE_HEADER).value(trace.id()).build();
            let message = Message::builder()
                .subject(content(mail.subject)?)
                .body(body)
                // An item of an earlier release can have an empty trace; SES rejects empty headers.
                .set_headers((!trace.id().is_empty()).then(|| traced.into_iter().collect()))
                .build();
            let call = self
                .client
                .send_email()
                .from_email_address(&self.sender)
                .set_configuration_set_name(self.configuration_set.clone())
                .destination(Destination::builder().to_addresses(address).build())
                .content(EmailContent::builder().simple(message).build());
            call.send().await.map(|_| ()).map_err(|error| mail_error(&error))
        })
    }
}

/// Formats a name and an address for the `From` header (RFC 5322, section 3.4). A name beyond ASCII
/// is encoded (RFC 2047): SES accepts no other form.
fn mailbox(name: &str, address: &str) -> String {
    if name.chars().all(|c| matches!(c, ' '..='~')) {
        return format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let words: Vec<String> = encoded_word_chunks(name)
        .into_iter()
        .map(|part| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(part)))
        .collect();
    format!("{} <{address}>", words.join(" "))
}

/// Splits a text into chunks for encoded words of at most 75 characters: whole characters, at most
/// 45 bytes per chunk.
fn encoded_word_chunks(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for c in text.chars() {
        match parts.last_mut().filter(|part| part.len() + c.len_utf8() <= 45) {
            Some(part) => part.push(c),
            None => parts.push(c.into()),
        }
    }
    parts
}

/// Classifies an error of SES. Only an error about this mail is permanent. An error about the
/// account (throttled, paused, unverified sender) or the call (permission, signature) is temporary:
/// SES accepts the same mail once the cause is resolved.
fn mail_error<R>(error: &SdkError<SendEmailError, R>) -> MailError {
    let service_error = error.as_service_error();
    let code =
        service_error.and_then(ProvideErrorMetadata::code).unwrap_or("NoResponse").to_owned();
    match service_error {
        Some(SendEmailError::BadRequestException(_) | SendEmailError::MessageRejected(_)) => {
            MailError::Rejected { code }
        }
        _ => MailError::SendFailed { code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_name_is_quoted_or_encoded() {
        for (name, expected) in [
            ("Ferrocart", "\"Ferrocart\" <shop@example.com>"),
            ("Lamp, Spoon & Co.", "\"Lamp, Spoon & Co.\" <shop@example.com>"),
            ("Say \"hi\" \\", "\"Say \\\"hi\\\" \\\\\" <shop@example.com>"),
            ("Caf\u{e9}", "=?UTF-8?B?Q2Fmw6k=?= <shop@example.com>"),
        ] {
            assert_eq!(mailbox(name, "shop@example.com"), expected);
        }
    }

    #[test]
    fn encoded_words_respect_their_limit_and_split_no_character() {
        let name = "\u{1f600}".repeat(50);
        let mailbox = mailbox(&name, "shop@example.com");
        let words: Vec<&str> =
            mailbox.strip_suffix(" <shop@example.com>").unwrap().split(' ').collect();
        assert!(words.len() > 1 && words.iter().all(|word| word.len() <= 75), "{words:?}");
        let decoded = words.iter().map(|word| {
            let text = word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
            String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
        });
        assert_eq!(decoded.collect::<String>(), name);
    }
}

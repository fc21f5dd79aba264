//! SES: the way out.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::BoxFuture;

use crate::templates::RenderedEmail;

/// Sends mails from the shop's address.
#[derive(Clone, Debug)]
pub struct Mailer {
    client: Client,
    sender: String,
    configuration_set: Option<String>,
}

/// A mail that SES did not take, or may not have taken.
///
/// What SES says in words is left out: it repeats addresses, and errors are logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// SES does not take it, however often it is asked.
    #[error("SES refuses the mail: {code}")]
    Rejected {
        /// SES's name for the reason, such as `MessageRejected`.
        code: String,
    },
    /// It was not taken this time, or no answer says that it was.
    #[error("the mail was not sent: {code}")]
    SendFailed {
        /// SES's name for the reason, such as `TooManyRequestsException`; `NoResponse` where none
        /// came.
        code: String,
    },
}

impl Mailer {
    /// A mailer that sends from the address `sender` under the name `shop`. `configuration_set` is
    /// what reports bounces and complaints: each mail names it, because the sender's identity may
    /// belong to another stack.
    pub fn new(
        client: Client,
        shop: &str,
        sender: &str,
        configuration_set: Option<String>,
    ) -> Self {
        Self { client, sender: mailbox(shop, sender), configuration_set }
    }

    /// Sends `mail` to `address`.
    pub fn send<'a>(
        &'a self,
        address: &'a str,
        mail: &'a RenderedEmail,
    ) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let invalid = |_| MailError::SendFailed { code: "InvalidText".to_owned() };
            let content = |text: &str| {
                Content::builder().data(text).charset("UTF-8").build().map_err(invalid)
            };
            let body =
                Body::builder().html(content(&mail.html)?).text(content(&mail.text)?).build();
            let message = Message::builder().subject(content(mail.subject)?).body(body).build();
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

/// A name and an address as `From` has them (RFC 5322, section 3.4). A name beyond ASCII is encoded
/// (RFC 2047): SES takes no other form.
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

/// Parts of a text that fit into encoded words of at most 75 characters: whole characters, at most
/// 45 bytes.
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

/// Classifies an error of SES. Permanent is only an error about this mail. An error about the
/// account (throttled, paused, a sender that is not verified) or the call (a permission, a
/// signature) is temporary: the same mail is accepted once it is resolved.
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

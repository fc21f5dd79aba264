//! SES: the way out.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{Body, Content, Destination, EmailContent, Message},
};
use shared::BoxFuture;

use crate::letter::Rendered;

/// Sends mails from the shop's address.
#[derive(Clone, Debug)]
pub struct Mailer {
    client: Client,
    sender: String,
}

/// A mail that SES did not take, or may not have taken.
///
/// What SES says in words is left out: it repeats addresses, and errors are logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mail was not sent: {code}")]
pub struct MailError {
    /// SES's name for it, such as `MessageRejected`; `NoAnswer` where none came.
    pub code: String,
}

impl Mailer {
    /// A mailer that sends from `sender`.
    pub fn new(client: Client, sender: impl Into<String>) -> Self {
        Self { client, sender: sender.into() }
    }

    /// Sends `mail` to `address`.
    pub fn send<'a>(&'a self, address: &'a str, mail: &'a Rendered) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let unusable = |_| MailError { code: "UnusableText".to_owned() };
            let content = |text: &str| Content::builder().data(text).charset("UTF-8").build().map_err(unusable);
            let body = Body::builder().html(content(&mail.html)?).text(content(&mail.text)?).build();
            let message = Message::builder().subject(content(mail.subject)?).body(body).build();
            let call = self
                .client
                .send_email()
                .from_email_address(&self.sender)
                .destination(Destination::builder().to_addresses(address).build())
                .content(EmailContent::builder().simple(message).build());
            call.send().await.map(|_| ()).map_err(|error| MailError { code: code(&error) })
        })
    }
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let given = error.as_service_error().and_then(ProvideErrorMetadata::code);
    given.unwrap_or("NoAnswer").to_owned()
}

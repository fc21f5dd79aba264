//! SES: the way out.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message},
};
use shared::BoxFuture;

use crate::letter::Rendered;

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
    Refused {
        /// SES's name for the reason, such as `MessageRejected`.
        code: String,
    },
    /// It was not taken this time, or no answer says that it was.
    #[error("the mail was not sent: {code}")]
    NotSent {
        /// SES's name for the reason, such as `TooManyRequestsException`; `NoAnswer` where none came.
        code: String,
    },
}

impl Mailer {
    /// A mailer that sends from `sender`. `configuration_set` is what reports bounces and complaints: each mail names it, because the
    /// sender's identity may belong to another stack.
    pub fn new(client: Client, sender: impl Into<String>, configuration_set: Option<String>) -> Self {
        Self { client, sender: sender.into(), configuration_set }
    }

    /// Sends `mail` to `address`.
    pub fn send<'a>(&'a self, address: &'a str, mail: &'a Rendered) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let unusable = |_| MailError::NotSent { code: "UnusableText".to_owned() };
            let content = |text: &str| Content::builder().data(text).charset("UTF-8").build().map_err(unusable);
            let body = Body::builder().html(content(&mail.html)?).text(content(&mail.text)?).build();
            let message = Message::builder().subject(content(mail.subject)?).body(body).build();
            let call = self
                .client
                .send_email()
                .from_email_address(&self.sender)
                .set_configuration_set_name(self.configuration_set.clone())
                .destination(Destination::builder().to_addresses(address).build())
                .content(EmailContent::builder().simple(message).build());
            call.send().await.map(|_| ()).map_err(|error| not_taken(&error))
        })
    }
}

/// What it means that SES did not take a mail. For good is only what it says of this mail; what it says of the account
/// (throttled, paused, a sender that is not verified) or of the call (a permission, a signature) passes or is mended, and then the same mail is taken.
fn not_taken<R>(error: &SdkError<SendEmailError, R>) -> MailError {
    let said = error.as_service_error();
    let code = said.and_then(ProvideErrorMetadata::code).unwrap_or("NoAnswer").to_owned();
    match said {
        Some(SendEmailError::BadRequestException(_) | SendEmailError::MessageRejected(_)) => MailError::Refused { code },
        _ => MailError::NotSent { code },
    }
}

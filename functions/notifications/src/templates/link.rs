//! Mails with a one-time link, which proves that the recipient controls the address.

use serde::Deserialize;
use shared::clock::Timestamp;

use super::{RenderedEmail, Shop};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Registration. The link verifies the address.
    Welcome,
    /// New address of an account. The link verifies it.
    VerifyEmail,
    /// Forgotten password. The link lets the owner set a new one.
    PasswordReset,
    /// A change of the account's address was requested. The link withdraws the request. Sent to the
    /// present address.
    EmailChangeRequested,
    /// The account's address was changed. The link restores the previous address, to which this
    /// mail is sent.
    EmailMoved,
}

impl Template {
    pub const ALL: [Self; 5] = [
        Self::Welcome,
        Self::VerifyEmail,
        Self::PasswordReset,
        Self::EmailChangeRequested,
        Self::EmailMoved,
    ];

    /// Name of the template in messages and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::VerifyEmail => "verify_email",
            Self::PasswordReset => "password_reset",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailMoved => "email_moved",
        }
    }

    /// Contains no user input.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Welcome => "Welcome: please confirm your address",
            Self::VerifyEmail => "Please confirm your address",
            Self::PasswordReset => "Choose a new password",
            Self::EmailChangeRequested => "A change of your mail address was requested",
            Self::EmailMoved => "Your mail address was changed: was it you?",
        }
    }

    /// The storefront page that the link opens.
    fn page(self) -> &'static str {
        match self {
            Self::Welcome | Self::VerifyEmail => "verify-email",
            Self::PasswordReset => "reset-password",
            Self::EmailChangeRequested | Self::EmailMoved => "withdraw-email-change",
        }
    }
}

/// Renders `template` with a link that contains `token` and expires at `expires_at`.
///
/// The token is the fragment of the URL. Browsers do not send it, so that no server log and no
/// `Referer` contains it.
///
/// # Errors
/// If a template fails, which ours cannot.
pub fn render(
    template: Template,
    token: &str,
    expires_at: Timestamp,
    shop: Shop<'_>,
) -> Result<RenderedEmail, askama::Error> {
    let email = EmailTemplate {
        subject: template.subject(),
        shop: shop.name,
        url: format!("{}/{}#token={token}", shop.url, template.page()),
        until: format_minute(expires_at),
    };
    let (html, text, body) = match template {
        Template::Welcome => welcome::render(&email),
        Template::VerifyEmail => verify_email::render(&email),
        Template::PasswordReset => password_reset::render(&email),
        Template::EmailChangeRequested => email_change_requested::render(&email),
        Template::EmailMoved => email_moved::render(&email),
    }?;
    Ok(RenderedEmail { template: template.name(), subject: template.subject(), html, text, body })
}

/// The values of the templates.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    url: String,
    until: String,
}

/// A timestamp, rounded down to the minute: `2026-11-21 09:48 UTC`.
fn format_minute(moment: Timestamp) -> String {
    let text = moment.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replacen('T', " ", 1))
}

templates! {
    welcome: "welcome.html", "welcome.txt", body(path = "welcome.body.txt");
    verify_email: "verify_email.html", "verify_email.txt", body(path = "verify_email.body.txt");
    password_reset: "password_reset.html", "password_reset.txt", body(path = "password_reset.body.txt");
    email_change_requested: "email_change_requested.html", "email_change_requested.txt", body(path = "email_change_requested.body.txt");
    email_moved: "email_moved.html", "email_moved.txt", body(path = "email_moved.body.txt");
}

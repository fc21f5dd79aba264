//! Mails with a link that does something once: it proves who reads the mail.

use serde::Deserialize;
use shared::clock::Timestamp;

use super::{RenderedEmail, Shop};

/// What a mail with a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// A registration: the link verifies the address.
    Welcome,
    /// An account gets another address: the link confirms it.
    VerifyEmail,
    /// A forgotten password: the link lets the owner choose a new one.
    PasswordReset,
    /// Another address was requested for the account: the link withdraws the request. This goes to
    /// the present address.
    EmailChangeRequested,
    /// The account has another address: the link returns the account to the one before, where this
    /// goes.
    EmailMoved,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Welcome,
        Self::VerifyEmail,
        Self::PasswordReset,
        Self::EmailChangeRequested,
        Self::EmailMoved,
    ];

    /// The name that messages and records use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::VerifyEmail => "verify_email",
            Self::PasswordReset => "password_reset",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailMoved => "email_moved",
        }
    }

    /// The subject. It contains no external text.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Welcome => "Welcome: please confirm your address",
            Self::VerifyEmail => "Please confirm your address",
            Self::PasswordReset => "Choose a new password",
            Self::EmailChangeRequested => "A change of your mail address was requested",
            Self::EmailMoved => "Your mail address was changed: was it you?",
        }
    }

    /// The shop's page that the link leads to.
    fn page(self) -> &'static str {
        match self {
            Self::Welcome | Self::VerifyEmail => "verify-email",
            Self::PasswordReset => "reset-password",
            Self::EmailChangeRequested | Self::EmailMoved => "withdraw-email-change",
        }
    }
}

/// The mail from `template` with the link that `token` makes, which works until `expires_at`.
///
/// The token is the fragment of the address: browsers do not send it, so it is in no server log and
/// no `Referer`.
///
/// # Errors
/// When a template fails: none of ours can.
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

/// What the templates see.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    url: String,
    until: String,
}

/// A moment for people, `2026-11-21 09:48 UTC`: no later than it is.
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

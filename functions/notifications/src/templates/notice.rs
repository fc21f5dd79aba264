//! Mails about a change of an account, so that its owner notices a change by a third party.

use serde::Deserialize;

use super::{RenderedEmail, Shop};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// The password was changed.
    PasswordChanged,
    /// The address was changed. Sent to the previous address, which was never verified.
    EmailChanged,
    /// A change of address was withdrawn. Sent to the address that remains or is restored.
    EmailChangeWithdrawn,
}

impl Template {
    pub const ALL: [Self; 3] =
        [Self::PasswordChanged, Self::EmailChanged, Self::EmailChangeWithdrawn];

    /// Name of the template in messages and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::EmailChangeWithdrawn => "email_change_withdrawn",
        }
    }

    /// Contains no user input.
    pub fn subject(self) -> &'static str {
        match self {
            Self::PasswordChanged => "Your password was changed",
            Self::EmailChanged => "Your mail address was changed",
            Self::EmailChangeWithdrawn => "Reset your password: the address change was withdrawn",
        }
    }
}

/// Renders `template` for the account's owner.
///
/// # Errors
/// If a template fails. These templates cannot fail.
pub fn render(template: Template, shop: Shop<'_>) -> Result<RenderedEmail, askama::Error> {
    let email = EmailTemplate { subject: template.subject(), shop: shop.name, store_url: shop.url };
    let (html, text, body) = match template {
        Template::PasswordChanged => password_changed::render(&email),
        Template::EmailChanged => email_changed::render(&email),
        Template::EmailChangeWithdrawn => email_change_withdrawn::render(&email),
    }?;
    Ok(RenderedEmail { template: template.name(), subject: template.subject(), html, text, body })
}

/// The values of the templates.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    store_url: &'a str,
}

templates! {
    password_changed: "password_changed.html", "password_changed.txt", body(path = "password_changed.txt", block = "content");
    email_changed: "email_changed.html", "email_changed.txt", body(path = "email_changed.txt", block = "content");
    email_change_withdrawn:
        "email_change_withdrawn.html", "email_change_withdrawn.txt", body(path = "email_change_withdrawn.txt", block = "content");
}

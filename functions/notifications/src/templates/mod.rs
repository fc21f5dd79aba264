//! Mail templates: one HTML and one text file per template, in `templates/`. The shop's pages show
//! a part of the text, or a separate file if the mail has a private link.
//!
//! Askama checks the templates at compile time and escapes every value in HTML. Links consist of
//! the shop's URL and an id or a token of ours; they contain no user input.
//!
//! There are four kinds: about an [`order`], about [`stock`], with a one-time [`link`], and a
//! [`notice`] of a change. The last two concern an account and contain no name. A person who
//! registers with a foreign address chooses the name, and the shop must not send that text to a
//! stranger.

/// One module per template, with its two files and the part that the shop's pages show.
macro_rules! templates {
    ($($name:ident: $html:literal, $text:literal, body($($body:tt)*);)*) => {$(
        mod $name {
            use super::EmailTemplate;
            use askama::Template;

            #[derive(Template)]
            #[template(path = $html)]
            struct Html<'a> {
                email: &'a EmailTemplate<'a>,
            }

            #[derive(Template)]
            #[template(path = $text)]
            struct Text<'a> {
                email: &'a EmailTemplate<'a>,
            }

            #[derive(Template)]
            #[template($($body)*)]
            struct Body<'a> {
                #[allow(dead_code, reason = "most bodies are fixed text and use no value")]
                email: &'a EmailTemplate<'a>,
            }

            pub(super) fn render(email: &EmailTemplate<'_>) -> Result<(String, String, String), askama::Error> {
                Ok((Html { email }.render()?, Text { email }.render()?, Body { email }.render()?))
            }
        }
    )*};
}

pub mod link;
pub mod notice;
pub mod order;
pub mod stock;

/// The shop that sends a mail.
#[derive(Clone, Copy, Debug)]
pub struct Shop<'a> {
    /// The name that customers know.
    pub name: &'a str,
    /// The storefront's URL, without a trailing slash. Every link begins with it.
    pub url: &'a str,
}

/// A rendered mail. It does not implement `Debug`, because its link is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedEmail {
    /// Name of the template in messages and records.
    pub template: &'static str,
    pub subject: &'static str,
    pub html: String,
    pub text: String,
    /// What the shop's pages show: the text without salutation and footer, and without the link.
    pub body: String,
}

#[cfg(test)]
mod tests;

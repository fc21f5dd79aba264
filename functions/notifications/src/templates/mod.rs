//! Mail templates: one HTML and one text file per template, in `templates/`. The shop's pages show
//! a part of the text, or a file of its own if the mail has a private link.
//!
//! Askama checks them when the crate is compiled, and escapes every value in the HTML ones. Links
//! are made from the shop's own address and an id or a token of ours; nothing that a person typed
//! is part of one.
//!
//! There are four kinds: about an [`order`], about [`stock`], with a one-time [`link`], and a
//! [`notice`] of a change. The last two are about an account and contain no name: a registration
//! with a foreign address chooses the name, and must not make the shop send that text to a
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
                #[allow(dead_code, reason = "most are fixed words, and see nothing of the letter")]
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

/// The shop that a mail comes from.
#[derive(Clone, Copy, Debug)]
pub struct Shop<'a> {
    /// Its name, as customers know it.
    pub name: &'a str,
    /// The address of the storefront, without a slash at the end. Every link begins with it.
    pub url: &'a str,
}

/// A mail, ready to be sent. It cannot be printed for debugging: a link in it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedEmail {
    /// The name of its template, as messages and records use it.
    pub template: &'static str,
    pub subject: &'static str,
    /// For mail programs that show HTML.
    pub html: String,
    /// For all others.
    pub text: String,
    /// What the shop's pages show: the text without salutation and footer; instead of a link, that
    /// there is one.
    pub body: String,
}

#[cfg(test)]
mod tests;

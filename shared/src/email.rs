//! E-mail addresses: one normal form per mailbox, so that a mailbox cannot be registered twice.

use crate::{checked_text, text, validation::Violation};
use email_address::{EmailAddress, Options};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Maximum length of a local part in octets (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// Maximum length of an address in octets: what a path of RFC 5321 leaves for it (RFC 3696, erratum
/// 1690).
const MAX_ADDRESS: usize = 254;

checked_text!(
    /// An e-mail address in its normal form.
    ///
    /// White space around it is removed. The domain is mapped by UTS #46 and written with A-labels
    /// (`ｅｘ.com` is `ex.com`, `münchen.de` is `xn--mnchen-3ya.de`). The local part is ASCII in
    /// lower case. By RFC 5321 a server may distinguish `Ada` from `ada`, but in practice none
    /// does. SES does not support SMTPUTF8 and cannot send to a local part beyond ASCII, so such an
    /// address is rejected.
    Email: by(
        address,
        text("An e-mail address. Case, spelling and white space around it do not matter: it is kept, and answered, in one normal form. Before the `@` it is ASCII.", "ada@example.com")
            .length(3..=MAX_ADDRESS)
            .format("idn-email")
            .pattern(&patterns::trimmed(&format!("[!-~]+@{}+", patterns::none_of(is_outside_addresses))))
            .problem_codes(&["invalid_email"])
    )
);

fn address(text: &str) -> Result<String, Violation> {
    let text = text::trimmed(text);
    let invalid = |detail: &str| Violation::new("invalid_email", detail);
    match text.rsplit_once('@') {
        Some((local, _)) if !local.is_ascii() => Err(invalid(
            "Use only ASCII characters before the @. The shop cannot send mail to other addresses.",
        )),
        _ => normal_form(text)
            .ok_or_else(|| invalid("An e-mail address looks like name@example.com.")),
    }
}

fn normal_form(text: &str) -> Option<String> {
    // No spelling takes more than four times the length of its normal form.
    if text.len() > 4 * MAX_ADDRESS || text.contains(is_outside_addresses) {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let (local, domain) = (normal_local_part(local)?, normal_domain(domain)?);
    let address = format!("{local}@{domain}");
    let options =
        Options::default().with_required_tld().without_domain_literal().without_display_text();
    let valid =
        address.len() <= MAX_ADDRESS && EmailAddress::parse_with_options(&address, options).is_ok();
    valid.then_some(address)
}

fn is_outside_addresses(c: char) -> bool {
    c.is_control() || c.is_whitespace() || text::is_invisible(c)
}

/// Returns the local part in lower case. A quoted local part has several spellings, so it is
/// rejected.
fn normal_local_part(local: &str) -> Option<String> {
    let is_plain = local.is_ascii() && !local.contains('"') && local.len() <= MAX_LOCAL_PART;
    is_plain.then(|| local.to_ascii_lowercase())
}

/// A name under a top-level domain: not an IP address, and not a single label.
fn normal_domain(domain: &str) -> Option<String> {
    let ascii = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .ok()?;
    let (_, top) = ascii.rsplit_once('.')?;
    let is_number = top.bytes().all(|b| b.is_ascii_digit());
    (!is_number).then(|| ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_addresses_are_rejected() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!(
            "a@{}.com",
            ["d".repeat(60), "d".repeat(60), "d".repeat(60), "d".repeat(67)].join(".")
        );
        let long_in_all = format!(
            "{}@{}.com",
            "a".repeat(64),
            ["d".repeat(62), "d".repeat(62), "d".repeat(62)].join(".")
        );
        let huge = format!("a@{}", "é.".repeat(100_000));
        for text in [
            "",
            "a",
            "a@",
            "@b.c",
            "a@b",
            "a@@b.c",
            "a@b@c.de",
            "\"a b\"@c.de",
            "\"ab\"@c.de",
            "a b@c.de",
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@127.0.0.1",
            "Name <a@b.c>",
            "<a@b.c>",
            "a@b.c>",
            "a@b.c,d@e.fg",
            "a @b.cd",
            "a@ b.cd",
            "a@b .cd",
            "a@b.\ncd",
            "a@b.cd\r\nBcc: x@y.zz",
            "a@b..cd",
            "a@.b.cd",
            "a@b.cd.",
            "a@-b.cd",
            "a@b-.cd",
            "a@b_c.de",
            "a@b/c.de",
            ".a@b.cd",
            "a.@b.cd",
            "a..b@c.de",
            "a(comment)@b.cd",
            "a@b.cd\0",
            "a\u{0}@b.cd",
            "a\u{200b}@b.cd",
            "a@b\u{200d}.cd",
            "a\u{202e}@b.cd",
            "a\u{ad}@b.cd",
            "a@b\u{ad}.cd",
            "ａ@b.cd",
            "ﬁ@b.cd",
            "a＠b.cd",
            "😀@b.cd",
            "a\u{20ac}@b.cd",
            "a\u{3164}@b.cd",
            "a\u{2800}@b.cd",
            "a@b\u{2800}.cd",
            "a@b\u{180e}.cd",
            "a@b\u{fe0f}.cd",
            "a@b\u{e0041}.cd",
            "a@b\u{fff9}.cd",
            "a@b\u{200b}.cd",
            "a@b\u{feff}c.cd",
            "a@b\u{200c}.cd",
            "a@xn--a.cd",
            "a@xn--\u{fc}.cd",
            &format!("a@{}.cd", "d".repeat(64)),
            &long_local,
            &long,
            &long_in_all,
            &huge,
        ] {
            let refused = Email::parse(text).map(String::from).map_err(|violation| violation.code);
            assert_eq!(
                refused,
                Err("invalid_email".to_owned()),
                "{:?}",
                text.chars().take(40).collect::<String>()
            );
        }
    }

    #[test]
    fn spellings_of_an_address_share_one_normal_form() {
        for (spelling, normal) in [
            ("user@ex.com", "user@ex.com"),
            ("USER@Ex.COM", "user@ex.com"),
            ("user@ｅｘ.com", "user@ex.com"),
            ("user@ex。com", "user@ex.com"),
            (" user@ex.com ", "user@ex.com"),
            ("user@ex.com\r\n", "user@ex.com"),
            ("\t\u{a0}user@ex.com\u{3000}", "user@ex.com"),
            ("\u{feff}user@ex.com\u{200b}", "user@ex.com"),
            // A zero-width joiner is valid within a Persian label.
            (
                "a@\u{646}\u{627}\u{645}\u{647}\u{200c}\u{627}\u{6cc}.com",
                "a@xn--mgba3gch31f060k.com",
            ),
            ("a@m\u{fc}nchen.de", "a@xn--mnchen-3ya.de"),
            ("a@mu\u{308}nchen.DE", "a@xn--mnchen-3ya.de"),
            ("a@XN--MNCHEN-3YA.de", "a@xn--mnchen-3ya.de"),
            ("o'hara+shop@ex.co.uk", "o'hara+shop@ex.co.uk"),
            ("a@b.c", "a@b.c"),
            ("a/b=c@d-e.f2g", "a/b=c@d-e.f2g"),
        ] {
            assert_eq!(
                Email::parse(spelling).map(String::from).as_deref(),
                Ok(normal),
                "{spelling}"
            );
        }
    }

    #[test]
    fn non_ascii_local_part_is_rejected_with_its_reason() {
        for text in [
            "jos\u{e9}@ex.com",
            "jose\u{301}@ex.com",
            "\u{909}\u{924}@ex.com",
            "\u{ff41}@b.cd",
            "\u{131}@b.cd",
            "a\u{200d}@b.cd",
        ] {
            let violation = Email::parse(text).unwrap_err();
            assert_eq!(violation.code, "invalid_email", "{text}");
            assert!(violation.detail.contains("before the @"), "{text}: {}", violation.detail);
        }
    }

    #[test]
    fn normalization_is_idempotent() {
        for text in ["USER@Ex.COM", " JOSE@ｅｘ.com", "a@STRA\u{1e9e}E.com", "a@\u{3a3}\u{3a3}.com"]
        {
            let once = Email::parse(text).unwrap();
            assert_eq!(Email::parse(once.as_str()).as_ref(), Ok(&once), "{text}");
        }
    }

    #[test]
    fn longest_address_is_accepted() {
        let local = "a".repeat(64);
        let domain = format!("{}.{}.{}.com", "d".repeat(61), "d".repeat(61), "d".repeat(61));
        let address = format!("{local}@{domain}");
        assert_eq!(address.len(), 254);
        assert_eq!(Email::parse(&address).map(String::from), Ok(address));
    }
}

//! The announcement that the routes of an operation are deprecated and will be removed.

use jiff::civil::{Date, date};

use super::response::Response;

/// Since when routes are deprecated, and when they are removed.
///
/// Every response then has `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and a `Link` to the page
/// that says what to use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    since: Date,
    sunset: Date,
    link: &'static str,
}

impl Deprecation {
    /// Creates the announcement from two dates, such as `2026-12-01`, and an https address. Both
    /// days begin at 00:00 UTC.
    ///
    /// # Panics
    /// During compilation if a date is invalid, if the sunset is not later than the deprecation, or
    /// if the link is not an https address.
    pub const fn new(since: &'static str, sunset: &'static str, link: &'static str) -> Self {
        assert!(is_before(since, sunset), "the sunset is later than the deprecation");
        assert!(is_https(link), "the link is an https address");
        Self { since: parse(since), sunset: parse(sunset), link }
    }

    /// Adds the headers to a response.
    #[must_use]
    pub(super) fn announce(&self, mut response: Response) -> Response {
        let since = self.since.to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp());
        response.set("deprecation", &format!("@{}", since.unwrap_or_default().as_second()));
        response.set("sunset", &self.sunset.strftime("%a, %d %b %Y 00:00:00 GMT").to_string());
        response.add("link", &format!("<{}>; rel=\"deprecation\"; type=\"text/html\"", self.link));
        response
    }
}

/// Parses `YYYY-MM-DD`.
const fn parse(text: &str) -> Date {
    let text = text.as_bytes();
    assert!(text.len() == 10 && text[4] == b'-' && text[7] == b'-', "a date is YYYY-MM-DD");
    let year = 100 * two_digits(text, 0) as i16 + two_digits(text, 2) as i16;
    date(year, two_digits(text, 5), two_digits(text, 8))
}

const fn two_digits(text: &[u8], at: usize) -> i8 {
    assert!(text[at].is_ascii_digit() && text[at + 1].is_ascii_digit(), "a date is YYYY-MM-DD");
    (10 * (text[at] - b'0') + text[at + 1] - b'0') as i8
}

/// Whether a date is earlier than another one. Constants cannot compare strings.
const fn is_before(date: &str, other: &str) -> bool {
    let (date, other) = (date.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < date.len() && at < other.len() {
        if date[at] != other[at] {
            return date[at] < other[at];
        }
        at += 1;
    }
    false
}

const fn is_https(link: &str) -> bool {
    matches!(link.as_bytes(), [b'h', b't', b't', b'p', b's', b':', b'/', b'/', _, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::no_content;

    const GONE_IN_JUNE: Deprecation =
        Deprecation::new("2026-12-01", "2027-06-01", "https://ferrocart.dev/changes#lists");

    #[test]
    fn announcement_has_the_three_headers() {
        let (_, headers, _) = GONE_IN_JUNE.announce(no_content()).into_parts();
        let header = |name: &str| headers.get(name).map(String::as_str);
        assert_eq!(header("deprecation"), Some("@1796083200"));
        assert_eq!(header("sunset"), Some("Tue, 01 Jun 2027 00:00:00 GMT"));
        let link = "<https://ferrocart.dev/changes#lists>; rel=\"deprecation\"; type=\"text/html\"";
        assert_eq!(header("link"), Some(link));
    }

    #[test]
    fn announcement_keeps_an_existing_link() {
        let response = no_content().with_header("link", "<a>; rel=\"help\"");
        let (_, headers, _) = GONE_IN_JUNE.announce(response).into_parts();
        assert!(headers["link"].starts_with("<a>; rel=\"help\", <https://ferrocart.dev/"));
    }

    #[test]
    fn invalid_announcements_are_rejected() {
        for (since, sunset, link) in [
            ("2026-12-01", "2026-12-01", "https://a"),
            ("2026-12-01", "2026-11-30", "https://a"),
            ("2026-02-30", "2026-12-01", "https://a"),
            ("2026-1-01", "2026-12-01", "https://a"),
            ("2026-12-0x", "2027-12-01", "https://a"),
            ("2026-12-01", "2027-06-01", "http://a"),
            ("2026-12-01", "2027-06-01", "https://"),
        ] {
            let rejected = std::panic::catch_unwind(|| Deprecation::new(since, sunset, link));
            assert!(rejected.is_err(), "{since} {sunset} {link}");
        }
    }
}

//! An HTTP response, as an operation builds it.

use std::{borrow::Cow, collections::BTreeMap};

use lambda_http::http::{StatusCode, header};
use serde::Serialize;

use crate::{ids, problem::Problem};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: StatusCode,
    headers: BTreeMap<String, String>,
    body: Cow<'static, str>,
    /// Code of the problem that the response reports.
    problem: Option<String>,
}

/// 200 with a document.
pub fn ok<T: Serialize>(view: &T) -> Response {
    Response::json(StatusCode::OK, view)
}

/// 201 with a document and the `Location` of the resource.
pub fn created<T: Serialize>(location: &str, view: &T) -> Response {
    let mut response = Response::json(StatusCode::CREATED, view);
    response.set(header::LOCATION.as_str(), location);
    response
}

/// 202 with a document that can still change.
pub fn accepted<T: Serialize>(view: &T) -> Response {
    Response::json(StatusCode::ACCEPTED, view)
}

pub fn no_content() -> Response {
    Response {
        status: StatusCode::NO_CONTENT,
        headers: BTreeMap::new(),
        body: Cow::Borrowed(""),
        problem: None,
    }
}

/// Marks the response to a repeated request with `Idempotent-Replayed`.
pub fn replayed(mut response: Response) -> Response {
    response.set("idempotent-replayed", "true");
    response
}

impl Response {
    /// Creates a response with `view` as JSON.
    ///
    /// # Panics
    /// If the view cannot be serialized: a programming error.
    pub fn json<T: Serialize>(status: StatusCode, view: &T) -> Self {
        let body = serde_json::to_string(view).expect("a view is JSON");
        let headers =
            BTreeMap::from([(header::CONTENT_TYPE.to_string(), "application/json".to_owned())]);
        Self { status, headers, body: body.into(), problem: None }
    }

    /// Creates a 200 with a text of this media type, such as a page.
    pub fn text(media_type: &str, body: impl Into<Cow<'static, str>>) -> Self {
        let headers = BTreeMap::from([(header::CONTENT_TYPE.to_string(), media_type.to_owned())]);
        Self { status: StatusCode::OK, headers, body: body.into(), problem: None }
    }

    /// Creates a 308. `location` may be relative to the request's own address.
    pub fn redirect(location: &str) -> Self {
        let headers = BTreeMap::from([(header::LOCATION.to_string(), location.to_owned())]);
        Self {
            status: StatusCode::PERMANENT_REDIRECT,
            headers,
            body: Cow::Borrowed(""),
            problem: None,
        }
    }

    /// Creates the response for a problem.
    pub fn from_problem(problem: &Problem, request_id: &str) -> Self {
        let mut response = Self::json(problem.status, &problem.document(request_id));
        response.problem = Some(problem.code.clone());
        response.set(header::CONTENT_TYPE.as_str(), "application/problem+json");
        if let Some(seconds) = problem.retry_after_seconds() {
            response.set(header::RETRY_AFTER.as_str(), &seconds.to_string());
        }
        if let Some(version) = problem.current_version() {
            response.set(header::ETAG.as_str(), &etag_text(version));
        }
        for (name, value) in problem.headers() {
            response.set(name, value);
        }
        if problem.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1, requires this header on every 401. RFC 6750, section 3.1,
            // adds the error if a token was rejected.
            let challenge = if problem.code == "invalid_token" {
                "Bearer error=\"invalid_token\""
            } else {
                "Bearer"
            };
            response.set(header::WWW_AUTHENTICATE.as_str(), challenge);
        }
        response
    }

    /// Sets `ETag` to the version.
    #[must_use]
    pub fn etag(mut self, version: u64) -> Self {
        self.set(header::ETAG.as_str(), &etag_text(version));
        self
    }

    /// Sets a weak entity tag, because the gateway may compress the response, which changes its
    /// bytes (RFC 9110, section 8.8.1).
    #[must_use]
    pub fn weak_etag(mut self, opaque: &str) -> Self {
        self.set(header::ETAG.as_str(), &format!("W/\"{opaque}\""));
        self
    }

    /// Sets a weak entity tag that changes with `content`, for a response without a version.
    ///
    /// # Panics
    /// If the content cannot be serialized: a programming error.
    #[must_use]
    pub fn etag_of<T: Serialize>(self, content: &T) -> Self {
        let content = serde_json::to_string(content).expect("a view is JSON");
        self.weak_etag(&ids::sha256_hex(&content)[..32])
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Sets `Cache-Control`.
    #[must_use]
    pub fn cached(mut self, directive: &str) -> Self {
        self.set(header::CACHE_CONTROL.as_str(), directive);
        self
    }

    /// Adds a link to the page that explains the problem, if the response reports one (RFC 8288).
    /// `root` leads from the request's address to the root of the API.
    #[must_use]
    pub(super) fn link_to_help(mut self, root: &str) -> Self {
        if let Some(code) = &self.problem {
            let link = format!("<{root}problems/{code}>; rel=\"help\"");
            self.set(header::LINK.as_str(), &link);
        }
        self
    }

    /// Becomes 304 without a body if the client already has this version.
    #[must_use]
    pub fn unless_matching(mut self, if_none_match: Option<&str>) -> Self {
        let tag = self.headers.get(header::ETAG.as_str()).map(|tag| opaque(tag));
        let matches =
            |given: &str| given == "*" || given.split(',').any(|one| Some(opaque(one)) == tag);
        if if_none_match.is_some_and(matches) {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Cow::Borrowed("");
            self.headers.remove(header::CONTENT_TYPE.as_str());
        }
        self
    }

    /// Removes the body for `HEAD` and keeps its length as `Content-Length` (RFC 9110, section
    /// 9.3.2).
    #[must_use]
    pub(super) fn without_body(mut self) -> Self {
        if !self.body.is_empty() {
            let length = std::mem::take(&mut self.body).len();
            self.set(header::CONTENT_LENGTH.as_str(), &length.to_string());
        }
        self
    }

    /// Returns the `Location` of the created resource.
    pub(super) fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION.as_str()).map(String::as_str)
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.insert(name.to_owned(), value.to_owned());
    }

    /// Adds a value to a header that is a list.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        match self.headers.get_mut(name) {
            Some(values) => *values = format!("{values}, {value}"),
            None => self.set(name, value),
        }
    }

    pub(super) fn set_default(&mut self, name: header::HeaderName, value: &str) {
        self.headers.entry(name.to_string()).or_insert_with(|| value.to_owned());
    }

    pub(super) fn into_parts(self) -> (StatusCode, BTreeMap<String, String>, Cow<'static, str>) {
        (self.status, self.headers, self.body)
    }
}

/// Returns the part of an entity tag that the weak comparison uses (RFC 9110, section 8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

/// Formats a version as a strong entity tag.
pub(super) fn etag_text(version: u64) -> String {
    format!("\"{version}\"")
}

/// A version that no resource has: versions count up from 1.
const NO_VERSION: u64 = u64::MAX;

/// Parses the version in an entity tag. A tag that Ferrocart never issues, such as a weak one (RFC
/// 9110, section 13.1.1, compares strongly), becomes [`NO_VERSION`]. Returns `None` if `tag` is not
/// exactly one entity tag.
pub(super) fn version_of(tag: &str) -> Option<u64> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let is_etagc = |c: char| matches!(c, '\x21' | '\x23'..='\x7e' | '\u{80}'..);
    if !opaque.chars().all(is_etagc) {
        return None;
    }
    let version = opaque.parse().ok().filter(|version| etag_text(*version) == tag);
    Some(version.unwrap_or(NO_VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_compares_weakly() {
        let weak = || no_content().weak_etag("a1");
        let strong = || no_content().etag(3);
        for (response, given, unchanged) in [
            (weak(), "W/\"a1\"", true),
            (weak(), "\"a1\"", true),
            (weak(), "\"b2\", W/\"a1\"", true),
            (weak(), "*", true),
            (weak(), "W/\"b2\"", false),
            (strong(), "W/\"3\"", true),
            (strong(), "\"3\"", true),
            (strong(), "\"4\"", false),
            (no_content(), "\"3\"", false),
        ] {
            let status = response.clone().unless_matching(Some(given)).status();
            assert_eq!(status == StatusCode::NOT_MODIFIED, unchanged, "{given} for {response:?}");
        }
    }

    #[test]
    fn entity_tag_parses_to_a_version_or_no_version() {
        for (tag, version) in [
            ("\"0\"", Some(0)),
            ("\"1\"", Some(1)),
            ("\"18446744073709551614\"", Some(u64::MAX - 1)),
            ("W/\"1\"", Some(NO_VERSION)),
            ("W/\"abc\"", Some(NO_VERSION)),
            ("\"abc\"", Some(NO_VERSION)),
            ("\"\"", Some(NO_VERSION)),
            ("\"01\"", Some(NO_VERSION)),
            ("\"+1\"", Some(NO_VERSION)),
            ("\"-1\"", Some(NO_VERSION)),
            ("\"1-gzip\"", Some(NO_VERSION)),
            ("\"18446744073709551616\"", Some(NO_VERSION)),
            ("\"99999999999999999999999999\"", Some(NO_VERSION)),
            ("", None),
            ("*", None),
            ("1", None),
            ("\"1", None),
            ("\"", None),
            ("w/\"1\"", None),
            ("W/1", None),
            ("\"1\", \"2\"", None),
            ("\"1 2\"", None),
            ("\"1\"x", None),
            ("\"1\0\"", None),
            ("\"1\r\nX: y\"", None),
        ] {
            assert_eq!(version_of(tag), version, "{tag:?}");
        }
    }
}

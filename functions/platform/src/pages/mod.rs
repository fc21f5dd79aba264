//! The content that `get-docs` serves: pages rendered here, and assets embedded in the binary.
//!
//! Nothing is loaded from another host. Each answer has a content security policy that allows
//! exactly what its page needs.

mod site;

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use shared::http::Response;

/// For how long a browser uses a page without asking again: a release is seen after five minutes.
const CACHE_CONTROL: &str = "public, max-age=300";

/// Scripts, styles and images of this host, and requests to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// As [`POLICY`], with what Swagger UI needs: inline styles, and images in its style sheet.
const REFERENCE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// A page or an asset, as it is served.
pub struct Page {
    media_type: &'static str,
    policy: &'static str,
    body: Cow<'static, str>,
}

impl Page {
    fn html(body: String) -> Self {
        Self { media_type: HTML, policy: POLICY, body: body.into() }
    }

    const fn asset(media_type: &'static str, body: &'static str) -> Self {
        Self { media_type, policy: POLICY, body: Cow::Borrowed(body) }
    }

    /// The answer. Its entity tag is a hash of the body, so it changes with the content only.
    pub fn response(self) -> Response {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        let tag = format!("{:016x}", hasher.finish());
        Response::text(self.media_type, self.body)
            .with_header("content-security-policy", self.policy)
            .weak_etag(&tag)
            .cached(CACHE_CONTROL)
    }
}

/// The page at this path of the API, if there is one.
pub fn find(path: &str) -> Option<Page> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        [""] => Some(Page::html(site::overview())),
        ["docs"] => Some(reference(site::reference(None))),
        ["docs", service] => {
            site::service(service).map(|service| reference(site::reference(Some(service))))
        }
        ["openapi.json"] => Some(Page::asset(JSON, include_str!("../../openapi.json"))),
        ["openapi-3.0.json"] => Some(Page::asset(JSON, include_str!("../../openapi-3.0.json"))),
        ["problems"] => Some(Page::html(site::problems())),
        ["problems", code] => site::problem(code).map(Page::html),
        ["assets", file] => asset(file),
        _ => None,
    }
}

fn reference(body: String) -> Page {
    Page { policy: REFERENCE_POLICY, ..Page::html(body) }
}

fn asset(file: &str) -> Option<Page> {
    let (media_type, body) = match file {
        "pages.css" => (CSS, include_str!("../../assets/pages.css")),
        "health.js" => (JAVASCRIPT, include_str!("../../assets/health.js")),
        "icon.svg" => (SVG, include_str!("../../assets/icon.svg")),
        "reference.css" => (CSS, include_str!("../../assets/reference.css")),
        "reference.js" => (JAVASCRIPT, include_str!("../../assets/reference.js")),
        "swagger-ui.css" => (CSS, include_str!("../../assets/swagger-ui/swagger-ui.css")),
        "swagger-ui-bundle.js" => {
            (JAVASCRIPT, include_str!("../../assets/swagger-ui/swagger-ui-bundle.js"))
        }
        _ => return None,
    };
    Some(Page::asset(media_type, body))
}

//! Pages: serves the overview, the API reference, the problems and the API document.

use std::sync::Arc;

use shared::{
    http::{Request, Response},
    problem::Problem,
};

use crate::{Platform, pages};

/// Answers `200` with a page, an asset of a page, or the API document. `404` for a page that does
/// not exist.
///
/// The stage's own address without a slash at its end is redirected to the one with it: links of
/// pages are relative, because neither a custom domain nor its base path is known here.
pub async fn get_docs(_: Arc<Platform>, request: Request) -> Result<Response, Problem> {
    let path = request.resource();
    let full_path = request.full_path();
    if path == "/"
        && !full_path.is_empty()
        && !full_path.ends_with('/')
        && let Some((_, last)) = full_path.rsplit_once('/')
    {
        return Ok(Response::redirect(&format!("{last}/")));
    }
    let page = pages::find(&path).ok_or_else(no_page)?;
    Ok(page.response().unless_matching(request.header("if-none-match")))
}

fn no_page() -> Problem {
    Problem::not_found("route").detail("No page has this address. Start at the root of the API.")
}

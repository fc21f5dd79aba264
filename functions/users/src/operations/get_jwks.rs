//! `GET /.well-known/jwks.json`: returns the public keys of access tokens, for clients that verify
//! tokens themselves (RFC 7517).

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::{Users, error::UsersError};

/// Cache lifetime of the response: as that of the authorizers' keys, so both drop a revoked key
/// within a minute.
const CACHE_CONTROL: &str = "public, max-age=30";

/// Answers `200` with the signing key and the earlier keys whose tokens may still be valid. `503`
/// before the first rotation. `304` if `If-None-Match` names these keys.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    params(shared::api_document::IfNoneMatch),
    responses(
        (status = 200, description = "The keys.", body = crate::tokens::signing_keys::PublicKeys, headers(("ETag"), ("Cache-Control"))),
        (status = 304, description = "Nothing has changed since that version.", headers(("ETag"), ("Cache-Control"))),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["no_signing_key"]))),
))]
pub async fn get_jwks(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let now = users.clock.now();
    let keys = users.fresh_signing_keys().await?;
    if keys.current().is_none() {
        return Err(UsersError::NoSigningKey.into());
    }

    let keys = keys.jwks(now);
    let answer = http::ok(&keys).etag_of(&keys).cached(CACHE_CONTROL);
    Ok(answer.unless_matching(request.header("if-none-match")))
}

//! `POST /users/logout`: ends the session of the access token.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::PrefixedId,
    problem::Problem,
};

use crate::{Users, domain::EndReason, tokens::refresh::SessionId};

/// Answers `204`, also if the session has already ended. The refresh token is invalid at once.
/// Access tokens of the session are rejected within a minute, when the gateway's cached answer has
/// expired.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/logout",
    responses((status = 204, description = "The session is over.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"]))),
))]
pub async fn logout_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;

    if let Some(session) = caller.session.as_deref().and_then(SessionId::parse) {
        users.store.end_session(session, caller.user_id, EndReason::LoggedOut).await?;
    }

    Ok(http::no_content())
}

//! `GET /users/me`: returns the caller's own profile.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::UserView;
use crate::Users;

/// Answers `200` with the profile and its version. A deleted or disabled user, whose token the
/// gateway still caches, gets the same `401` as an invalid token.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/users/me",
    responses((status = 200, description = "The profile.", body = UserView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"]))),
))]
pub async fn get_me(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;

    let user = users
        .store
        .user(caller.user_id)
        .await?
        .filter(|user| user.is_active)
        .ok_or_else(Problem::unauthorized)?;

    Ok(http::ok(&UserView::from(&user)).etag(user.version))
}

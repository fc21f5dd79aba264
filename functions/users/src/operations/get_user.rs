//! `GET /users/{user_id}`: returns a profile to its owner or an admin.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::UserId,
    problem::Problem,
};

use super::view::UserView;
use crate::{Users, error::UsersError};

/// Answers `200` with the profile and its version; `404` for another user's profile unless the
/// caller is an admin.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/users/{user_id}",
    params(("user_id" = UserId, Path, description = "The user.")),
    responses((status = 200, description = "The profile.", body = UserView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["owner", "admin"])), ("x-problems" = json!(["user_not_found"]))),
))]
pub async fn get_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let id: UserId = request.path_id("user_id", "user")?;
    if !caller.may_see(id) {
        return Err(UsersError::NotFound.into());
    }

    let user = users.store.user(id).await?.ok_or(UsersError::NotFound)?;

    Ok(http::ok(&UserView::from(&user)).etag(user.version))
}

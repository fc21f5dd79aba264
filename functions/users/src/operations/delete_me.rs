//! `DELETE /users/me`: deletes the caller's account and personal data.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::{Users, error::UsersError, store::UpdateOutcome};

/// Maximum number of attempts when concurrent writes conflict.
const MAX_ATTEMPTS: u32 = 3;

/// Answers `204`. Erases credentials, profile and address book at once and ends every session. The address can be
/// registered again. The other services are notified and erase their copies. An unsettled order
/// keeps its copy until it is settled, and is then redacted.
///
/// # Errors
/// `412` if `If-Match` is sent and the profile has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/users/me",
    params(shared::api_document::OptionalIfMatch),
    responses((status = 204, description = "The account is gone.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"]))),
))]
pub async fn delete_me(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let seen = request.if_match_optional()?;

    for _ in 0..MAX_ATTEMPTS {
        let user = users
            .store
            .user(caller.user_id)
            .await?
            .filter(|user| user.is_active)
            .ok_or_else(Problem::unauthorized)?;
        if seen.is_some_and(|seen| seen != user.version) {
            return Err(UsersError::VersionMismatch { current: user.version }.into());
        }
        if users.store.erase(&user, users.clock.now(), request.trace()).await?
            == UpdateOutcome::Written
        {
            return Ok(http::no_content());
        }
    }
    Err(UsersError::Contended.into())
}

//! `POST /users/verify-email`: verifies an address with the token of a mailed link.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use crate::{
    Users,
    domain::ChangeError,
    error::UsersError,
    store::{UpdateOutcome, UserChange},
    tokens::one_time::OneTimeToken,
};

/// The one-time token of a verification link.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct VerifyEmail {
    token: String,
}

/// Answers `204`. If the link verifies a new address, it becomes the user's login and mail address;
/// `409` if the address was registered meanwhile.
///
/// # Errors
/// `400` for any link that does not work, without a reason; `429` after too many attempts from one
/// network.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/verify-email",
    request_body = VerifyEmail,
    responses((status = 204, description = "The address is verified.")),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["invalid_one_time_token", "email_taken", "too_many_requests"]))),
))]
pub async fn verify_email(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let VerifyEmail { token } = request.json()?;
    let token = OneTimeToken::parse(&token).ok_or(ChangeError::InvalidLink)?;
    users.check_link_rate_limit(&request).await?;

    let user = users.store.user(token.user_id).await?.ok_or(ChangeError::InvalidLink)?;
    let after =
        user.with_verified_email(&token.hash(), users.clock.now(), request.trace().clone())?;
    let moves = user.email != after.email;
    let credentials = if moves {
        Some(users.store.credentials_to_move(&user.email).await?.ok_or(UsersError::Contended)?)
    } else {
        None
    };

    let mut change = UserChange::new(&user, &after);
    if let Some(credentials) = &credentials {
        change = change.moving(credentials);
    }
    match users.store.update_user(change).await? {
        UpdateOutcome::Written => Ok(http::no_content()),
        UpdateOutcome::EmailTaken => Err(UsersError::EmailTaken.into()),
        UpdateOutcome::VersionConflict => Err(UsersError::Contended.into()),
    }
}

//! `POST /users/password-reset/confirm`: sets a new password with the token of a reset link.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::DEVICE_TOKEN_HEADER;
use crate::{
    Users,
    domain::{ChangeError, Password, check_password_differs},
    error::UsersError,
    store::{UpdateOutcome, UserChange},
    tokens::{device::DeviceToken, one_time::OneTimeToken},
};

/// The one-time token of a reset link, and the new password.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct ConfirmPasswordReset {
    token: String,
    new_password: Password,
}

/// Answers `204` with a device token, because a reader of the mailbox counts as the owner. The
/// owner can then log in even while others exhaust the account's login attempts. All sessions and
/// earlier device tokens end, and a pending address change is cancelled.
///
/// # Errors
/// `400` for any link that does not work, without a reason; `429` after too many attempts from one
/// network.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/password-reset/confirm",
    request_body = ConfirmPasswordReset,
    responses((status = 204, description = "The password is set.", headers(("X-Device-Token")))),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["invalid_one_time_token", "password_is_email", "too_many_requests"]))),
))]
pub async fn confirm_password_reset(
    users: Arc<Users>,
    request: Request,
) -> Result<Response, Problem> {
    let ConfirmPasswordReset { token, new_password } = request.json()?;
    let token = OneTimeToken::parse(&token).ok_or(ChangeError::InvalidLink)?;
    users.check_link_rate_limit(&request).await?;

    let user = users.store.user(token.user_id).await?.ok_or(ChangeError::InvalidLink)?;
    let now = users.clock.now();
    let after = user.with_reset_password(&token.hash(), now, request.trace().clone())?;
    check_password_differs(&new_password, &user.email).map_err(UsersError::NewPassword)?;

    let mut change = UserChange::new(&user, &after);
    change.password_hash = Some(
        users.hasher().hash(new_password.as_str(), users.ids.bytes()).map_err(UsersError::from)?,
    );
    change.extra_writes = vec![
        users
            .store
            .transact_clear_bucket(&users.buckets().await?.login_unknown_device(&user.email)),
    ];
    match users.store.update_user(change).await? {
        UpdateOutcome::Written => {
            let device =
                DeviceToken::issue(&after.email, after.id, after.session_epoch, &users.ids, now);
            Ok(http::no_content().with_header(
                DEVICE_TOKEN_HEADER,
                &device.text(Users::device_token_keys(&users.server_keys().await?).active()),
            ))
        }
        UpdateOutcome::VersionConflict | UpdateOutcome::EmailTaken => {
            Err(UsersError::Contended.into())
        }
    }
}

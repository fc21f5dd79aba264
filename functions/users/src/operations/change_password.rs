//! `POST /users/me/password`: changes the password, which requires the current one. All other
//! sessions end.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    ids::PrefixedId,
    problem::Problem,
};

use super::view::DEVICE_TOKEN_HEADER;
use crate::{
    Users,
    domain::{Password, check_password_differs},
    error::UsersError,
    store::{UpdateOutcome, UserChange},
    tokens::{device::DeviceToken, refresh::SessionId},
};

/// The current and the new password. The current one may be any text, because it may predate
/// today's rules.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    #[cfg_attr(feature = "api-document", schema(format = "password"))]
    current_password: String,
    new_password: Password,
}

/// Answers `204` with a new device token, because the earlier ones become invalid. The session of
/// this request continues. Refresh tokens of all other sessions are invalid at once, their access
/// tokens at the next authorizer call. Too many wrong passwords get `429`, so that a stolen access
/// token cannot be used to guess the password.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/me/password",
    request_body = ChangePassword,
    responses((status = 204, description = "The password is changed.", headers(("X-Device-Token")))),
    security(("bearer" = [])),
    extensions(
        ("x-roles" = json!(["user", "admin"])),
        ("x-problems" = json!(["wrong_password", "password_is_email", "too_many_requests"])),
    ),
))]
pub async fn change_password(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let ChangePassword { current_password, new_password } = request.json()?;

    let user = users
        .store
        .user(caller.user_id)
        .await?
        .filter(|user| user.is_active)
        .ok_or_else(Problem::unauthorized)?;
    check_password_differs(&new_password, &user.email).map_err(UsersError::NewPassword)?;
    let bucket = users.buckets().await?.password_confirmation(user.id);
    let credentials =
        users.confirm_password(&user, &current_password, std::slice::from_ref(&bucket)).await?;

    let now = users.clock.now();
    let after = user.with_changed_password(now, request.trace().clone());
    let mut change = UserChange::new(&user, &after);
    change.password_hash = Some(
        users.hasher().hash(new_password.as_str(), users.ids.bytes()).map_err(UsersError::from)?,
    );
    change.credentials = Some(&credentials);
    change.extra_writes = vec![users.store.transact_refund_attempt(&bucket, now)];
    let session = caller.session.as_deref().and_then(SessionId::parse);
    if let Some(session) = session {
        change.extra_writes.push(users.store.transact_keep_session(
            session,
            user.id,
            after.session_epoch,
        ));
    }
    match users.store.update_user(change).await? {
        UpdateOutcome::Written => {
            let device =
                DeviceToken::issue(&after.email, after.id, after.session_epoch, &users.ids, now);
            Ok(http::no_content().with_header(
                DEVICE_TOKEN_HEADER,
                &device.text(Users::device_token_keys(&users.server_keys().await?).active()),
            ))
        }
        UpdateOutcome::VersionConflict | UpdateOutcome::EmailTaken => match session {
            Some(session) if !users.is_session_active(session, &user).await? => {
                Err(Problem::unauthorized())
            }
            _ => Err(UsersError::Contended.into()),
        },
    }
}

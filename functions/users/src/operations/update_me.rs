//! `PATCH /users/me`: changes the caller's own names and address.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
    validation::Violation,
};

use super::view::UserView;
use crate::{
    Users,
    domain::{
        Email, EmailEdit, FullName, ProfileEdit, Username, VERIFICATION_LIFETIME,
        WITHDRAWAL_LIFETIME,
    },
    error::UsersError,
    store::{UpdateOutcome, UserChange},
    tokens::one_time::OneTimeToken,
};

/// Changes to the caller's own profile. Absent fields stay unchanged. Names cannot be removed:
/// `null` is a type error.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct UpdateMe {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    email: Option<Email>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    username: Option<Username>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    full_name: Option<FullName>,
    /// Required if `email` differs from the current address.
    #[cfg_attr(feature = "api-document", schema(nullable = false, format = "password"))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    current_password: Option<String>,
}

/// Answers `200` with the profile. A new address requires `current_password` and stays
/// `pending_email` until the link sent to it is followed. Until then, the answer does not reveal
/// whether the address is registered. The current address gets a mail with a link that withdraws
/// the change. To send the current address again cancels a pending change, and sends a new link if
/// the address was never verified.
///
/// # Errors
/// `428` without `If-Match`; `412` if the profile has changed since; `409` for 48 hours after the
/// login has moved to another address.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/users/me",
    params(shared::api_document::IfMatch),
    request_body = UpdateMe,
    responses((status = 200, description = "The profile as it is now.", body = UserView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"])), (
        "x-problems" = json!(["nothing_to_change", "wrong_password", "email_changed_recently", "too_many_requests"])
    )),
))]
pub async fn update_me(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let seen = request.if_match()?;
    let UpdateMe { email, username, full_name, current_password } = request.json()?;
    if email.is_none() && username.is_none() && full_name.is_none() {
        return Err(nothing_to_change());
    }

    let user = users
        .store
        .user(caller.user_id)
        .await?
        .filter(|user| user.is_active)
        .ok_or_else(Problem::unauthorized)?;
    if user.version != seen {
        return Err(UsersError::VersionMismatch { current: user.version }.into());
    }
    let now = users.clock.now();
    let mut credentials = None;
    let mut extra_writes = Vec::new();
    match &email {
        Some(email) if email.as_str() != user.email => {
            let password = current_password.ok_or(UsersError::CurrentPasswordRequired)?;
            let buckets = users.buckets().await?;
            let bucket = buckets.password_confirmation(user.id);
            extra_writes.push(users.store.transact_refund_attempt(&bucket, now));
            credentials = Some(
                users
                    .confirm_password(
                        &user,
                        &password,
                        &[buckets.verification_mails(user.id), bucket],
                    )
                    .await?,
            );
        }
        Some(_) if !user.email_verified => {
            users.check_rate_limits(&[users.buckets().await?.verification_mails(user.id)]).await?
        }
        _ => {}
    }
    let email = match email {
        None => None,
        Some(email) => {
            let key = users.one_time_token_key().await?;
            let link = |lifetime| {
                OneTimeToken::create(user.id, &users.ids).link(&key, now, lifetime, &users.ids)
            };
            Some(EmailEdit {
                email,
                verification: link(VERIFICATION_LIFETIME),
                withdrawal: link(WITHDRAWAL_LIFETIME),
            })
        }
    };
    let after =
        user.edited(ProfileEdit { email, username, full_name }, now, request.trace().clone())?;
    let mut change = UserChange::new(&user, &after);
    change.credentials = credentials.as_ref();
    change.extra_writes = extra_writes;
    match users.store.update_user(change).await? {
        UpdateOutcome::Written => Ok(http::ok(&UserView::from(&after)).etag(after.version)),
        UpdateOutcome::VersionConflict | UpdateOutcome::EmailTaken => {
            Err(users.version_mismatch(user.id).await?)
        }
    }
}

/// Returns 422 for a change without any field.
pub(super) fn nothing_to_change() -> Problem {
    Problem::invalid_field(
        "",
        &Violation::new("nothing_to_change", "Send at least one field to change."),
    )
}

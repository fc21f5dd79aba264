//! `PUT /users/{user_id}`: changes a user's role and names, and enables or disables the account,
//! for admins.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error};
use shared::{
    auth::Role,
    http::{self, Request, Response},
    ids::UserId,
    problem::Problem,
};

use super::{update_me::nothing_to_change, view::UserView};
use crate::{
    Users,
    domain::{AdminEdit, FullName, Username},
    error::UsersError,
    store::{UpdateOutcome, UserChange},
};

/// An admin's changes to a user. Absent fields stay unchanged. Only the owner can change the
/// address and the password.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct UpdateUser {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "role_by_name")]
    role: Option<Role>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    is_active: Option<bool>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    username: Option<Username>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    full_name: Option<FullName>,
}

/// Parses a role from a text. Deserializing the enum directly would report a value that is not a
/// text as malformed JSON, not as a wrong type.
fn role_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Role>, D::Error> {
    let name = String::deserialize(deserializer)?;
    Role::parse(&name).map(Some).ok_or_else(|| D::Error::unknown_variant(&name, &["user", "admin"]))
}

/// Answers `200` with the profile. A changed role takes effect at the next refresh, and at the
/// gateway within a minute. Admins cannot change their own role or disable themselves (`409`), so
/// that the last admin cannot lock out the shop.
///
/// # Errors
/// `428` without `If-Match`; `412` if the profile has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    put,
    path = "/users/{user_id}",
    params(("user_id" = UserId, Path, description = "The user."), shared::api_document::IfMatch),
    request_body = UpdateUser,
    responses((status = 200, description = "The profile as it is now.", body = UserView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["user_not_found", "own_account", "nothing_to_change"]))),
))]
pub async fn update_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let id: UserId = request.path_id("user_id", "user")?;
    let seen = request.if_match()?;
    let UpdateUser { role, is_active, username, full_name } = request.json()?;
    if role.is_none() && is_active.is_none() && username.is_none() && full_name.is_none() {
        return Err(nothing_to_change());
    }

    let user = users.store.user(id).await?.ok_or(UsersError::NotFound)?;
    if user.version != seen {
        return Err(UsersError::VersionMismatch { current: user.version }.into());
    }
    let loses_rights =
        role.is_some_and(|role| role.name() != user.role) || is_active == Some(false);
    if admin.user_id == id && loses_rights {
        return Err(UsersError::OwnAccount.into());
    }
    let change = AdminEdit { role, is_active, username, full_name };
    let after = user.edited_by_admin(change, users.clock.now(), request.trace().clone());
    match users.store.update_user(UserChange::new(&user, &after)).await? {
        UpdateOutcome::Written => Ok(http::ok(&UserView::from(&after)).etag(after.version)),
        UpdateOutcome::VersionConflict | UpdateOutcome::EmailTaken => {
            Err(users.version_mismatch(id).await?)
        }
    }
}

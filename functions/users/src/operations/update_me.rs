//! `PATCH /users/me`: the caller's own name and address.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
    validation::Violation,
};

use super::UserView;
use crate::{
    Users,
    domain::{Email, FullName, ProfileEdit, Username, VERIFICATION_LIFETIME},
    error::UsersError,
    one_time_token::OneTimeToken,
    store::{Change, Replaced},
};

/// What is absent stays as it is. There is no way to take a name away: `null` is a wrong type.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct UpdateMe {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::http::present")]
    email: Option<Email>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::http::present")]
    username: Option<Username>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::http::present")]
    full_name: Option<FullName>,
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Users::from_env, update_me)
}

/// Answers `200` with the profile. Another address is only `pending_email` until the link that is sent there was followed; whether
/// somebody else has it is not said before. The present address, sent again, is sent a new link if it was never verified.
///
/// # Errors
/// The problem that is answered: `428` without `If-Match`, `412` when the profile has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/users/me",
    params(shared::api_document::IfMatch),
    request_body = UpdateMe,
    responses((status = 200, description = "The profile as it is now.", body = UserView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"])), ("x-problems" = json!(["nothing_to_change"]))),
))]
pub async fn update_me(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let seen = request.if_match()?;
    let UpdateMe { email, username, full_name } = request.json()?;
    if email.is_none() && username.is_none() && full_name.is_none() {
        return Err(nothing_to_change());
    }

    let user = users.store.user(caller.user_id).await?.filter(|user| user.is_active).ok_or_else(Problem::unauthorized)?;
    if user.version != seen {
        return Err(UsersError::Stale { current: user.version }.into());
    }
    let now = users.clock.now();
    let email = match email {
        None => None,
        Some(email) => {
            let token = OneTimeToken::create(user.id, &users.ids);
            Some((email, token.link(&users.one_time_token_key().await?, now, VERIFICATION_LIFETIME, &users.ids)))
        }
    };
    let after = user.edited(ProfileEdit { email, username, full_name }, now, request.trace().clone());
    match users.store.replace(Change::new(&user, &after)).await? {
        Replaced::Written => Ok(http::ok(&UserView::from(&after)).etag(after.version)),
        Replaced::Overtaken | Replaced::EmailTaken => Err(users.stale(user.id).await?),
    }
}

/// 422 for a change that changes nothing.
pub(super) fn nothing_to_change() -> Problem {
    Problem::invalid_field("", &Violation::new("nothing_to_change", "Send at least one field that is to change."))
}

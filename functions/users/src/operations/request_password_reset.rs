//! `POST /users/password-reset`: mails a link that sets a new password.
//!
//! Neither the answer nor the work reveals whether an address is registered. Every request takes
//! two reads and one write, whose condition fails for unknown addresses.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use shared::{
    http::{self, Request, Response},
    ids::{self, UserId},
    problem::Problem,
};

use crate::{
    Users,
    domain::{Email, RESET_LIFETIME},
    tokens::one_time::OneTimeToken,
};

/// The account's address. Any text is accepted: a malformed address is treated as an unknown one.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RequestPasswordReset {
    email: String,
}

/// Answers `202`, whether or not the address is registered; `429` after too many requests.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/password-reset",
    request_body = RequestPasswordReset,
    responses((
        status = 202,
        description = "If the address is registered, a link is sent to it.",
        body = Object,
        example = json!({ "status": "accepted" }),
    )),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["too_many_requests"]))),
))]
pub async fn request_password_reset(
    users: Arc<Users>,
    request: Request,
) -> Result<Response, Problem> {
    let RequestPasswordReset { email } = request.json()?;
    let address = Email::parse(&email).map_or(email, String::from);
    let (keys, mail_key) = tokio::try_join!(users.server_keys(), users.one_time_token_key())?;
    let buckets = users.buckets_of(&keys);
    users
        .check_rate_limits(&[
            buckets.reset_network(request.source_ip()),
            buckets.reset_account(&address),
        ])
        .await?;

    let known = users.store.credentials(&address).await?;
    let user_id =
        known.map_or_else(|| ids::derive::<UserId>(&["nobody", &address]), |known| known.user_id);
    let user =
        users.store.user(user_id).await?.filter(|user| user.is_active && user.email == address);
    let now = users.clock.now();
    let fresh =
        OneTimeToken::create(user_id, &users.ids).link(&mail_key, now, RESET_LIFETIME, &users.ids);
    let (seen, link) = match user {
        Some(user) => (user.version, user.reset_link(fresh, now)),
        None => (0, fresh),
    };
    // The condition fails for unknown addresses. It also fails if the user changes concurrently,
    // and the user then requests again.
    let _ = users.store.store_reset_link(user_id, seen, &link, request.trace()).await?;

    Ok(http::accepted(&json!({ "status": "accepted" })))
}

//! `POST /users/email-change/withdraw`: withdraws an address change that the owner did not request.

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

/// Maximum number of attempts when the account changes concurrently.
const MAX_ATTEMPTS: u32 = 5;

/// The one-time token of a withdraw link.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct WithdrawEmailChange {
    token: String,
}

/// Answers `204`. The login returns to the address that received the link, even if the change was
/// already confirmed. All sessions, access tokens and device tokens end. The password is unchanged;
/// the mails advise a reset.
///
/// # Errors
/// `400` for any link that does not work, without a reason; `429` after too many attempts from one
/// network.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/email-change/withdraw",
    request_body = WithdrawEmailChange,
    responses((status = 204, description = "The change is withdrawn, and all sessions have ended.")),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["invalid_one_time_token", "too_many_requests"]))),
))]
pub async fn withdraw_email_change(
    users: Arc<Users>,
    request: Request,
) -> Result<Response, Problem> {
    let WithdrawEmailChange { token } = request.json()?;
    users.check_link_rate_limit(&request).await?;
    let token = OneTimeToken::parse(&token).ok_or(ChangeError::InvalidLink)?;

    for _ in 0..MAX_ATTEMPTS {
        let user = users.store.user(token.user_id).await?.ok_or(ChangeError::InvalidLink)?;
        let after = user.with_email_change_withdrawn(
            &token.hash(),
            users.clock.now(),
            request.trace().clone(),
        )?;
        let moves = user.email != after.email;
        let credentials =
            if moves { users.store.credentials_to_move(&user.email).await? } else { None };
        if moves && credentials.is_none() {
            continue;
        }
        let mut change = UserChange::new(&user, &after);
        if let Some(credentials) = &credentials {
            change = change.moving(credentials);
        }
        match users.store.update_user(change).await? {
            UpdateOutcome::Written => return Ok(http::no_content()),
            // The reservation of the address ends with the link, and another machine's clock is
            // already past that time.
            UpdateOutcome::EmailTaken => return Err(ChangeError::InvalidLink.into()),
            UpdateOutcome::VersionConflict => {}
        }
    }
    Err(UsersError::Contended.into())
}

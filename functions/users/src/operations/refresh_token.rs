//! `POST /users/token/refresh`: a new access token and a new refresh token for the refresh token
//! that counts.
//!
//! Each token is valid once. A reused token shows that two parties hold it, and the owner cannot be
//! identified: the whole session ends, and the user's access tokens become invalid. One exception:
//! for ten seconds the previous token gets the same successor again, so that a lost response logs
//! no user out (RFC 9700, section 4.14.2).

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    problem::Problem,
    secret::KeyRing,
    telemetry::{self, Trace},
};

use super::view::TokensView;
use crate::{
    Users,
    domain::{EndReason, Session, TokenStatus, User},
    error::UsersError,
    store::{RotationOutcome, UpdateOutcome, UserChange},
    tokens::refresh::{RefreshToken, RefreshTokenKey, TokenSubject},
};

/// How often a change is tried that others get in the way of.
const MAX_ATTEMPTS: u32 = 5;

/// What the client has kept. Any text goes: what cannot be right is answered like what is not.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RefreshTokenRequest {
    refresh_token: String,
}

/// Answers `200` with the tokens; whatever does not count is one and the same `401`.
///
/// # Errors
/// The problem that is answered.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/token/refresh",
    request_body = RefreshTokenRequest,
    responses((status = 200, description = "The tokens that follow.", body = TokensView)),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["invalid_token", "no_signing_key"]))),
))]
pub async fn refresh_token(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let RefreshTokenRequest { refresh_token } = request.json()?;
    // First, so that a token is not exchanged for nothing.
    let signing_key = users.signing_key().await?;
    let keys = users.refresh_token_keys().await?;
    let presented = keys.open(|key| RefreshToken::open(&refresh_token, key));
    let presented =
        presented.ok_or(UsersError::InvalidRefreshToken("not issued by this service"))?;

    let now = users.clock.now();
    let successor = exchange(&users, &presented, &keys, now, request.trace()).await?;

    Ok(http::ok(&TokensView::new(&successor, keys.active(), &signing_key, &users, now)?))
}

/// The successor of a token that counts, or counted a moment ago.
async fn exchange(
    users: &Users,
    presented: &RefreshToken,
    keys: &KeyRing<RefreshTokenKey>,
    now: Timestamp,
    trace: &Trace,
) -> Result<RefreshToken, UsersError> {
    let expires_at = users.session_expiry(presented, now);
    if expires_at <= now {
        return Err(UsersError::InvalidRefreshToken("its session has reached its absolute end"));
    }
    let mut successor = presented.successor(presented.subject.clone(), keys.active());
    for _ in 0..MAX_ATTEMPTS {
        let (session, user) =
            match users.store.rotate_refresh_token(presented, &successor, expires_at, now).await? {
                RotationOutcome::Written => return Ok(successor),
                RotationOutcome::Conflict { session, user } => (session, user),
            };
        let user_changed = user.is_some();
        if let Some(user) = user {
            let user = user
                .filter(|user| user.is_active)
                .ok_or(UsersError::InvalidRefreshToken("its user is gone or disabled"))?;
            successor = presented.successor(TokenSubject::from(&*user), keys.active());
        }
        let Some(session) = session else {
            // If the session did not cause the rejection, the user has changed, or the session does
            // not exist.
            if user_changed {
                continue;
            }
            return Err(UsersError::InvalidRefreshToken("session not found"));
        };
        // The exchange may have been made under the other server key: just before a rotation of
        // that key took effect.
        let successors =
            keys.accepted().map(|key| presented.successor(successor.subject.clone(), key));
        let is_repeated = |successor: &RefreshToken| {
            token_status(&session, presented, successor, now) == TokenStatus::JustRotated
        };
        if let Some(repeated) = successors.into_iter().find(is_repeated) {
            return Ok(repeated);
        }
        match token_status(&session, presented, &successor, now) {
            TokenStatus::Current if user_changed => {}
            TokenStatus::Current | TokenStatus::SessionEnded => {
                return Err(UsersError::InvalidRefreshToken("its session is over"));
            }
            TokenStatus::JustRotated | TokenStatus::Reused => {
                revoke(users, presented, trace).await?;
                return Err(UsersError::InvalidRefreshToken("it was used before"));
            }
        }
    }
    Err(UsersError::Contended)
}

/// What the token is to a family that refused it. Its user's epoch counts too: a new password ends
/// a session without touching it.
fn token_status(
    session: &Session,
    presented: &RefreshToken,
    successor: &RefreshToken,
    now: Timestamp,
) -> TokenStatus {
    if session.is_active(successor.subject.user_id, successor.subject.session_epoch, now) {
        session.token_status(&presented.generation(), &successor.generation(), now)
    } else {
        TokenStatus::SessionEnded
    }
}

/// Ends the session and invalidates all access tokens of the user in one transaction.
async fn revoke(users: &Users, presented: &RefreshToken, trace: &Trace) -> Result<(), UsersError> {
    let user_id = presented.subject.user_id;
    for _ in 0..MAX_ATTEMPTS {
        let (user, session) =
            users.store.user_and_session(user_id, Some(presented.session_id)).await?;
        let (Some(user), Some(Session { end_reason: None, .. })) = (user, session) else {
            return Ok(());
        };
        let after: User = user.with_tokens_revoked(trace.clone());
        let mut change = UserChange::new(&user, &after);
        change.extra_writes = vec![users.store.transact_end_session(
            presented.session_id,
            user_id,
            EndReason::TokenReused,
        )];
        if users.store.update_user(change).await? == UpdateOutcome::Written {
            tracing::warn!(session = %presented.session_id, "a refresh token was used twice: its session is over");
            telemetry::count("RefreshTokenReused", "users", &users.clock);
            return Ok(());
        }
    }
    Err(UsersError::Contended)
}

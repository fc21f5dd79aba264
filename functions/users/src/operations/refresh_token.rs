//! `POST /users/token/refresh`: exchanges a refresh token for a new pair of tokens.
//!
//! Each token is valid once. A reused token shows that two parties hold it, and the owner cannot be
//! identified. The whole session then ends, and all access tokens of the user become invalid. There
//! is one exception: for ten seconds the previous token gets the same successor again, so that a
//! lost response logs out no user (RFC 9700, section 4.14.2).

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    http::{self, Request, Response},
    problem::Problem,
    secret::KeyRing,
    telemetry::Trace,
};

use super::view::TokensView;
use crate::{
    Users,
    domain::{EndReason, Session, TokenStatus, User},
    error::UsersError,
    metrics,
    store::{RotationOutcome, UpdateOutcome, UserChange},
    tokens::refresh::{RefreshToken, RefreshTokenKey, TokenSubject},
};

/// Maximum number of attempts when concurrent writes conflict.
const MAX_ATTEMPTS: u32 = 5;

/// The client's refresh token. Any text is accepted: a malformed token is answered like an invalid
/// one.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RefreshTokenRequest {
    refresh_token: String,
}

/// Answers `200` with the tokens. Every invalid token gets the same `401`.
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
    // Read first: if one is unavailable, the refresh token is not consumed.
    let (signing_key, keys) = tokio::try_join!(users.signing_key(), users.server_keys())?;
    let keys = Users::refresh_token_keys(&keys);
    let presented = keys.open(|key| RefreshToken::open(&refresh_token, key));
    let presented =
        presented.ok_or(UsersError::InvalidRefreshToken("not issued by this service"))?;

    let now = users.clock.now();
    let successor = exchange(&users, &presented, &keys, now, request.trace()).await?;

    Ok(http::ok(&TokensView::new(&successor, keys.active(), &signing_key, &users, now)?))
}

/// Exchanges a current token for its successor. A token that was rotated at most ten seconds ago
/// gets the same successor again.
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
                .ok_or(UsersError::InvalidRefreshToken("its user is deleted or disabled"))?;
            successor = presented.successor(TokenSubject::from(&*user), keys.active());
        }
        let Some(session) = session else {
            // The session did not cause the conflict: either the user has changed, or the session
            // does not exist.
            if user_changed {
                continue;
            }
            return Err(UsersError::InvalidRefreshToken("session not found"));
        };
        // An earlier exchange may have used the other server key, shortly before a rotation took
        // effect.
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
                return Err(UsersError::InvalidRefreshToken("its session has ended"));
            }
            TokenStatus::JustRotated | TokenStatus::Reused => {
                revoke(users, presented, trace).await?;
                return Err(UsersError::InvalidRefreshToken("it was used before"));
            }
        }
    }
    Err(UsersError::Contended)
}

/// Classifies a rejected token. The user's epoch counts too: a new password ends a session without
/// a write to it.
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
            tracing::warn!(session = %presented.session_id, "refresh token reused, session revoked");
            metrics::REFRESH_TOKEN_REUSED.increment();
            return Ok(());
        }
    }
    Err(UsersError::Contended)
}

//! Sessions: a login, and the refresh tokens that grow out of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::UserId};
use subtle::ConstantTimeEq;

/// Lifetime of a session without activity.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// For how long the token before the one that counts is answered with its successor once more: the
/// answer may have been lost on its way, or two pages of the shop may have asked at the same
/// moment.
pub const ROTATION_GRACE: Duration = Duration::from_secs(10);

/// When a session ends that is used at `now` and not again: [`SESSION_LIFETIME`] later, and at most
/// `max` after its start.
pub fn session_expiry(started_at: Timestamp, max: Duration, now: Timestamp) -> Timestamp {
    now.plus(SESSION_LIFETIME).min(started_at.plus(max))
}

/// What grew out of one login: which of its tokens counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// The epoch of the user's sessions in which it counts.
    #[serde(default)]
    pub session_epoch: u64,
    /// The number of the token that counts, from 1.
    pub sequence: u64,
    pub secret_hash: String,
    /// When it was given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// When its owner logged in.
    pub started_at: Timestamp,
    /// When the session ends unless it is used again; see [`session_expiry`].
    pub expires_at: Timestamp,
    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner logged out.
    LoggedOut,
    /// A token of it was used by two.
    TokenReused,
    /// Written by a later release.
    #[serde(untagged)]
    Unknown(String),
}

/// What a token of ours is, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// The one that counts.
    Current,
    /// The one before, and its successor was given out just now.
    JustRotated,
    /// The token was rotated before: a second party holds it.
    Reused,
    /// Its session is over.
    SessionEnded,
}

/// A refresh token as its family knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGeneration {
    /// Its number in the family, from 1.
    pub sequence: u64,
    pub secret_hash: String,
}

impl Session {
    /// The family that a login of this user begins with its first token.
    pub fn start(
        user_id: UserId,
        session_epoch: u64,
        first: TokenGeneration,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            user_id,
            session_epoch,
            sequence: first.sequence,
            secret_hash: first.secret_hash,
            rotated_at: None,
            started_at: now,
            expires_at,
            end_reason: None,
        }
    }

    /// Whether it counts, for a user who is in this epoch.
    pub fn is_active(&self, user_id: UserId, session_epoch: u64, now: Timestamp) -> bool {
        self.user_id == user_id
            && self.session_epoch == session_epoch
            && self.end_reason.is_none()
            && now < self.expires_at
    }

    /// What `presented`, whose successor would be `successor`, is to this family.
    pub fn token_status(
        &self,
        presented: &TokenGeneration,
        successor: &TokenGeneration,
        now: Timestamp,
    ) -> TokenStatus {
        let counts = |token: &TokenGeneration| {
            let same_secret =
                bool::from(self.secret_hash.as_bytes().ct_eq(token.secret_hash.as_bytes()));
            token.sequence == self.sequence && same_secret
        };
        if self.end_reason.is_some() || now >= self.expires_at || presented.sequence > self.sequence
        {
            TokenStatus::SessionEnded
        } else if counts(presented) {
            TokenStatus::Current
        } else if counts(successor)
            && self.rotated_at.is_some_and(|at| now.since(at) <= ROTATION_GRACE)
        {
            TokenStatus::JustRotated
        } else {
            TokenStatus::Reused
        }
    }
}

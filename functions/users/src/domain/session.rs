//! Sessions: a login and its refresh tokens (*token family* in RFC 9700).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{clock::Timestamp, ids::UserId};
use subtle::ConstantTimeEq;

/// Lifetime of a session without activity.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the previous token is still answered with its successor. The response may have been
/// lost, or two pages of the shop may have refreshed at the same moment.
pub const ROTATION_GRACE: Duration = Duration::from_secs(10);

/// Returns when a session ends that is used at `now` and not again: [`SESSION_LIFETIME`] later, and
/// at most `max` after its start.
pub fn session_expiry(started_at: Timestamp, max: Duration, now: Timestamp) -> Timestamp {
    now.plus(SESSION_LIFETIME).min(started_at.plus(max))
}

/// A session, with the number and the hash of its current refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub user_id: UserId,
    /// Session epoch of the user in which the session is valid.
    #[serde(default)]
    pub session_epoch: u64,
    /// Number of the current token, from 1.
    pub sequence: u64,
    pub secret_hash: String,
    /// When the current token was issued by a rotation. `None` for the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    pub started_at: Timestamp,
    /// When the session ends unless it is used again; see [`session_expiry`].
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    LoggedOut,
    /// A refresh token was reused, so a second party holds it.
    TokenReused,
    /// A reason of a newer release.
    #[serde(untagged)]
    Unknown(String),
}

/// Status of a refresh token in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// The newest token of the session.
    Current,
    /// The previous token, whose successor was issued at most [`ROTATION_GRACE`] ago.
    JustRotated,
    /// An earlier token: a second party holds it.
    Reused,
    SessionEnded,
}

/// Number and secret hash of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGeneration {
    /// Number in the session, from 1.
    pub sequence: u64,
    pub secret_hash: String,
}

impl Session {
    /// Starts a session with its first token.
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

    /// Returns whether the session is valid at `now` for this user in this session epoch.
    pub fn is_active(&self, user_id: UserId, session_epoch: u64, now: Timestamp) -> bool {
        self.user_id == user_id
            && self.session_epoch == session_epoch
            && self.end_reason.is_none()
            && now < self.expires_at
    }

    /// Returns the status of `presented`, whose successor would be `successor`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids;

    const START: Timestamp = Timestamp::from_milliseconds(1_700_000_000_000);

    fn seconds(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn token(sequence: u64, secret_hash: &str) -> TokenGeneration {
        TokenGeneration { sequence, secret_hash: secret_hash.to_owned() }
    }

    fn ada() -> UserId {
        ids::derive(&["ada"])
    }

    /// A session in epoch 3 that ends after an hour, with its second token since the first second.
    fn session() -> Session {
        let session = Session::start(ada(), 3, token(2, "second"), seconds(3600), START);
        Session { rotated_at: Some(seconds(1)), ..session }
    }

    #[test]
    fn session_ends_30_days_after_its_use_or_at_its_maximum() {
        const DAY: u64 = 24 * 3600;
        let max = Duration::from_secs(40 * DAY);
        assert_eq!(session_expiry(START, max, seconds(9 * DAY)), seconds(39 * DAY));
        assert_eq!(session_expiry(START, max, seconds(11 * DAY)), seconds(40 * DAY));
    }

    #[test]
    fn session_is_active_for_its_user_and_epoch_until_it_ends() {
        let just_before = Timestamp::from_milliseconds(seconds(3600).milliseconds() - 1);
        assert!(session().is_active(ada(), 3, just_before));
        assert!(!session().is_active(ada(), 3, seconds(3600)));
        assert!(!session().is_active(ids::derive(&["eve"]), 3, START));
        assert!(!session().is_active(ada(), 2, START) && !session().is_active(ada(), 4, START));
        let ended = Session { end_reason: Some(EndReason::LoggedOut), ..session() };
        assert!(!ended.is_active(ada(), 3, START));
    }

    #[test]
    fn token_is_current_just_rotated_or_reused() {
        let (first, second, third) = (token(1, "first"), token(2, "second"), token(3, "third"));
        let status = |presented: &TokenGeneration, successor: &TokenGeneration, now| {
            session().token_status(presented, successor, now)
        };
        assert_eq!(status(&second, &third, seconds(1)), TokenStatus::Current);
        assert_eq!(status(&first, &second, seconds(11)), TokenStatus::JustRotated);
        assert_eq!(status(&first, &second, seconds(12)), TokenStatus::Reused);
        assert_eq!(status(&first, &token(2, "other"), seconds(2)), TokenStatus::Reused);
        assert_eq!(status(&token(0, "zero"), &first, seconds(2)), TokenStatus::Reused);
        assert_eq!(status(&token(2, "other"), &third, seconds(2)), TokenStatus::Reused);
        assert_eq!(status(&token(1, "second"), &third, seconds(2)), TokenStatus::Reused);
        assert_eq!(status(&third, &token(4, "fourth"), seconds(2)), TokenStatus::SessionEnded);
        assert_eq!(status(&second, &third, seconds(3600)), TokenStatus::SessionEnded);
        let ended = Session { end_reason: Some(EndReason::TokenReused), ..session() };
        assert_eq!(ended.token_status(&second, &third, seconds(2)), TokenStatus::SessionEnded);
        let never_rotated = Session { rotated_at: None, ..session() };
        assert_eq!(never_rotated.token_status(&first, &second, seconds(2)), TokenStatus::Reused);
    }
}

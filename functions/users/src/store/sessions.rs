//! Sessions: start, rotation of the refresh token, and end.

use shared::{
    clock::Timestamp,
    ids::UserId,
    table::{
        AttributeValue, Conflict, Expression, Item, Key, Outcome, TableError, TransactionOutcome,
        Write, from_item, to_item,
    },
};

use super::{Store, buckets::arrival_in, items::Image, session_key, users::user_unchanged};
use crate::{
    domain::{EndReason, Session, User},
    error::UsersError,
    throttle::{Bucket, RateLimitDecision},
    tokens::refresh::{RefreshToken, SessionId},
};

#[derive(Debug)]
pub enum RotationOutcome {
    /// The successor is the current token of the session.
    Written,
    /// Nothing is written: this token is not the session's current one, the session has ended, or
    /// the user has changed.
    Conflict {
        /// The stored session, if its condition failed.
        session: Option<Box<Session>>,
        /// The stored user, if its condition failed; `Some(None)` if the account is deleted.
        user: Option<Option<Box<User>>>,
    },
}

impl Store {
    /// Creates a session with its first token, valid until `expires_at`, together with
    /// `extra_writes`.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn start_session(
        &self,
        token: &RefreshToken,
        expires_at: Timestamp,
        now: Timestamp,
        extra_writes: Vec<Write>,
    ) -> Result<(), UsersError> {
        let session = first_session(token, expires_at, now);
        let item = session_item(token.session_id, &session);
        if extra_writes.is_empty() {
            return match self.sessions.put(item, Expression::not_exists()).await? {
                Outcome::Written => Ok(()),
                Outcome::ConditionFailed(stored) => check_own_write(stored, &session),
            };
        }
        let writes = [self.sessions.transact_put(item, Expression::not_exists())]
            .into_iter()
            .chain(extra_writes)
            .collect();
        match self.sessions.transact(writes).await? {
            TransactionOutcome::Written => Ok(()),
            TransactionOutcome::Cancelled(conflicts) => check_own_write(
                conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item),
                &session,
            ),
        }
    }

    /// As [`Self::start_session`], on condition that `bucket` allows an attempt at `now`. The
    /// attempt is not charged.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn start_session_within(
        &self,
        token: &RefreshToken,
        expires_at: Timestamp,
        now: Timestamp,
        bucket: &Bucket,
    ) -> Result<RateLimitDecision, UsersError> {
        let session = first_session(token, expires_at, now);
        let item = session_item(token.session_id, &session);
        let writes = vec![
            self.sessions.transact_put(item, Expression::not_exists()),
            self.transact_check_bucket(bucket, now),
        ];
        let TransactionOutcome::Cancelled(conflicts) = self.sessions.transact(writes).await? else {
            return Ok(RateLimitDecision::Allowed);
        };
        let mut conflicts = conflicts.into_iter();
        let (stored, full) = (conflicts.next().flatten(), conflicts.next().flatten());
        match (stored.and_then(|conflict| conflict.item), full) {
            (None, Some(Conflict { item: Some(full) })) => {
                Ok(bucket.decide(Some(arrival_in(full)?), now))
            }
            (stored, _) => check_own_write(stored, &session).map(|()| RateLimitDecision::Allowed),
        }
    }

    /// Replaces `presented` by `successor` until `expires_at`, if `presented` is the current token
    /// and the user still has the version in `successor`.
    pub async fn rotate_refresh_token(
        &self,
        presented: &RefreshToken,
        successor: &RefreshToken,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<RotationOutcome, TableError> {
        let change =
            Expression::new("SET #sequence = :next, #secret_hash = :next_hash, #rotated_at = :now, #expires_at = :expires_at, #ttl = :ttl")
                .value("next", successor.sequence)
                .value("next_hash", successor.secret_hash())
                .value("now", now)
                .value("expires_at", expires_at)
                .value("ttl", expires_at.seconds());
        let condition = Expression::new(
            "#sequence = :sequence AND #secret_hash = :hash AND #user_id = :user_id AND #session_epoch = :epoch \
             AND #expires_at > :at AND attribute_not_exists(#end_reason)",
        )
        .value("sequence", presented.sequence)
        .value("hash", presented.secret_hash())
        .value("user_id", successor.subject.user_id)
        .value("epoch", successor.subject.session_epoch)
        .value("at", now);
        let writes = vec![
            self.sessions.transact_update(
                Key::new(session_key(presented.session_id)),
                change,
                condition,
            ),
            user_unchanged(&self.users, successor.subject.user_id, successor.subject.version),
        ];
        match self.sessions.transact(writes).await? {
            TransactionOutcome::Written => Ok(RotationOutcome::Written),
            TransactionOutcome::Cancelled(conflicts) => {
                let mut conflicts = conflicts.into_iter();
                let session = conflicts
                    .next()
                    .flatten()
                    .and_then(|conflict| conflict.item)
                    .map(from_item)
                    .transpose()?
                    .map(Box::new);
                let user = conflicts.next().flatten().map(current_user).transpose()?;
                Ok(RotationOutcome::Conflict { session, user })
            }
        }
    }

    /// Returns a session; `None` if it does not exist.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, TableError> {
        self.sessions.get(Key::new(session_key(id))).await?.map(from_item).transpose()
    }

    /// Ends a session of a user. A session that has ended or does not exist is not changed.
    pub async fn end_session(
        &self,
        id: SessionId,
        user_id: UserId,
        end_reason: EndReason,
    ) -> Result<Outcome, TableError> {
        let (change, condition) = end_expressions(user_id, end_reason);
        self.sessions.update(Key::new(session_key(id)), change, condition).await
    }

    /// For a transaction: ends a session, on condition that it is still active.
    pub fn transact_end_session(
        &self,
        id: SessionId,
        user_id: UserId,
        end_reason: EndReason,
    ) -> Write {
        let (change, condition) = end_expressions(user_id, end_reason);
        self.sessions.transact_update(Key::new(session_key(id)), change, condition)
    }

    /// For a transaction: moves a session to a new session epoch of its user, so that it outlives
    /// the user's other sessions.
    pub fn transact_keep_session(&self, id: SessionId, user_id: UserId, epoch: u64) -> Write {
        let change = Expression::new("SET #session_epoch = :epoch").value("epoch", epoch);
        let condition =
            Expression::new("#user_id = :user_id AND attribute_not_exists(#end_reason)")
                .value("user_id", user_id);
        self.sessions.transact_update(Key::new(session_key(id)), change, condition)
    }
}

fn end_expressions(user_id: UserId, end_reason: EndReason) -> (Expression, Expression) {
    let change = Expression::new("SET #end_reason = :end_reason").value("end_reason", end_reason);
    let condition = Expression::new("#user_id = :user_id AND attribute_not_exists(#end_reason)")
        .value("user_id", user_id);
    (change, condition)
}

fn first_session(token: &RefreshToken, expires_at: Timestamp, now: Timestamp) -> Session {
    Session::start(
        token.subject.user_id,
        token.subject.session_epoch,
        token.generation(),
        expires_at,
        now,
    )
}

fn session_item(id: SessionId, session: &Session) -> Item {
    let mut item = to_item(session);
    item.insert("pk".to_owned(), AttributeValue::S(session_key(id)));
    // DynamoDB deletes the item at this time or later.
    item.insert("ttl".to_owned(), AttributeValue::N(session.expires_at.seconds().to_string()));
    item
}

fn current_user(conflict: Conflict) -> Result<Option<Box<User>>, TableError> {
    Ok(conflict.item.map(from_item::<Image>).transpose()?.and_then(Image::into_user).map(Box::new))
}

/// Treats an existing session as our own write if the secret matches: the response to an earlier
/// attempt was lost. Two sessions never share a secret.
fn check_own_write(stored: Option<Item>, session: &Session) -> Result<(), UsersError> {
    let stored = stored.map(from_item::<Session>).transpose()?;
    if stored.is_some_and(|stored| stored.secret_hash == session.secret_hash) {
        Ok(())
    } else {
        Err(UsersError::Contended)
    }
}

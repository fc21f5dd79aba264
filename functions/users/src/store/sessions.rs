//! Sessions: families of refresh tokens.

use shared::{
    clock::Timestamp,
    ids::UserId,
    table::{AttributeValue, Conflict, Expression, Item, Key, Outcome, TableError, TransactionOutcome, Write, from_item, to_item},
};

use super::{Store, family_key, items::Image, users::unchanged};
use crate::{
    domain::{Ended, Family, User},
    error::UsersError,
    tokens::refresh::{FamilyId, RefreshToken},
};

/// What became of the exchange of a token.
#[derive(Debug)]
pub enum Rotated {
    /// The successor counts from now on.
    Written,
    /// Nothing is written: the family does not stand at this token, or the user has changed.
    Refused {
        /// The family, where it was the reason.
        family: Option<Box<Family>>,
        /// The user as they are, where they were the reason; `Some(None)`: they are gone.
        user: Option<Option<Box<User>>>,
    },
}

impl Store {
    /// Begins a family with its first token, until `expires_at`, together with `also`.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn begin_family(
        &self,
        token: &RefreshToken,
        expires_at: Timestamp,
        now: Timestamp,
        also: Vec<Write>,
    ) -> Result<(), UsersError> {
        let family = Family::begin(token.bearer.user_id, token.bearer.session_epoch, token.generation(), expires_at, now);
        let item = family_item(token.family, &family);
        if also.is_empty() {
            return match self.sessions.put(item, Expression::not_exists()).await? {
                Outcome::Written => Ok(()),
                Outcome::ConditionFailed(stored) => is_ours(stored, &family),
            };
        }
        let writes = [self.sessions.transact_put(item, Expression::not_exists())].into_iter().chain(also).collect();
        match self.sessions.transact(writes).await? {
            TransactionOutcome::Written => Ok(()),
            TransactionOutcome::Cancelled(conflicts) => is_ours(conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item), &family),
        }
    }

    /// Puts `successor` in the place of `presented` until `expires_at`, if that is the token that counts and the user is as it says.
    ///
    /// # Errors
    /// When a table fails.
    pub async fn rotate(
        &self,
        presented: &RefreshToken,
        successor: &RefreshToken,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Rotated, TableError> {
        let change =
            Expression::new("SET #sequence = :next, #secret_hash = :next_hash, #rotated_at = :now, #expires_at = :expires_at, #ttl = :ttl")
                .value("next", successor.sequence)
                .value("next_hash", successor.secret_hash())
                .value("now", now)
                .value("expires_at", expires_at)
                .value("ttl", expires_at.seconds());
        let condition = Expression::new(
            "#sequence = :sequence AND #secret_hash = :hash AND #user_id = :user_id AND #session_epoch = :epoch \
             AND #expires_at > :at AND attribute_not_exists(#ended)",
        )
        .value("sequence", presented.sequence)
        .value("hash", presented.secret_hash())
        .value("user_id", successor.bearer.user_id)
        .value("epoch", successor.bearer.session_epoch)
        .value("at", now);
        let writes = vec![
            self.sessions.transact_update(Key::new(family_key(presented.family)), change, condition),
            unchanged(&self.users, successor.bearer.user_id, successor.bearer.version),
        ];
        match self.sessions.transact(writes).await? {
            TransactionOutcome::Written => Ok(Rotated::Written),
            TransactionOutcome::Cancelled(conflicts) => {
                let mut conflicts = conflicts.into_iter();
                let family = conflicts.next().flatten().and_then(|conflict| conflict.item).map(from_item).transpose()?.map(Box::new);
                let user = conflicts.next().flatten().map(present_user).transpose()?;
                Ok(Rotated::Refused { family, user })
            }
        }
    }

    /// A session.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn family(&self, id: FamilyId) -> Result<Option<Family>, TableError> {
        self.sessions.get(Key::new(family_key(id))).await?.map(from_item).transpose()
    }

    /// Ends a session of a user. One that has ended, or never was, stays as it is.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn end_family(&self, id: FamilyId, user_id: UserId, ended: Ended) -> Result<Outcome, TableError> {
        let (change, condition) = ending(user_id, ended);
        self.sessions.update(Key::new(family_key(id)), change, condition).await
    }

    /// For a transaction: ends a session; it goes on only if the session was still alive.
    pub fn ending_family(&self, id: FamilyId, user_id: UserId, ended: Ended) -> Write {
        let (change, condition) = ending(user_id, ended);
        self.sessions.transact_update(Key::new(family_key(id)), change, condition)
    }

    /// For a transaction: takes a session over into another epoch of its user, so that it outlives the others.
    pub fn keeping_family(&self, id: FamilyId, user_id: UserId, epoch: u64) -> Write {
        let change = Expression::new("SET #session_epoch = :epoch").value("epoch", epoch);
        let condition = Expression::new("#user_id = :user_id AND attribute_not_exists(#ended)").value("user_id", user_id);
        self.sessions.transact_update(Key::new(family_key(id)), change, condition)
    }
}

fn ending(user_id: UserId, ended: Ended) -> (Expression, Expression) {
    let change = Expression::new("SET #ended = :ended").value("ended", ended);
    let condition = Expression::new("#user_id = :user_id AND attribute_not_exists(#ended)").value("user_id", user_id);
    (change, condition)
}

fn family_item(id: FamilyId, family: &Family) -> Item {
    let mut item = to_item(family);
    item.insert("pk".to_owned(), AttributeValue::S(family_key(id)));
    // DynamoDB deletes it then, or later.
    item.insert("ttl".to_owned(), AttributeValue::N(family.expires_at.seconds().to_string()));
    item
}

fn present_user(conflict: Conflict) -> Result<Option<Box<User>>, TableError> {
    Ok(conflict.item.map(from_item::<Image>).transpose()?.and_then(Image::into_user).map(Box::new))
}

/// A family that stands there already is ours if the answer to an earlier try was lost; two families never share a secret.
fn is_ours(stored: Option<Item>, family: &Family) -> Result<(), UsersError> {
    let stored = stored.map(from_item::<Family>).transpose()?;
    if stored.is_some_and(|stored| stored.secret_hash == family.secret_hash) { Ok(()) } else { Err(UsersError::Contended) }
}

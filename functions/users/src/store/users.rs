//! Profiles and credentials: registration, changes and deletion in transactions over both.

use shared::{
    clock::Timestamp,
    ids::{self, UserId},
    table::{
        Expression, Item, Key, List, ListPage, Outcome, Table, TableError, TransactionOutcome,
        Write, from_item, to_item, to_patch,
    },
    telemetry::Trace,
};

use super::{
    Store, buckets, credentials_key,
    items::{
        CredentialsItem, DeletedItem, Image, ProfileItem, ReservedItem, StoredCredentials,
        parse_credentials,
    },
    profile_key, session_key,
};
use crate::{
    domain::{Credentials, Link, Session, User},
    error::UsersError,
    throttle::Bucket,
    tokens::refresh::SessionId,
};

/// A change of a user from one version to the next, with all writes of its transaction.
#[derive(Debug)]
pub struct UserChange<'a> {
    pub before: &'a User,
    pub after: &'a User,
    pub password_hash: Option<String>,
    /// Credentials as read. Required if the address changes, or if the new password depends on the
    /// old one.
    pub credentials: Option<&'a Credentials>,
    /// Attributes of a later release in the credentials, which move with the address.
    pub unknown_attributes: Item,
    /// Further writes of the same transaction.
    pub extra_writes: Vec<Write>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    Written,
    VersionConflict,
    /// Another account holds or reserves the new address.
    EmailTaken,
}

impl<'a> UserChange<'a> {
    /// Creates a change without password, credentials and further writes.
    pub fn new(before: &'a User, after: &'a User) -> Self {
        Self {
            before,
            after,
            password_hash: None,
            credentials: None,
            unknown_attributes: Item::new(),
            extra_writes: Vec::new(),
        }
    }

    /// Adds the credentials, which move to a new address.
    pub fn moving(self, stored: &'a StoredCredentials) -> Self {
        Self {
            credentials: Some(&stored.credentials),
            unknown_attributes: stored.unknown_attributes.clone(),
            ..self
        }
    }
}

impl Store {
    /// Writes profile and credentials of a new user in one transaction.
    ///
    /// # Errors
    /// [`UsersError::EmailTaken`] if the address has credentials or is reserved.
    pub async fn register(&self, user: &User, password_hash: String) -> Result<(), UsersError> {
        let credentials = CredentialsItem::new(user, password_hash);
        let writes = vec![
            self.users.transact_put(to_item(&credentials), email_available(user)),
            self.users.transact_put(to_item(&self.profile(user)), Expression::not_exists()),
        ];
        match self.users.transact(writes).await? {
            TransactionOutcome::Written => Ok(()),
            TransactionOutcome::Cancelled(conflicts) => {
                // The response to our own write may have been lost: then the stored item is ours.
                let first = conflicts.into_iter().next().flatten();
                let stored = first
                    .and_then(|conflict| conflict.item)
                    .map(parse_credentials)
                    .transpose()?
                    .flatten();
                if stored.is_some_and(|stored| stored.user_id == user.id) {
                    Ok(())
                } else {
                    Err(UsersError::EmailTaken)
                }
            }
        }
    }

    /// Returns the credentials for an address in its normal form. Other spellings have none.
    pub async fn credentials(&self, address: &str) -> Result<Option<Credentials>, TableError> {
        let item = self.users.get(Key::new(credentials_key(address))).await?;
        Ok(item.map(parse_credentials).transpose()?.flatten())
    }

    /// Returns the credentials that a change of the address moves, as [`Self::credentials`].
    pub async fn credentials_to_move(
        &self,
        address: &str,
    ) -> Result<Option<StoredCredentials>, TableError> {
        let item = self.users.get(Key::new(credentials_key(address))).await?;
        Ok(item.map(StoredCredentials::parse).transpose()?.flatten())
    }

    /// Returns the credentials for an address, as [`Self::credentials`], and the arrival time of a
    /// bucket (`None`: idle), in one call.
    pub async fn credentials_and_bucket(
        &self,
        address: &str,
        bucket: &Bucket,
    ) -> Result<(Option<Credentials>, Option<Timestamp>), TableError> {
        let keys = vec![
            (&self.users, Key::new(credentials_key(address))),
            (&self.sessions, buckets::key(bucket)),
        ];
        let (mut credentials, mut arrival) = (None, None);
        for item in self.users.get_many(keys).await? {
            if item.contains_key("tat") {
                arrival = Some(buckets::arrival_in(item)?);
            } else {
                credentials = parse_credentials(item)?;
            }
        }
        Ok((credentials, arrival))
    }

    /// Returns a user's profile; `None` if the account does not exist or is deleted.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, TableError> {
        Ok(self
            .users
            .get(Key::new(profile_key(id)))
            .await?
            .map(from_item::<Image>)
            .transpose()?
            .and_then(Image::into_user))
    }

    /// Reads a user's profile and one of their sessions in one call.
    pub async fn user_and_session(
        &self,
        id: UserId,
        session: Option<SessionId>,
    ) -> Result<(Option<User>, Option<Session>), TableError> {
        let session = session.map(|session| (&self.sessions, Key::new(session_key(session))));
        let keys = [(&self.users, Key::new(profile_key(id)))].into_iter().chain(session).collect();
        let (mut user, mut found) = (None, None);
        for item in self.users.get_many(keys).await? {
            if item.contains_key("sequence") {
                found = Some(from_item(item)?);
            } else {
                user = from_item::<Image>(item)?.into_user();
            }
        }
        Ok((user, found))
    }

    /// Reads a page of all users, newest first.
    pub async fn list(
        &self,
        after: Option<String>,
        limit: u32,
    ) -> Result<ListPage<User>, TableError> {
        let list =
            List::sharded("listed-index", "listed_shard", "listed", self.shards, "listed_at");
        let list = list.descending().after(after);
        let page = self.users.list(list, limit, |_: &ProfileItem| true).await?;
        let items = page.items.into_iter().map(User::from).collect();
        Ok(ListPage { items, next: page.next })
    }

    /// Writes profile, credentials and further writes of a change in one transaction. Attributes of
    /// a later release are preserved.
    pub async fn update_user(&self, change: UserChange<'_>) -> Result<UpdateOutcome, TableError> {
        let UserChange {
            before,
            after,
            password_hash,
            credentials,
            unknown_attributes,
            extra_writes,
        } = change;
        let profile = to_patch(&self.profile(after));
        let mut writes =
            vec![self.users.transact_merge(profile, Expression::version(before.version))];
        if after.email == before.email {
            writes.push(self.credentials_update(after, password_hash.as_deref(), credentials));
        } else {
            writes.extend(self.credentials_move(
                before,
                after,
                password_hash,
                credentials,
                unknown_attributes,
            ));
        }
        let own = writes.len();
        writes.extend(extra_writes);
        match self.users.transact(writes).await? {
            TransactionOutcome::Written => Ok(UpdateOutcome::Written),
            TransactionOutcome::Cancelled(mut conflicts) => {
                if let Some(stored) =
                    conflicts.first_mut().and_then(Option::take).and_then(|conflict| conflict.item)
                {
                    // The stored item may be our own write whose response was lost.
                    let stored = from_item::<Image>(stored)?.into_user();
                    let is_own_write = stored.as_ref() == Some(after);
                    return Ok(if is_own_write {
                        UpdateOutcome::Written
                    } else {
                        UpdateOutcome::VersionConflict
                    });
                }
                let is_taken = after.email != before.email
                    && conflicts.get(own - 1).is_some_and(Option::is_some);
                Ok(if is_taken {
                    UpdateOutcome::EmailTaken
                } else {
                    UpdateOutcome::VersionConflict
                })
            }
        }
    }

    /// Updates the copy of the profile in the credentials. With it, neither a login nor the first
    /// refresh needs a second read.
    fn credentials_update(
        &self,
        after: &User,
        password_hash: Option<&str>,
        seen: Option<&Credentials>,
    ) -> Write {
        let password = password_hash.map_or("", |_| ", #password_hash = :password_hash");
        let text = format!(
            "SET #full_name = :full_name, #role = :role, #is_active = :is_active, #token_version = :token_version, #session_epoch = :epoch, \
             #version = :version{password}"
        );
        let mut change = Expression::new(text)
            .value("full_name", &after.full_name)
            .value("role", &after.role)
            .value("is_active", after.is_active)
            .value("token_version", after.token_version)
            .value("epoch", after.session_epoch)
            .value("version", after.version);
        if let Some(hash) = password_hash {
            change = change.value("password_hash", hash);
        }
        self.users.transact_update(
            Key::new(credentials_key(&after.email)),
            change,
            credentials_unchanged(after, seen),
        )
    }

    /// Moves the credentials, with the attributes of a later release, to the new address. The
    /// former address stays reserved while a withdrawal can return to it. The last write fails if
    /// another account has the new address.
    fn credentials_move(
        &self,
        before: &User,
        after: &User,
        password_hash: Option<String>,
        seen: Option<&Credentials>,
        unknown_attributes: Item,
    ) -> Vec<Write> {
        let hash = password_hash
            .or_else(|| seen.map(|seen| seen.password_hash.clone()))
            .unwrap_or_default();
        let mut moved = unknown_attributes;
        moved.extend(to_item(&CredentialsItem::new(after, hash)));
        let left =
            match after.withdrawal.as_ref().filter(|withdrawal| withdrawal.email == before.email) {
                Some(withdrawal) => {
                    let reserved_until = withdrawal.link.expires_at;
                    let pk = credentials_key(&before.email);
                    let reserved = ReservedItem {
                        pk,
                        user_id: before.id,
                        reserved_until,
                        ttl: reserved_until.seconds(),
                    };
                    self.users.transact_put(to_item(&reserved), credentials_unchanged(before, seen))
                }
                None => self.users.transact_delete(
                    Key::new(credentials_key(&before.email)),
                    credentials_unchanged(before, seen),
                ),
            };
        vec![left, self.users.transact_put(moved, email_available(after))]
    }

    /// Stores the reset link in the profile, if the profile still has the version that was read.
    /// For unknown accounts the same call is made, and its condition fails.
    pub async fn store_reset_link(
        &self,
        id: UserId,
        seen: u64,
        link: &Link,
        trace: &Trace,
    ) -> Result<Outcome, TableError> {
        let change = Expression::new("SET #reset = :link, #version = :next, #traceparent = :trace")
            .value("link", link)
            .value("next", seen + 1)
            .value("trace", trace);
        self.users.update(Key::new(profile_key(id)), change, Expression::version(seen)).await
    }

    /// Replaces the hash of a verified password by one of the current kind, unless the password was
    /// changed meanwhile.
    pub async fn update_password_hash(
        &self,
        user: &Credentials,
        password_hash: &str,
    ) -> Result<Outcome, TableError> {
        let change = Expression::new("SET #password_hash = :password_hash")
            .value("password_hash", password_hash);
        let condition = Expression::new("#user_id = :user_id AND #password_hash = :seen_hash")
            .value("user_id", user.user_id)
            .value("seen_hash", &user.password_hash);
        self.users.update(Key::new(credentials_key(&user.email)), change, condition).await
    }

    /// Erases a user: deletes the credentials and the address book, and replaces the profile by a
    /// tombstone. The tombstone has no attributes of a later release, because they may be personal
    /// data. Returns `VersionConflict` if the user was changed meanwhile.
    pub async fn erase(
        &self,
        user: &User,
        now: Timestamp,
        trace: &Trace,
    ) -> Result<UpdateOutcome, TableError> {
        let deleted = to_item(&DeletedItem {
            pk: profile_key(user.id),
            user_id: user.id,
            deleted_at: now,
            version: user.version + 1,
            traceparent: Some(trace.clone()),
        });
        let mut writes = vec![
            self.users.transact_put(deleted.clone(), Expression::version(user.version)),
            self.users.transact_delete(
                Key::new(credentials_key(&user.email)),
                credentials_unchanged(user, None),
            ),
            self.erase_address_book(user.id),
        ];
        if let Some(former) = user.previous_email(now) {
            writes.push(self.users.transact_delete(
                Key::new(credentials_key(former)),
                credentials_unchanged(user, None),
            ));
        }
        match self.users.transact(writes).await? {
            TransactionOutcome::Written => Ok(UpdateOutcome::Written),
            TransactionOutcome::Cancelled(conflicts) => {
                let stored =
                    conflicts.into_iter().next().flatten().and_then(|conflict| conflict.item);
                Ok(if stored == Some(deleted) {
                    UpdateOutcome::Written
                } else {
                    UpdateOutcome::VersionConflict
                })
            }
        }
    }

    fn profile(&self, user: &User) -> ProfileItem {
        ProfileItem {
            pk: profile_key(user.id),
            user_id: user.id,
            email: user.email.clone(),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            role: user.role.clone(),
            is_active: user.is_active,
            token_version: user.token_version,
            session_epoch: user.session_epoch,
            email_verified: user.email_verified,
            verification: user.verification.clone(),
            reset: user.reset.clone(),
            withdrawal: user.withdrawal.clone(),
            password_changed_at: user.password_changed_at,
            email_change_withdrawn_at: user.email_change_withdrawn_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
            version: user.version,
            traceparent: user.trace.clone(),
            listed_shard: format!("listed#{}", ids::shard_of(&user.id.to_string(), self.shards)),
            listed_at: format!("{}#{}", user.created_at, user.id),
        }
    }
}

/// For a transaction on other items: the condition that the user is active and has this version.
pub(super) fn user_unchanged(users: &Table, id: UserId, version: u64) -> Write {
    let condition = Expression::new("#version = :version AND #is_active = :active")
        .value("version", version)
        .value("active", true);
    users.transact_check(Key::new(profile_key(id)), condition)
}

/// The condition that `user` can take the address: it is free, reserved for them, or its
/// reservation has expired.
fn email_available(user: &User) -> Expression {
    Expression::new("attribute_not_exists(#pk) OR #reserved_until <= :now OR (attribute_exists(#reserved_until) AND #user_id = :user_id)")
        .value("now", user.updated_at)
        .value("user_id", user.id)
}

/// The condition that the credentials belong to this user and have the password that was read.
fn credentials_unchanged(user: &User, seen: Option<&Credentials>) -> Expression {
    let owner = Expression::new("#user_id = :user_id").value("user_id", user.id);
    let Some(seen) = seen else { return owner };
    Expression::new("#user_id = :user_id AND #password_hash = :seen_hash")
        .value("user_id", user.id)
        .value("seen_hash", &seen.password_hash)
}

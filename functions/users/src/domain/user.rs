//! Users, and what may become of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{auth::Role, clock::Timestamp, ids::UserId, telemetry::Trace};
use subtle::ConstantTimeEq;

use super::{Email, FullName, Username};
use crate::error::UsersError;

/// How long the link that verifies an address is good for.
pub const VERIFICATION_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// How long the link that resets a password is good for.
pub const RESET_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A reset link that is good for this long is sent once more; a shorter one is replaced. So nobody who keeps asking for links can make
/// the owner's last one worthless while it is being read.
const WORTH_SENDING_AGAIN: Duration = Duration::from_secs(10 * 60);

/// Somebody who is registered.
///
/// What was validated at registration is kept as text: a rule that becomes stricter later does not lock anybody out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The address in its normal form.
    pub email: String,
    /// What they call themselves.
    pub username: String,
    /// What they are called.
    pub full_name: String,
    /// The name of what they may do: a role that a newer release has given is passed on as it stands.
    pub role: String,
    /// Whether they may use the shop at all.
    pub is_active: bool,
    /// Which access tokens count: those that carry this number.
    pub token_version: u64,
    /// Which sessions count: those that were begun in this epoch, or taken over into it.
    pub session_epoch: u64,
    /// Whether they have shown that they read what is sent to the address.
    pub email_verified: bool,
    /// The address that waits for its owner to follow a link: the present one, or another.
    pub verification: Option<Verification>,
    /// The link that sets a new password.
    pub reset: Option<Link>,
    /// When the password was last changed.
    pub password_changed_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// When something was last changed that they can see.
    pub updated_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
    /// The trace that led to the latest change.
    pub trace: Option<Trace>,
}

/// A one-time token on its way to its owner: its hash to know it by, and the token itself, sealed until the mail is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// SHA-256 of the token.
    pub hash: String,
    /// The token, sealed.
    pub sealed: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// How often it was sent.
    pub sent: u32,
}

/// An address that is to be shown to be somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The address in its normal form.
    pub email: String,
    /// What was sent there.
    pub link: Link,
}

/// What somebody fills in to become a user.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The address.
    pub email: Email,
    /// What they want to call themselves.
    pub username: Username,
    /// What they are called.
    pub full_name: FullName,
}

/// What somebody changes in their own profile; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileEdit {
    /// What they want to call themselves.
    pub username: Option<Username>,
    /// What they are called.
    pub full_name: Option<FullName>,
    /// Another address, or the present one that was never verified, with the link that goes there.
    pub email: Option<(Email, Link)>,
}

/// What an admin changes in somebody's profile; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Administration {
    /// What they may do.
    pub role: Option<Role>,
    /// Whether they may use the shop at all.
    pub is_active: Option<bool>,
    /// What they call themselves.
    pub username: Option<Username>,
    /// What they are called.
    pub full_name: Option<FullName>,
}

impl User {
    /// A new customer, to whose address a link is sent.
    pub fn register(id: UserId, registration: Registration, link: Link, now: Timestamp, trace: Trace) -> Self {
        let email = String::from(registration.email);
        Self {
            id,
            username: registration.username.into(),
            full_name: registration.full_name.into(),
            role: Role::User.name().to_owned(),
            is_active: true,
            token_version: 1,
            session_epoch: 1,
            email_verified: false,
            verification: Some(Verification { email: email.clone(), link }),
            email,
            reset: None,
            password_changed_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
            trace: Some(trace),
        }
    }

    /// The address that becomes theirs once they have followed the link that was sent there.
    pub fn pending_email(&self) -> Option<&str> {
        self.verification.as_ref().map(|verification| verification.email.as_str()).filter(|email| *email != self.email)
    }

    /// With changes of their own. Another address counts only once it is verified.
    #[must_use]
    pub fn edited(&self, edit: ProfileEdit, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next(now, trace);
        user.username = edit.username.map_or(user.username, String::from);
        user.full_name = edit.full_name.map_or(user.full_name, String::from);
        if let Some((email, link)) = edit.email {
            let email = String::from(email);
            let settled = email == user.email && user.email_verified;
            // Asking for the address that they have and have verified takes an earlier wish back.
            user.verification = (!settled).then_some(Verification { email, link });
        }
        user
    }

    /// With changes by an admin. Another role makes access tokens with the old one worthless; who is disabled has no session left.
    #[must_use]
    pub fn administered(&self, change: Administration, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next(now, trace);
        user.username = change.username.map_or(user.username, String::from);
        user.full_name = change.full_name.map_or(user.full_name, String::from);
        if let Some(role) = change.role.filter(|role| role.name() != self.role) {
            user.role = role.name().to_owned();
            user.token_version += 1;
        }
        if let Some(is_active) = change.is_active.filter(|is_active| *is_active != self.is_active) {
            user.is_active = is_active;
            user.token_version += 1;
            user.session_epoch += 1;
        }
        user
    }

    /// After somebody followed the link to an address: it is theirs, and verified. Access tokens with another address stop to count.
    ///
    /// # Errors
    /// [`UsersError::InvalidLink`] when this is not the link that was sent last, or its time is over.
    pub fn with_verified_email(&self, token_hash: &str, now: Timestamp, trace: Trace) -> Result<Self, UsersError> {
        let verification = self.verification.as_ref().filter(|verification| verification.link.opens_by(token_hash, now));
        let verification = verification.filter(|_| self.is_active).ok_or(UsersError::InvalidLink)?;
        let mut user = self.next(now, trace);
        if verification.email != self.email {
            user.email.clone_from(&verification.email);
            user.token_version += 1;
        }
        user.email_verified = true;
        user.verification = None;
        Ok(user)
    }

    /// The link that is sent to who has forgotten the password: the one that was sent before, as long as it is good for a while, or
    /// `fresh`.
    pub fn reset_link(&self, fresh: Link, now: Timestamp) -> Link {
        match &self.reset {
            Some(sent) if now.plus(WORTH_SENDING_AGAIN) < sent.expires_at => Link { sent: sent.sent + 1, ..sent.clone() },
            _ => fresh,
        }
    }

    /// After a new password was set by the link: all sessions are over, and the address is verified, because the link was read there.
    ///
    /// # Errors
    /// [`UsersError::InvalidLink`] when this is not the link that was sent last, or its time is over.
    pub fn with_reset_password(&self, token_hash: &str, now: Timestamp, trace: Trace) -> Result<Self, UsersError> {
        let is_good = self.is_active && self.reset.as_ref().is_some_and(|link| link.opens_by(token_hash, now));
        if !is_good {
            return Err(UsersError::InvalidLink);
        }
        let user = self.with_changed_password(now, trace);
        let verification = user.verification.clone().filter(|waiting| waiting.email != user.email);
        Ok(Self { token_version: user.token_version + 1, email_verified: true, verification, ..user })
    }

    /// After they have changed their password: sessions of earlier epochs are over, and so is a link that would set another one.
    #[must_use]
    pub fn with_changed_password(&self, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next(now, trace);
        user.session_epoch += 1;
        user.password_changed_at = Some(now);
        user.reset = None;
        user
    }

    /// After a refresh token was used by somebody who should not have had it: access tokens stop to count.
    #[must_use]
    pub fn with_tokens_revoked(&self, trace: Trace) -> Self {
        let mut user = self.next(self.updated_at, trace);
        user.token_version += 1;
        user
    }

    fn next(&self, updated_at: Timestamp, trace: Trace) -> Self {
        Self { updated_at, version: self.version + 1, trace: Some(trace), ..self.clone() }
    }
}

impl Link {
    /// Whether a token with this hash is the one, and still good.
    fn opens_by(&self, token_hash: &str, now: Timestamp) -> bool {
        let same = bool::from(self.hash.as_bytes().ct_eq(token_hash.as_bytes()));
        same && now < self.expires_at
    }
}

/// What a login is judged by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose they are.
    pub user_id: UserId,
    /// The address in its normal form.
    pub email: String,
    /// What they are called.
    pub full_name: String,
    /// What the password hashes to, as a PHC string.
    pub password_hash: String,
    /// The name of what they may do.
    pub role: String,
    /// Whether they may use the shop at all.
    pub is_active: bool,
    /// Which access tokens count.
    pub token_version: u64,
    /// Which sessions count.
    pub session_epoch: u64,
    /// The user's version.
    pub version: u64,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::{self, Ids};

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_milliseconds(1_700_000_000_000).plus(Duration::from_secs(60 * minutes))
    }

    fn trace() -> Trace {
        Trace::start(&Ids::seeded(1))
    }

    fn link(hash: &str, expires_at: Timestamp) -> Link {
        Link { hash: hash.to_owned(), sealed: "sealed".to_owned(), expires_at, sent: 1 }
    }

    fn ada() -> User {
        let registration = Registration {
            email: Email::parse("ada@example.com").unwrap(),
            username: Username::parse("ada").unwrap(),
            full_name: FullName::parse("Ada Lovelace").unwrap(),
        };
        User::register(ids::derive(&["ada"]), registration, link("first", at(60)), at(0), trace())
    }

    #[test]
    fn a_new_role_makes_old_access_tokens_worthless_and_keeps_sessions() {
        let admin = ada().administered(Administration { role: Some(Role::Admin), ..Default::default() }, at(1), trace());
        assert_eq!((admin.role.as_str(), admin.token_version, admin.session_epoch, admin.version), ("admin", 2, 1, 2));
        let same = ada().administered(Administration { role: Some(Role::User), ..Default::default() }, at(1), trace());
        assert_eq!((same.token_version, same.session_epoch), (1, 1));
    }

    #[test]
    fn who_is_disabled_has_no_token_and_no_session_left_even_if_they_are_enabled_again() {
        let change = |is_active| Administration { is_active: Some(is_active), ..Default::default() };
        let disabled = ada().administered(change(false), at(1), trace());
        let enabled = disabled.administered(change(true), at(2), trace());
        assert!(!disabled.is_active && enabled.is_active);
        assert!(disabled.token_version > ada().token_version && disabled.session_epoch > ada().session_epoch);
        assert!(enabled.session_epoch > ada().session_epoch);
        assert_eq!(disabled.administered(change(false), at(2), trace()).token_version, disabled.token_version);
    }

    #[test]
    fn another_address_counts_only_once_its_link_was_followed() {
        let email = Some((Email::parse("new@example.com").unwrap(), link("second", at(60))));
        let asked = ada().edited(ProfileEdit { email, ..Default::default() }, at(1), trace());
        assert_eq!((asked.email.as_str(), asked.pending_email()), ("ada@example.com", Some("new@example.com")));
        assert!(asked.with_verified_email("first", at(2), trace()).is_err(), "the earlier link is worthless");
        assert!(asked.with_verified_email("second", at(60), trace()).is_err(), "too late");
        let moved = asked.with_verified_email("second", at(2), trace()).unwrap();
        assert_eq!((moved.email.as_str(), moved.email_verified, moved.pending_email()), ("new@example.com", true, None));
        assert!(moved.token_version > asked.token_version && moved.session_epoch == asked.session_epoch);
        assert!(moved.with_verified_email("second", at(3), trace()).is_err(), "a link is good once");
    }

    #[test]
    fn asking_for_the_address_that_is_verified_takes_an_earlier_wish_back() {
        let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
        assert_eq!(verified.token_version, 1, "nothing in the tokens has changed");
        let wish = |user: &User, text: &str| {
            let email = Some((Email::parse(text).unwrap(), link("x", at(60))));
            user.edited(ProfileEdit { email, ..Default::default() }, at(2), trace())
        };
        let asked = wish(&verified, "new@example.com");
        assert!(asked.pending_email().is_some());
        assert_eq!(wish(&asked, "ada@example.com").verification, None);
    }

    /// Ada after she has asked for `link`.
    fn asked(user: &User, link: Link, now: Timestamp) -> User {
        User { reset: Some(user.reset_link(link, now)), version: user.version + 1, ..user.clone() }
    }

    #[test]
    fn a_reset_link_that_is_still_good_is_sent_again_and_not_replaced() {
        let once = asked(&ada(), link("one", at(30)), at(0));
        let again = asked(&once, link("two", at(35)), at(5));
        assert_eq!(again.reset.as_ref().map(|link| (link.hash.as_str(), link.sent)), Some(("one", 2)));
        let late = asked(&again, link("three", at(51)), at(21));
        assert_eq!(late.reset.as_ref().map(|link| (link.hash.as_str(), link.sent)), Some(("three", 1)));
    }

    #[test]
    fn a_reset_ends_every_session_and_token_and_works_once() {
        let ada_asked = asked(&ada(), link("one", at(30)), at(0));
        assert!(ada_asked.with_reset_password("two", at(1), trace()).is_err());
        assert!(ada_asked.with_reset_password("one", at(30), trace()).is_err());
        let reset = ada_asked.with_reset_password("one", at(1), trace()).unwrap();
        assert!(reset.token_version > ada_asked.token_version && reset.session_epoch > ada_asked.session_epoch);
        assert!(reset.email_verified && reset.reset.is_none() && reset.verification.is_none());
        assert!(reset.with_reset_password("one", at(2), trace()).is_err());
    }

    #[test]
    fn no_link_works_for_somebody_who_is_disabled() {
        let ada_asked = asked(&ada(), link("one", at(30)), at(0));
        let disabled = ada_asked.administered(Administration { is_active: Some(false), ..Default::default() }, at(1), trace());
        assert!(disabled.with_reset_password("one", at(2), trace()).is_err());
        assert!(disabled.with_verified_email("first", at(2), trace()).is_err());
    }

    #[test]
    fn a_changed_password_takes_a_waiting_reset_link_away() {
        let ada_asked = asked(&ada(), link("one", at(30)), at(0));
        let changed = ada_asked.with_changed_password(at(1), trace());
        assert!(changed.reset.is_none());
        assert_eq!((changed.session_epoch, changed.token_version, changed.password_changed_at), (2, 1, Some(at(1))));
    }
}

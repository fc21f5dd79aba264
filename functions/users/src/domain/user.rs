//! Users: registration, profile, address changes, roles, and how events change them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{auth::Role, clock::Timestamp, ids::UserId, telemetry::Trace};
use subtle::ConstantTimeEq;

use super::{
    ChangeError, Email, FullName, Username,
    invalidation::{AccountEvent, Effect, Revocable, effect},
};

/// How long the link that verifies an address is good for.
pub const VERIFICATION_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// How long the link that withdraws an address change works, counted from the request and again
/// from the move.
pub const WITHDRAWAL_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// How long the link that resets a password is good for.
pub const RESET_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A reset link with at least this remaining lifetime is sent again; a shorter one is replaced. So
/// repeated requests by a third party cannot invalidate the owner's last link while it is in use.
const MIN_RESEND_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A registered user.
///
/// Values validated at registration are stored as text: a rule that becomes stricter later does not
/// lock existing users out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// The address in its normal form.
    pub email: String,
    /// What they call themselves.
    pub username: String,
    /// What they are called.
    pub full_name: String,
    /// The role name. A role that a newer release assigned is passed on unchanged.
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
    /// The link that withdraws an address change, and the address that it was sent to.
    pub withdrawal: Option<Withdrawal>,
    /// When the password was last changed.
    pub password_changed_at: Option<Timestamp>,
    /// When an address change was last withdrawn.
    pub email_change_withdrawn_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// When something was last changed that they can see.
    pub updated_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
    /// The trace that led to the latest change.
    pub trace: Option<Trace>,
}

/// A one-time token on its way to its owner: its hash to know it by, and the token itself, sealed
/// until the mail is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// SHA-256 of the token.
    pub token_hash: String,
    pub sealed_token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// How often it was sent.
    pub send_count: u32,
}

/// An address whose ownership is to be verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The address in its normal form.
    pub email: String,
    /// What was sent there.
    pub link: Link,
}

/// The link that withdraws an address change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The address that was the login when the change was asked for. The link was sent there, and a
    /// withdrawal returns the login to it.
    pub email: String,
    pub link: Link,
}

/// The registration form.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The address.
    pub email: Email,
    /// What they want to call themselves.
    pub username: Username,
    /// What they are called.
    pub full_name: FullName,
}

/// A user's changes to their own profile; absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct ProfileEdit {
    /// What they want to call themselves.
    pub username: Option<Username>,
    /// What they are called.
    pub full_name: Option<FullName>,
    /// Another address, or the present one that was never verified.
    pub email: Option<EmailEdit>,
}

/// An address that a user asks for.
#[derive(Clone, Debug)]
pub struct EmailEdit {
    /// The address.
    pub email: Email,
    /// The link that is sent there.
    pub verification: Link,
    /// The link that is sent to the present address.
    pub withdrawal: Link,
}

/// An admin's changes to a profile; absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct AdminEdit {
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
    pub fn register(
        id: UserId,
        registration: Registration,
        link: Link,
        now: Timestamp,
        trace: Trace,
    ) -> Self {
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
            withdrawal: None,
            password_changed_at: None,
            email_change_withdrawn_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
            trace: Some(trace),
        }
    }

    /// The address that becomes theirs once they have followed the link that was sent there.
    pub fn pending_email(&self) -> Option<&str> {
        self.verification
            .as_ref()
            .map(|verification| verification.email.as_str())
            .filter(|email| *email != self.email)
    }

    /// The address before the present one, as long as a withdrawal can return the login to it.
    pub fn previous_email(&self, now: Timestamp) -> Option<&str> {
        self.restorable_withdrawal(now).map(|withdrawal| withdrawal.email.as_str())
    }

    /// The withdrawal that would return the login to the address before the present one.
    fn restorable_withdrawal(&self, now: Timestamp) -> Option<&Withdrawal> {
        self.withdrawal
            .as_ref()
            .filter(|withdrawal| withdrawal.link.is_valid(now) && withdrawal.email != self.email)
    }

    /// With changes of their own. Another address counts only once it is verified; the present one
    /// takes an earlier request back.
    ///
    /// # Errors
    /// [`ChangeError::EmailChangedRecently`] when the address before the present one can still be
    /// restored. A second move would put a third address between the login and the owner of the
    /// first.
    pub fn edited(
        &self,
        edit: ProfileEdit,
        now: Timestamp,
        trace: Trace,
    ) -> Result<Self, ChangeError> {
        let mut user = self.next_version(now, trace);
        user.username = edit.username.map_or(user.username, String::from);
        user.full_name = edit.full_name.map_or(user.full_name, String::from);
        let Some(EmailEdit { email, verification, withdrawal }) = edit.email else {
            return Ok(user);
        };
        let email = String::from(email);
        if email == user.email {
            user.verification =
                (!user.email_verified).then_some(Verification { email, link: verification });
            return Ok(user);
        }
        if let Some(restorable_withdrawal) = self.restorable_withdrawal(now) {
            return Err(ChangeError::EmailChangedRecently {
                revertible_until: restorable_withdrawal.link.expires_at,
            });
        }
        user.apply_event(AccountEvent::EmailChangeRequested);
        user.withdrawal = Some(Withdrawal {
            email: user.email.clone(),
            link: self.withdraw_link(withdrawal, now),
        });
        user.verification = Some(Verification { email, link: verification });
        Ok(user)
    }

    /// The link that is sent to the present address: the one that was sent there before, for
    /// longer, or `fresh`. So repeated requests do not invalidate the link that the owner is
    /// reading.
    fn withdraw_link(&self, fresh: Link, now: Timestamp) -> Link {
        match self
            .withdrawal
            .as_ref()
            .filter(|sent| sent.email == self.email && sent.link.is_valid(now))
        {
            Some(sent) => Link {
                expires_at: fresh.expires_at,
                send_count: sent.link.send_count + 1,
                ..sent.link.clone()
            },
            None => fresh,
        }
    }

    /// With changes by an admin. Another role makes access tokens with the old one worthless; who
    /// is disabled has no session left.
    #[must_use]
    pub fn edited_by_admin(&self, change: AdminEdit, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next_version(now, trace);
        user.username = change.username.map_or(user.username, String::from);
        user.full_name = change.full_name.map_or(user.full_name, String::from);
        if let Some(role) = change.role.filter(|role| role.name() != self.role) {
            user.role = role.name().to_owned();
            user.apply_event(AccountEvent::RoleChanged);
        }
        if let Some(is_active) = change.is_active.filter(|is_active| *is_active != self.is_active) {
            user.is_active = is_active;
            user.apply_event(if is_active {
                AccountEvent::Enabled
            } else {
                AccountEvent::Disabled
            });
        }
        user
    }

    /// Applies a followed verification link: the address belongs to the user and is verified.
    /// Access tokens with another address become invalid.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] when this is not the link that was sent last, or its time is
    /// over.
    pub fn with_verified_email(
        &self,
        token_hash: &str,
        now: Timestamp,
        trace: Trace,
    ) -> Result<Self, ChangeError> {
        let verification = self
            .verification
            .as_ref()
            .filter(|verification| verification.link.matches(token_hash, now));
        let verification =
            verification.filter(|_| self.is_active).ok_or(ChangeError::InvalidLink)?;
        let mut user = self.next_version(now, trace);
        if verification.email == self.email {
            user.apply_event(AccountEvent::EmailVerified);
        } else {
            user.apply_event(AccountEvent::EmailChanged);
            user.email.clone_from(&verification.email);
            if let Some(withdrawal) = &mut user.withdrawal {
                withdrawal.link.expires_at = now.plus(WITHDRAWAL_LIFETIME);
            }
        }
        user.email_verified = true;
        Ok(user)
    }

    /// Applies a followed withdraw link: the login returns to the address that received the link,
    /// which is thereby verified, and all sessions end. It works for a disabled account too:
    /// otherwise disabling a stolen account would let the link expire.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] when this is not the link that was sent, or it has expired.
    pub fn with_email_change_withdrawn(
        &self,
        token_hash: &str,
        now: Timestamp,
        trace: Trace,
    ) -> Result<Self, ChangeError> {
        let withdrawal =
            self.withdrawal.as_ref().filter(|withdrawal| withdrawal.link.matches(token_hash, now));
        let withdrawal = withdrawal.ok_or(ChangeError::InvalidLink)?;
        let mut user = self.next_version(now, trace);
        user.email.clone_from(&withdrawal.email);
        user.apply_event(AccountEvent::EmailChangeWithdrawn);
        user.email_verified = true;
        user.email_change_withdrawn_at = Some(now);
        Ok(user)
    }

    /// The link that is sent to who has forgotten the password: the one that was sent before, as
    /// long as it is good for a while, or `fresh`.
    pub fn reset_link(&self, fresh: Link, now: Timestamp) -> Link {
        match &self.reset {
            Some(sent) if now.plus(MIN_RESEND_LIFETIME) < sent.expires_at => {
                Link { send_count: sent.send_count + 1, ..sent.clone() }
            }
            _ => fresh,
        }
    }

    /// After a new password was set by the link: all sessions are over, and the address is
    /// verified, because the link was read there.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] when this is not the link that was sent last, or its time is
    /// over.
    pub fn with_reset_password(
        &self,
        token_hash: &str,
        now: Timestamp,
        trace: Trace,
    ) -> Result<Self, ChangeError> {
        let is_good =
            self.is_active && self.reset.as_ref().is_some_and(|link| link.matches(token_hash, now));
        if !is_good {
            return Err(ChangeError::InvalidLink);
        }
        let mut user = self.next_version(now, trace);
        user.apply_event(AccountEvent::PasswordReset);
        user.email_verified = true;
        user.password_changed_at = Some(now);
        Ok(user)
    }

    /// After they have changed their password: sessions of earlier epochs are over, and so is a
    /// link that would set another one.
    #[must_use]
    pub fn with_changed_password(&self, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next_version(now, trace);
        user.apply_event(AccountEvent::PasswordChanged);
        user.password_changed_at = Some(now);
        user
    }

    /// Applies the reuse of a refresh token by a second party: access tokens become invalid.
    #[must_use]
    pub fn with_tokens_revoked(&self, trace: Trace) -> Self {
        let mut user = self.next_version(self.updated_at, trace);
        user.token_version += 1;
        user
    }

    /// Ends what does not survive the event: links are removed, tokens and sessions get a number
    /// that they do not carry. Device tokens are bound to the session epoch and to the address, so
    /// they end with either.
    fn apply_event(&mut self, event: AccountEvent) {
        let ends = |revocable| !matches!(effect(revocable, event), Effect::Kept);
        let verifies_present =
            self.verification.as_ref().is_some_and(|verification| verification.email == self.email);
        if ends(if verifies_present {
            Revocable::EmailVerification
        } else {
            Revocable::EmailChange
        }) {
            self.verification = None;
        }
        if ends(Revocable::PasswordReset) {
            self.reset = None;
        }
        // A link to the address before the present one exists only where that one was verified.
        let was_verified = self.email_verified
            || self.withdrawal.as_ref().is_some_and(|withdrawal| withdrawal.email != self.email);
        if ends(if was_verified {
            Revocable::WithdrawLink
        } else {
            Revocable::UnverifiedWithdrawLink
        }) {
            self.withdrawal = None;
        }
        if ends(Revocable::Sessions) {
            self.session_epoch += 1;
        }
        if matches!(effect(Revocable::AccessTokens, event), Effect::Revoked) {
            self.token_version += 1;
        }
    }

    fn next_version(&self, updated_at: Timestamp, trace: Trace) -> Self {
        Self { updated_at, version: self.version + 1, trace: Some(trace), ..self.clone() }
    }
}

impl Link {
    /// Whether a token with this hash is the one, and still good.
    fn matches(&self, token_hash: &str, now: Timestamp) -> bool {
        let same = bool::from(self.token_hash.as_bytes().ct_eq(token_hash.as_bytes()));
        same && self.is_valid(now)
    }

    /// Whether it has not expired.
    fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at
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
        formatter
            .debug_struct("Credentials")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

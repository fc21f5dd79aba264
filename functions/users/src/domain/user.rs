//! Users: registration, profile, address changes, roles, and how events change them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{auth::Role, clock::Timestamp, ids::UserId, telemetry::Trace};
use subtle::ConstantTimeEq;

use super::{
    ChangeError, Email, FullName, Username,
    invalidation::{AccountEvent, Effect, Revocable, effect},
};

/// Lifetime of the link that verifies an address.
pub const VERIFICATION_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// Lifetime of the link that withdraws an address change, counted from the request and again from
/// the move.
pub const WITHDRAWAL_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// Lifetime of the link that resets a password.
pub const RESET_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A reset link with at least this remaining lifetime is sent again; a shorter one is replaced. So
/// repeated requests by a stranger cannot invalidate the owner's last link while it is in use.
const MIN_RESEND_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A registered user.
///
/// Values validated at registration are stored as text, so a stricter rule in a later release does
/// not lock existing users out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// Address in its normal form.
    pub email: String,
    pub username: String,
    pub full_name: String,
    /// Name of the role. A role of a newer release is kept unchanged.
    pub role: String,
    pub is_active: bool,
    /// Access tokens with another version are invalid.
    pub token_version: u64,
    /// Sessions of another epoch are invalid.
    pub session_epoch: u64,
    /// Whether the user has proved access to the mailbox of `email`.
    pub email_verified: bool,
    /// Address with a pending verification: the current one or a requested one.
    pub verification: Option<Verification>,
    /// Link that sets a new password.
    pub reset: Option<Link>,
    /// Link that withdraws an address change, and the address it was sent to.
    pub withdrawal: Option<Withdrawal>,
    pub password_changed_at: Option<Timestamp>,
    pub email_change_withdrawn_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// When the user last changed visibly. Some internal changes, for example a reset request, only
    /// raise `version`.
    pub updated_at: Timestamp,
    /// Raised by every change.
    pub version: u64,
    /// Trace of the request that made the latest change.
    pub trace: Option<Trace>,
}

/// A one-time link: the hash of its token, and the sealed token for the mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// SHA-256 of the token.
    pub token_hash: String,
    pub sealed_token: String,
    pub expires_at: Timestamp,
    pub send_count: u32,
}

/// An address with a pending verification, and the link that was sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Address in its normal form.
    pub email: String,
    pub link: Link,
}

/// The link that withdraws an address change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Address that was the login when the change was requested. The link was sent to it, and a
    /// withdrawal returns the login to it.
    pub email: String,
    pub link: Link,
}

#[derive(Clone, Debug)]
pub struct Registration {
    pub email: Email,
    pub username: Username,
    pub full_name: FullName,
}

/// A user's changes to their own profile; absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct ProfileEdit {
    pub username: Option<Username>,
    pub full_name: Option<FullName>,
    /// A new address, or the current one if it was never verified.
    pub email: Option<EmailEdit>,
}

/// An address that a user requests, with the links that are mailed.
#[derive(Clone, Debug)]
pub struct EmailEdit {
    pub email: Email,
    /// Link for the requested address.
    pub verification: Link,
    /// Link for the current address.
    pub withdrawal: Link,
}

/// An admin's changes to a profile; absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct AdminEdit {
    pub role: Option<Role>,
    pub is_active: Option<bool>,
    pub username: Option<Username>,
    pub full_name: Option<FullName>,
}

impl User {
    /// Creates a customer with an unverified address. `link` verifies it.
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

    /// Returns the requested address that is not yet verified.
    pub fn pending_email(&self) -> Option<&str> {
        self.verification
            .as_ref()
            .map(|verification| verification.email.as_str())
            .filter(|email| *email != self.email)
    }

    /// Returns the previous address, while a withdrawal can return the login to it.
    pub fn previous_email(&self, now: Timestamp) -> Option<&str> {
        self.restorable_withdrawal(now).map(|withdrawal| withdrawal.email.as_str())
    }

    /// Returns the withdrawal that can return the login to the previous address.
    fn restorable_withdrawal(&self, now: Timestamp) -> Option<&Withdrawal> {
        self.withdrawal
            .as_ref()
            .filter(|withdrawal| withdrawal.link.is_valid(now) && withdrawal.email != self.email)
    }

    /// Applies a user's own changes. A new address takes effect only once it is verified. The
    /// current address cancels an earlier request.
    ///
    /// # Errors
    /// [`ChangeError::EmailChangedRecently`] if the previous address can still be restored. A
    /// second move would put a third address between the login and the owner of the first.
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

    /// Returns the withdraw link for the current address: the one that was sent before, with a new
    /// expiry, or `fresh`. So repeated requests do not invalidate the link that the owner is
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

    /// Applies an admin's changes. A changed role invalidates access tokens; disabling the account
    /// ends all sessions too.
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

    /// Applies a followed verification link: its address becomes the user's verified address.
    /// Access tokens with another address become invalid.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] if the link is not the last one sent or has expired, or if the
    /// account is disabled.
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

    /// Applies a followed withdraw link. The login returns to the address that received the link,
    /// which is thereby verified, and all sessions end. The link works for a disabled account too.
    /// Otherwise it could expire while a stolen account is disabled.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] if the link is not the one that was sent or has expired.
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

    /// Returns the reset link to send: the previous one if more than ten minutes of its lifetime
    /// remain, otherwise `fresh`.
    pub fn reset_link(&self, fresh: Link, now: Timestamp) -> Link {
        match &self.reset {
            Some(sent) if now.plus(MIN_RESEND_LIFETIME) < sent.expires_at => {
                Link { send_count: sent.send_count + 1, ..sent.clone() }
            }
            _ => fresh,
        }
    }

    /// Applies a reset of the password. All sessions end, and the address is verified, because the
    /// link was read there.
    ///
    /// # Errors
    /// [`ChangeError::InvalidLink`] if the link is not the last one sent or has expired, or if the
    /// account is disabled.
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

    /// Applies a change of the password. Sessions of earlier epochs and a pending reset link end.
    #[must_use]
    pub fn with_changed_password(&self, now: Timestamp, trace: Trace) -> Self {
        let mut user = self.next_version(now, trace);
        user.apply_event(AccountEvent::PasswordChanged);
        user.password_changed_at = Some(now);
        user
    }

    /// Applies the reuse of a refresh token by a second party: all access tokens become invalid.
    #[must_use]
    pub fn with_tokens_revoked(&self, trace: Trace) -> Self {
        let mut user = self.next_version(self.updated_at, trace);
        user.token_version += 1;
        user
    }

    /// Ends everything that does not survive the event. Links are removed; the token version and
    /// the session epoch are raised. Device tokens are bound to the session epoch and to the
    /// address, so they end with either.
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
        // A withdraw link to a previous address exists only if that address was verified.
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
    /// Returns whether the link has this token hash and has not expired.
    fn matches(&self, token_hash: &str, now: Timestamp) -> bool {
        let same = bool::from(self.token_hash.as_bytes().ct_eq(token_hash.as_bytes()));
        same && self.is_valid(now)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

/// Credentials: everything that a login checks and that the first tokens contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user_id: UserId,
    /// Address in its normal form.
    pub email: String,
    pub full_name: String,
    /// Hash of the password as a PHC string.
    pub password_hash: String,
    pub role: String,
    pub is_active: bool,
    pub token_version: u64,
    pub session_epoch: u64,
    /// Version of the user that the other fields are from.
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

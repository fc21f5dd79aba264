//! Users as the trade knows them. Nothing here waits, reads a clock or knows where it is stored.

pub mod email;
pub mod name;
pub mod password;

pub use email::Email;
pub use name::{FullName, Username};
pub use password::Password;
use shared::{auth::Role, clock::Timestamp, ids::UserId, validation::Violation};

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
    /// Since when.
    pub created_at: Timestamp,
    /// When something was last changed.
    pub updated_at: Timestamp,
    /// Grows with every change.
    pub version: u64,
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

impl User {
    /// A new customer.
    pub fn register(id: UserId, registration: Registration, now: Timestamp) -> Self {
        Self {
            id,
            email: registration.email.into(),
            username: registration.username.into(),
            full_name: registration.full_name.into(),
            role: Role::User.name().to_owned(),
            is_active: true,
            token_version: 1,
            created_at: now,
            updated_at: now,
            version: 1,
        }
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
}

impl Credentials {
    /// What giving them `role` takes: nothing where they have it already.
    pub fn grant(&self, role: Role) -> Option<RoleChange> {
        let change = RoleChange { seen: self.token_version, next: self.token_version + 1, role: role.name() };
        (self.role != role.name()).then_some(change)
    }
}

/// Another role for a user. The token version moves on, so that tokens with the old role are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// The token version that the change starts from.
    pub seen: u64,
    /// The token version after it.
    pub next: u64,
    /// The role after it.
    pub role: &'static str,
}

/// That a password is not the address that it is to protect, in whatever spelling.
///
/// # Errors
/// The violation, for the field `password`.
pub fn check_password_differs(password: &Password, email: &Email) -> Result<(), Violation> {
    let same = Email::parse(password.as_str()).is_ok_and(|address| address == *email);
    if same {
        return Err(Violation::new("password_is_email", "The password must not be the e-mail address."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Credentials {
        Credentials {
            user_id: shared::ids::derive(&["ada"]),
            email: "ada@example.com".to_owned(),
            full_name: "Ada Lovelace".to_owned(),
            password_hash: String::new(),
            role: "user".to_owned(),
            is_active: true,
            token_version: 4,
        }
    }

    #[test]
    fn a_new_role_makes_the_old_tokens_worthless_and_the_same_role_changes_nothing() {
        assert_eq!(ada().grant(Role::Admin), Some(RoleChange { seen: 4, next: 5, role: "admin" }));
        assert_eq!(ada().grant(Role::User), None);
    }

    #[test]
    fn a_password_that_is_the_address_is_refused_in_every_spelling() {
        let email = Email::parse("ada.lovelace@example.com").unwrap();
        for text in ["ada.lovelace@example.com", "ADA.Lovelace@EXAMPLE.com", "ada.lovelace@ｅｘａｍｐｌｅ.com"] {
            let password = Password::parse(text.to_owned()).unwrap();
            assert_eq!(check_password_differs(&password, &email).unwrap_err().code, "password_is_email", "{text}");
        }
        let other = Password::parse("ada.lovelace@example.com!".to_owned()).unwrap();
        assert!(check_password_differs(&other, &email).is_ok());
    }
}

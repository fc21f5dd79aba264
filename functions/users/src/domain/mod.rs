//! Domain model of users. The code is pure: no I/O, no clock and no storage.

pub mod address_book;
mod error;
pub mod invalidation;
pub mod name;
pub mod password;
mod session;
mod user;

pub use error::ChangeError;
pub use name::{FullName, Username};
pub use password::Password;
pub use session::{
    EndReason, ROTATION_GRACE, SESSION_LIFETIME, Session, TokenGeneration, TokenStatus,
    session_expiry,
};
pub use user::{
    AdminEdit, Credentials, EmailEdit, Link, ProfileEdit, RESET_LIFETIME, Registration, User,
    VERIFICATION_LIFETIME, Verification, WITHDRAWAL_LIFETIME, Withdrawal,
};

pub use shared::email::Email;
use shared::validation::Violation;

/// Checks that a password is not the account's e-mail address, in any spelling.
///
/// # Errors
/// The violation `password_is_email`. The caller knows the field that holds the password.
pub fn check_password_differs(password: &Password, email: &str) -> Result<(), Violation> {
    let same = Email::parse(password.as_str()).is_ok_and(|address| address.as_str() == email);
    if same {
        return Err(Violation::new(
            "password_is_email",
            "The password must not be the e-mail address.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_equal_to_the_email_is_rejected() {
        let email = "ada.lovelace@example.com";
        for text in [
            "ada.lovelace@example.com",
            "ADA.Lovelace@EXAMPLE.com",
            "ada.lovelace@ｅｘａｍｐｌｅ.com",
        ] {
            let password = Password::parse(text).unwrap();
            assert_eq!(
                check_password_differs(&password, email).unwrap_err().code,
                "password_is_email",
                "{text}"
            );
        }
        let other = Password::parse("ada.lovelace@example.com!").unwrap();
        assert!(check_password_differs(&other, email).is_ok());
    }
}

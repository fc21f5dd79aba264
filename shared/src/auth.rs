//! The caller, as the authorizer adds it to the request's context.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// The role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A customer, with access to their own data.
    User,
    /// A shop administrator.
    Admin,
}

impl Role {
    /// Parses an exact role name. "admin admin" is rejected.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Returns the name that tokens and responses contain.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// A user whose token the authorizer has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub role: Role,
    /// Full name at the time of login.
    pub name: String,
    /// E-mail address at the time of login.
    pub email: String,
    /// Whether the address is verified, as the authorizer read it within the last minute. False if
    /// the authorizer does not provide it.
    pub email_verified: bool,
    /// Session of the access token, if the token names one.
    pub session: Option<String>,
}

impl Caller {
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Returns whether the caller may see data of `owner`: their own, or any as an admin.
    pub fn may_see(&self, owner: UserId) -> bool {
        self.user_id == owner || self.is_admin()
    }
}

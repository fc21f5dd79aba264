//! The caller: the authorizer's result, from the request's context.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A customer: may do what concerns themselves.
    User,
    /// Runs the shop.
    Admin,
}

impl Role {
    /// The role with exactly this name; "admin admin" is rejected.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// The name as tokens and answers have it.
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
    /// What they may do.
    pub role: Role,
    /// Their full name at the time of login.
    pub name: String,
    /// Their e-mail address at the time of login.
    pub email: String,
    /// Whether their address is verified, as the authorizer read it within the last minute. False
    /// where it does not say so.
    pub email_verified: bool,
    /// The session (the login) that the token belongs to, as the token names it.
    pub session: Option<String>,
}

impl Caller {
    /// Whether they run the shop.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whether they may see what belongs to `owner`.
    pub fn may_see(&self, owner: UserId) -> bool {
        self.user_id == owner || self.is_admin()
    }
}

//! One file for each function of this service, and the views that several of them answer with.

use serde::Serialize;
use shared::{clock::Timestamp, ids::UserId};

use crate::domain::User;

pub mod authorize_request;
pub mod get_me;
pub mod grant_role;
pub mod login_user;
pub mod register_user;
pub mod rotate_signing_key;

/// A user as they see themselves.
#[derive(Debug, Serialize)]
pub struct UserView {
    id: UserId,
    email: String,
    username: String,
    full_name: String,
    role: String,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            role: user.role.clone(),
            is_active: user.is_active,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

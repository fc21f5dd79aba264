//! Direct invocation: assigns a role to a registered user. IAM decides who may invoke it. The first
//! admin is created with it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{auth::Role, ids::UserId, invoke::Call, lambda::Failure, telemetry::Trace};

use crate::{
    Users,
    domain::{AdminEdit, Email},
    error::UsersError,
    store::{UpdateOutcome, UserChange},
};

/// Maximum number of attempts when concurrent writes conflict.
const MAX_ATTEMPTS: u32 = 3;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRole {
    email: String,
    role: String,
}

#[derive(Debug, Serialize)]
pub struct RoleView {
    user_id: UserId,
    role: &'static str,
}

/// Returns the user's id and role. A changed role invalidates the user's access tokens. If the user
/// already has the role, nothing changes.
///
/// # Errors
/// `UnknownRole`; `UnknownEmail`; `Unavailable` if the table fails or the user keeps changing, and
/// the same call may succeed later.
pub async fn grant_role(users: Arc<Users>, call: Call<GrantRole>) -> Result<RoleView, Failure> {
    let role = Role::parse(&call.event.role)
        .ok_or_else(|| Failure::new("UnknownRole", "Unknown role: use user or admin."))?;
    let unknown =
        || Failure::new("UnknownEmail", "No user is registered with this e-mail address.");
    let email = Email::parse(&call.event.email).map_err(|_| unknown())?;
    let unavailable = |error: &dyn std::error::Error| Failure::from_error("Unavailable", error);

    for _ in 0..MAX_ATTEMPTS {
        let credentials = users
            .store
            .credentials(email.as_str())
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or_else(unknown)?;
        let user = users
            .store
            .user(credentials.user_id)
            .await
            .map_err(|error| unavailable(&error))?
            .ok_or_else(unknown)?;
        let granted = RoleView { user_id: user.id, role: role.name() };
        if user.role == role.name() {
            return Ok(granted);
        }
        let change = AdminEdit { role: Some(role), ..AdminEdit::default() };
        let after = user.edited_by_admin(change, users.clock.now(), Trace::start(&users.ids));
        if users
            .store
            .update_user(UserChange::new(&user, &after))
            .await
            .map_err(|error| unavailable(&error))?
            == UpdateOutcome::Written
        {
            return Ok(granted);
        }
    }
    Err(unavailable(&UsersError::Contended))
}

//! `DELETE /users/me/addresses/{address_id}`: deletes an address from the caller's address book.

use std::sync::Arc;

use shared::{
    http::{self, Request, Response},
    ids::AddressId,
    problem::Problem,
};

use super::saved_address_view::MAX_SAVE_ATTEMPTS;
use crate::{Users, error::UsersError, store::SaveOutcome};

/// Answers `204`. Orders keep their copies of the address. If the address was a default, the
/// address book has no default until another address becomes it.
///
/// # Errors
/// `412` if `If-Match` is sent and the address book has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    delete,
    path = "/users/me/addresses/{address_id}",
    params(("address_id" = AddressId, Path, description = "The address."), shared::api_document::OptionalIfMatch),
    responses((status = 204, description = "The address is deleted.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"])), ("x-problems" = json!(["address_not_found"]))),
))]
pub async fn delete_address(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let id: AddressId = request.path_id("address_id", "address")?;
    let seen = request.if_match_optional()?;

    let mut book =
        users.store.address_book(caller.user_id).await?.ok_or(UsersError::AccountGone)?;
    for _ in 0..MAX_SAVE_ATTEMPTS {
        let after = book.without(id)?;
        if seen.is_some_and(|seen| seen != book.version) {
            return Err(UsersError::VersionMismatch { current: book.version }.into());
        }
        match users.store.save_address_book(&book, &after).await? {
            SaveOutcome::Written => return Ok(http::no_content()),
            SaveOutcome::VersionConflict(current) => book = *current,
            SaveOutcome::AccountGone => return Err(UsersError::AccountGone.into()),
        }
    }
    Err(UsersError::Contended.into())
}

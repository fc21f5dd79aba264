//! `PATCH /users/me/addresses/{address_id}`: changes an address in the caller's address book.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    address::Address,
    http::{self, Request, Response},
    ids::AddressId,
    problem::Problem,
};

use super::{saved_address_view::SavedAddressView, update_me::nothing_to_change};
use crate::{
    Users,
    domain::{ChangeError, address_book::AddressEdit},
    error::UsersError,
    store::SaveOutcome,
};

/// Changes to a saved address. Absent fields stay unchanged.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct UpdateAddress {
    /// Replaces the whole address.
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    address: Option<Address>,
    /// `true` makes the address the default for shipping instead of the previous one.
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    default_shipping: Option<bool>,
    /// `true` makes the address the default for billing instead of the previous one.
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    default_billing: Option<bool>,
}

/// Answers `200` with the address and the new version of the address book.
///
/// # Errors
/// `428` without `If-Match`; `412` if the address book has changed since.
#[cfg_attr(feature = "api-document", utoipa::path(
    patch,
    path = "/users/me/addresses/{address_id}",
    params(("address_id" = AddressId, Path, description = "The address."), shared::api_document::IfMatch),
    request_body = UpdateAddress,
    responses((status = 200, description = "The address as it is now.", body = SavedAddressView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"])), ("x-problems" = json!(["address_not_found", "nothing_to_change"]))),
))]
pub async fn update_address(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let id: AddressId = request.path_id("address_id", "address")?;
    let seen = request.if_match()?;
    let UpdateAddress { address, default_shipping, default_billing } = request.json()?;
    if address.is_none() && default_shipping.is_none() && default_billing.is_none() {
        return Err(nothing_to_change());
    }

    let book = users.store.address_book(caller.user_id).await?.ok_or(UsersError::AccountGone)?;
    let edit = AddressEdit { address, default_shipping, default_billing };
    // An unknown address is 404 in every version of the book.
    let after = book.edited(id, edit, users.clock.now())?;
    if book.version != seen {
        return Err(UsersError::VersionMismatch { current: book.version }.into());
    }
    match users.store.save_address_book(&book, &after).await? {
        SaveOutcome::Written => {
            let saved = after.find(id).ok_or(ChangeError::UnknownAddress)?;
            Ok(http::ok(&SavedAddressView::new(&after, saved)).etag(after.version))
        }
        SaveOutcome::VersionConflict(current) => {
            Err(UsersError::VersionMismatch { current: current.version }.into())
        }
        SaveOutcome::AccountGone => Err(UsersError::AccountGone.into()),
    }
}

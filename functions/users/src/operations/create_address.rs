//! `POST /users/me/addresses`: saves an address in the caller's address book.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    address::Address,
    http::{self, Request, Response},
    ids::{self, AddressId},
    problem::Problem,
};

use super::saved_address_view::{MAX_SAVE_ATTEMPTS, SavedAddressView};
use crate::{
    Users,
    domain::address_book::{AddressBook, SavedAddress},
    error::UsersError,
    store::SaveOutcome,
};

/// A new address.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreateAddress {
    address: Address,
    /// Whether the address becomes the default for shipping. Defaults to false.
    #[serde(default)]
    default_shipping: bool,
    /// Whether the address becomes the default for billing. Defaults to false.
    #[serde(default)]
    default_billing: bool,
}

/// Answers `201` with the saved address and the version of the address book. A new default replaces
/// the previous one. A repeated `Idempotency-Key` returns the address again, as it is now.
///
/// # Errors
/// `409` if the address book has 20 addresses.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users/me/addresses",
    params(http::IdempotencyKey),
    request_body = CreateAddress,
    responses((status = 201, description = "The saved address.", body = SavedAddressView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"])), ("x-problems" = json!(["address_book_full"]))),
))]
pub async fn create_address(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;
    let key = request.idempotency_key()?;
    let body: CreateAddress = request.json()?;

    let id: AddressId = key.derive_id(&caller, "create-address");
    let fingerprint = ids::fingerprint(&body);
    let CreateAddress { address, default_shipping, default_billing } = body;
    let now = users.clock.now();
    let saved = SavedAddress { id, address, fingerprint, created_at: now, updated_at: now };
    let location = request.location(&format!("/users/me/addresses/{id}"));
    let answer = |book: &AddressBook, saved: &SavedAddress| {
        http::created(&location, &SavedAddressView::new(book, saved)).etag(book.version)
    };
    let mut book =
        users.store.address_book(caller.user_id).await?.ok_or(UsersError::AccountGone)?;
    for _ in 0..MAX_SAVE_ATTEMPTS {
        if let Some(before) = book.find(id) {
            if before.fingerprint != saved.fingerprint {
                return Err(UsersError::KeyReused.into());
            }
            return Ok(http::replayed(answer(&book, before)));
        }
        let next = book.with(saved.clone(), default_shipping, default_billing)?;
        match users.store.save_address_book(&book, &next).await? {
            SaveOutcome::Written => return Ok(answer(&next, &saved)),
            SaveOutcome::VersionConflict(current) => book = *current,
            SaveOutcome::AccountGone => return Err(UsersError::AccountGone.into()),
        }
    }
    Err(UsersError::Contended.into())
}

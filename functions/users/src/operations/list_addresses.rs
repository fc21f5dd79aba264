//! `GET /users/me/addresses`: returns the caller's address book.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::saved_address_view::SavedAddressView;
use crate::{Users, error::UsersError};

/// An address book.
#[derive(Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
struct AddressBookView<'a> {
    /// The saved addresses, oldest first: at most 20.
    items: Vec<SavedAddressView<'a>>,
}

/// Answers `200` with all addresses and the version of the address book, which changes of an
/// address require as `If-Match`.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/users/me/addresses",
    responses((status = 200, description = "The address book.", body = AddressBookView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user", "admin"]))),
))]
pub async fn list_addresses(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let caller = request.caller()?;

    let book = users.store.address_book(caller.user_id).await?.ok_or(UsersError::AccountGone)?;

    let items = book.addresses.iter().map(|saved| SavedAddressView::new(&book, saved)).collect();
    Ok(http::ok(&AddressBookView { items }).etag(book.version))
}

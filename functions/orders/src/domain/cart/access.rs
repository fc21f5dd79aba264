//! Access to carts: by the access token of a user, or by the cart token of a guest.

use shared::{clock::Timestamp, ids::UserId};

use super::{Cart, CartError, CartOwner, CartState, CartToken};

/// The credentials of a request.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user of the access token.
    pub user_id: Option<UserId>,
    /// The token of the header `X-Cart-Token`.
    pub token: Option<CartToken>,
}

impl Cart {
    /// Whether the client is the owner of the cart: its user, or a client with the secret of a
    /// guest's cart. A cart token gives no access to a user's cart. No role gives access to the
    /// cart of another user.
    pub fn is_owned_by(&self, credentials: &Credentials) -> bool {
        match &self.owner {
            CartOwner::User(user_id) => credentials.user_id == Some(*user_id),
            CartOwner::Guest { secret_hash } => credentials
                .token
                .as_ref()
                .is_some_and(|token| token.cart_id == self.cart_id && token.opens(secret_hash)),
        }
    }

    /// Returns the cart if the client may read and change it.
    ///
    /// # Errors
    /// [`CartError::Ordered`] if the client's cart became an order. [`CartError::NotFound`] if the
    /// cart has expired, was merged, or has another owner.
    pub fn authorize(self, credentials: &Credentials, now: Timestamp) -> Result<Self, CartError> {
        if self.is_expired(now) || !self.is_owned_by(credentials) {
            return Err(CartError::NotFound);
        }
        match self.state {
            CartState::Open => Ok(self),
            CartState::Merged { .. } => Err(CartError::NotFound),
            CartState::Ordered { order_id } => Err(CartError::Ordered { order_id }),
        }
    }
}

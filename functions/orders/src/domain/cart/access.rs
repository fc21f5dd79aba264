//! Access to carts: by the access token of a user, or by the cart token of a guest.

use shared::{clock::Timestamp, ids::UserId};

use super::{Cart, CartError, CartOwner, CartState, CartToken};

/// The verified credentials of a request.
#[derive(Clone, Debug)]
pub struct Opener {
    /// The user of the access token.
    pub user_id: Option<UserId>,
    /// The token of the header `X-Cart-Token`.
    pub token: Option<CartToken>,
}

impl Cart {
    /// Whether the client is the owner of the cart: its user, or a client with the secret of a
    /// guest's cart. A cart token gives no access to a user's cart. No role gives access to the
    /// cart of another user.
    pub fn opens_for(&self, opener: &Opener) -> bool {
        match &self.owner {
            CartOwner::User(user_id) => opener.user_id == Some(*user_id),
            CartOwner::Guest { secret_hash } => opener
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
    pub fn open(self, opener: &Opener, now: Timestamp) -> Result<Self, CartError> {
        if self.is_expired(now) || !self.opens_for(opener) {
            return Err(CartError::NotFound);
        }
        match self.state {
            CartState::Open => Ok(self),
            CartState::Merged { .. } => Err(CartError::NotFound),
            CartState::Ordered { order_id } => Err(CartError::Ordered { order_id }),
        }
    }
}

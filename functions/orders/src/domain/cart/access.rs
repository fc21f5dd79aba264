//! Who may open a cart.

use shared::{clock::Timestamp, ids::UserId};

use super::{Cart, CartError, CartOwner, CartState, CartToken};

/// What a request proves about its client.
#[derive(Clone, Debug)]
pub struct Opener {
    /// The user of the access token.
    pub user_id: Option<UserId>,
    /// The token of the header `X-Cart-Token`.
    pub token: Option<CartToken>,
}

impl Cart {
    /// Whether the opener is the owner of the cart: the user, or a client with the secret of a
    /// guest's cart. No secret opens the cart of a user, and no role the cart of another.
    pub fn opens_for(&self, opener: &Opener) -> bool {
        match &self.owner {
            CartOwner::User(user_id) => opener.user_id == Some(*user_id),
            CartOwner::Guest { secret_hash } => opener
                .token
                .as_ref()
                .is_some_and(|token| token.cart_id == self.cart_id && token.opens(secret_hash)),
        }
    }

    /// Returns the cart if the opener may read and change it.
    ///
    /// # Errors
    /// [`CartError::Ordered`] if the opener's cart became an order. Every other cart is
    /// [`CartError::NotFound`]: one that has expired, was merged, or belongs to another.
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

//! The token of a guest's cart: its id and a secret of 256 random bits, in one text for one cookie.
//!
//! Only the response that creates the cart contains it. Requests send it in the header
//! `X-Cart-Token`, so no path or log contains it. The table stores the hash of the secret.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::ids::{self, CartId, Ids, PrefixedId};
use subtle::ConstantTimeEq;

/// A token has 84 bytes.
const MAX_BYTES: usize = 100;

#[derive(Clone, PartialEq, Eq)]
pub struct CartToken {
    pub cart_id: CartId,
    /// 32 bytes as base64url without padding.
    secret: String,
}

impl CartToken {
    pub fn create(cart_id: CartId, ids: &Ids) -> Self {
        Self { cart_id, secret: BASE64_URL_SAFE_NO_PAD.encode(ids.bytes::<32>()) }
    }

    /// Parses a token. It does not check that the cart exists, or that the secret is that of the
    /// cart.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (cart_id, secret) = text.split_once('.')?;
        // The decoder accepts one spelling of each value.
        let is_secret = BASE64_URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == 32);
        is_secret.then_some(())?;
        Some(Self { cart_id: CartId::parse(cart_id)?, secret: secret.to_owned() })
    }

    /// The token as the client keeps it.
    pub fn text(&self) -> String {
        format!("{}.{}", self.cart_id, self.secret)
    }

    /// The hash under which the table stores the secret.
    pub fn secret_hash(&self) -> String {
        ids::sha256_hex(&self.secret)
    }

    /// Whether the secret has this hash. The comparison takes the same time for every hash.
    pub fn opens(&self, secret_hash: &str) -> bool {
        self.secret_hash().as_bytes().ct_eq(secret_hash.as_bytes()).into()
    }
}

impl fmt::Debug for CartToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CartToken({}, …)", self.cart_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> CartToken {
        CartToken::create(ids::derive(&["cart"]), &Ids::seeded(1))
    }

    #[test]
    fn token_opens_only_the_hash_of_its_secret() {
        let ids = Ids::seeded(1);
        let token = CartToken::create(ids::derive(&["cart"]), &ids);
        let other = CartToken::create(token.cart_id, &ids);
        assert_eq!(CartToken::parse(&token.text()), Some(token.clone()));
        assert!(token.opens(&token.secret_hash()));
        assert!(!other.opens(&token.secret_hash()));
        assert!(!token.opens(""));
        assert_eq!(token.secret.len(), 43);
    }

    #[test]
    fn debug_output_has_no_secret() {
        let token = token();
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn malformed_token_is_rejected() {
        let text = token().text();
        let (id, secret) = text.split_once('.').unwrap();
        for invalid in [
            "",
            ".",
            id,
            secret,
            &text[..83],
            &format!("{text}A"),
            &format!("{text}="),
            &format!("{text}.x"),
            &format!(" {text}"),
            &format!("{}.{secret}", id.replace("crt", "ord")),
            &format!("{id}.{}", secret.replace(&secret[..1], "é")),
            &"a".repeat(100_000),
        ] {
            assert_eq!(CartToken::parse(invalid), None, "{invalid}");
        }
    }
}

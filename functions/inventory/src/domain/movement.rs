//! Movements: goods that come in or are written off, by hand.

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{ProductId, UserId},
    prefixed_id,
    validation::{Violation, readable_text},
};

use super::StockChange;

prefixed_id!(
    /// A movement of stock.
    MovementId,
    "mov"
);

/// The most that one movement moves.
pub const MAX_DELTA: i64 = 1_000_000;
/// The most that there can be of one product.
pub const MAX_ON_HAND: i64 = 1_000_000_000;
const MAX_REASON: usize = 200;

/// How many come in (above zero) or go (below).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Delta(i64);

impl Delta {
    /// The number.
    pub const fn count(self) -> i64 {
        self.0
    }
}

shared::describe!(Delta, number("How many come in (above zero) or go (below zero): not 0.", 25).within(-MAX_DELTA..=MAX_DELTA));

impl TryFrom<i64> for Delta {
    type Error = Violation;

    fn try_from(count: i64) -> Result<Self, Violation> {
        if count != 0 && (-MAX_DELTA..=MAX_DELTA).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!("A delta is a whole number from -{MAX_DELTA} to {MAX_DELTA}, but not 0.")))
    }
}

impl From<Delta> for i64 {
    fn from(delta: Delta) -> Self {
        delta.0
    }
}

/// Why goods moved, for whoever counts them later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shared::describe!(
    Reason,
    text("Why goods move, for whoever counts them later.", "Delivery of 12 March").length(1..=MAX_REASON).refused_as(&[
        "blank",
        "too_long",
        "invalid_characters"
    ])
);

impl TryFrom<String> for Reason {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        readable_text(&text, MAX_REASON, false)?;
        Ok(Self(text.trim().to_owned()))
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// A movement that was made. It never changes, and it says nothing of the figures that it led to: whoever repeats the request gets the
/// same answer, however fast the product sells meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Derived from the request that asked for it.
    pub movement_id: MovementId,
    /// What moved.
    pub product_id: ProductId,
    /// How many.
    pub delta: Delta,
    /// Why.
    pub reason: Reason,
    /// Who asked for it.
    pub user_id: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Tells the request from another with the same key.
    pub fingerprint: String,
}

impl Movement {
    /// What it does to the figures: goods that come in can be ordered, and only goods that could be ordered can go.
    pub fn change(&self) -> StockChange {
        let count = self.delta.count();
        StockChange { product_id: self.product_id, shard: 0, available: count, on_hand: count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movement_moves_something_but_not_everything() {
        for good in [1, -1, MAX_DELTA, -MAX_DELTA] {
            assert_eq!(Delta::try_from(good).map(Delta::count), Ok(good));
        }
        for bad in [0, MAX_DELTA + 1, -MAX_DELTA - 1, i64::MIN, i64::MAX] {
            assert_eq!(Delta::try_from(bad).unwrap_err().code, "out_of_range");
        }
    }
}

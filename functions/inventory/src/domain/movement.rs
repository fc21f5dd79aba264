//! Movements: manual adjustments of a product's stock and of its settings.

use serde::{Deserialize, Serialize};
use shared::{
    checked_text,
    clock::Timestamp,
    ids::{ProductId, UserId},
    prefixed_id,
    telemetry::Trace,
    validation::Violation,
};

prefixed_id!(
    /// A movement of stock.
    MovementId,
    "mov"
);

/// Maximum quantity that one movement adds or removes.
pub const MAX_DELTA: i64 = 1_000_000;
/// Maximum quantity on hand of one product.
pub const MAX_ON_HAND: i64 = 1_000_000_000;
/// Maximum number of shards of a product's stock.
pub const MAX_SHARDS: u32 = 16;

/// Quantity that a movement adds (above zero) or removes (below zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Delta(i64);

impl Delta {
    pub const fn count(self) -> i64 {
        self.0
    }
}

shared::describe!(
    Delta,
    number("Quantity to add (above zero) or remove (below zero); not 0.", 25)
        .within(-MAX_DELTA..=MAX_DELTA)
);

impl TryFrom<i64> for Delta {
    type Error = Violation;

    fn try_from(count: i64) -> Result<Self, Violation> {
        if count != 0 && (-MAX_DELTA..=MAX_DELTA).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!(
            "A delta is a whole number from -{MAX_DELTA} to {MAX_DELTA}, but not 0."
        )))
    }
}

impl From<Delta> for i64 {
    fn from(delta: Delta) -> Self {
        delta.0
    }
}

/// Low-stock threshold: at this available quantity or below the operator is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Threshold(i64);

shared::describe!(
    Threshold,
    number("The operator is notified at this available quantity or below.", 10)
        .within(0..=MAX_DELTA)
);

impl Threshold {
    pub const fn count(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Threshold {
    type Error = Violation;

    fn try_from(count: i64) -> Result<Self, Violation> {
        if (0..=MAX_DELTA).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!(
            "A threshold is a whole number from 0 to {MAX_DELTA}."
        )))
    }
}

impl From<Threshold> for i64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// Number of shards of a product's stock; 1 means that it is unsharded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ShardCount(u32);

shared::describe!(
    ShardCount,
    number("Number of shards of the product's stock; 1 means that it is unsharded.", 8)
        .within(1..=i64::from(MAX_SHARDS))
);

impl ShardCount {
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ShardCount {
    type Error = Violation;

    fn try_from(count: u32) -> Result<Self, Violation> {
        if (1..=MAX_SHARDS).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!(
            "The stock of a product is divided into 1 to {MAX_SHARDS} parts."
        )))
    }
}

impl From<ShardCount> for u32 {
    fn from(shard_count: ShardCount) -> Self {
        shard_count.0
    }
}

checked_text!(
    /// Text of one or more lines, 1 to 200 characters in total.
    Reason: multi_line(200), "Reason of the adjustment, in one or more lines.", "Delivery of 12 March"
);

/// An applied movement. It never changes and does not contain the resulting stock. A repeated
/// request therefore gets the same response, even if orders have changed the stock since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Derived from the idempotency key of the request.
    pub movement_id: MovementId,
    pub product_id: ProductId,
    /// `None` if only settings changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// The new number of shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_count: Option<ShardCount>,
    /// The new low-stock threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_stock_threshold: Option<Threshold>,
    pub reason: Reason,
    /// The admin who adjusted the stock.
    pub user_id: UserId,
    pub created_at: Timestamp,
    /// Hash that distinguishes the request from another one under the same idempotency key.
    pub fingerprint: String,
    /// Trace of the request; `None` for movements written before traces were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Trace>,
}

impl Movement {
    /// Whether it changes the shard count or the threshold.
    pub const fn changes_settings(&self) -> bool {
        self.shard_count.is_some() || self.low_stock_threshold.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};
    use shared::ids::derive;

    #[test]
    fn delta_threshold_and_shard_count_are_limited() {
        for valid in [1, -1, MAX_DELTA, -MAX_DELTA] {
            assert_eq!(Delta::try_from(valid).map(Delta::count), Ok(valid));
        }
        for invalid in [0, MAX_DELTA + 1, -MAX_DELTA - 1, i64::MIN, i64::MAX] {
            assert_eq!(Delta::try_from(invalid).unwrap_err().code, "out_of_range");
        }
        assert_eq!(
            (Threshold::try_from(0).map(Threshold::count), Threshold::try_from(-1).is_err()),
            (Ok(0), true)
        );
        assert_eq!(
            (
                ShardCount::try_from(16).map(ShardCount::count),
                ShardCount::try_from(0).is_err(),
                ShardCount::try_from(17).is_err()
            ),
            (Ok(16), true, true)
        );
    }

    #[test]
    fn reason_is_readable_multi_line_text() {
        let reason = |text: &str| {
            Reason::try_from(text.to_owned()).map(String::from).map_err(|violation| violation.code)
        };
        assert_eq!(reason("Delivery\r\nof 12 March\r").as_deref(), Ok("Delivery\nof 12 March"));
        assert_eq!(
            (reason("\u{3164}"), reason("a\u{202e}b")),
            (Err("blank".to_owned()), Err("invalid_characters".to_owned()))
        );
    }

    #[test]
    fn movement_stored_without_settings_is_read() {
        let stored = json!({
            "movement_id": derive::<MovementId>(&["m"]), "product_id": derive::<ProductId>(&["p"]), "delta": 5, "reason": "Delivery",
            "user_id": derive::<UserId>(&["u"]), "created_at": "2026-11-21T09:48:49.123Z", "fingerprint": "f",
        });
        let movement: Movement = from_value(stored.clone()).unwrap();
        assert_eq!(
            (movement.delta.map(Delta::count), movement.changes_settings()),
            (Some(5), false)
        );
        assert_eq!(serde_json::to_value(movement).unwrap(), stored);
        for (setting, value) in [("shard_count", 4), ("low_stock_threshold", 7)] {
            let mut with_setting = stored.clone();
            with_setting[setting] = json!(value);
            let movement: Movement = from_value(with_setting.clone()).unwrap();
            assert!(movement.changes_settings(), "{setting}");
            assert_eq!(serde_json::to_value(movement).unwrap(), with_setting);
        }
    }
}

//! Fields of requests that may be omitted.

use serde::{Deserialize, Deserializer};

/// Deserializes a field that may be omitted but must not be `null`: `#[serde(default,
/// deserialize_with = "shared::optional::non_null")]`.
///
/// # Errors
/// If the value is not a `T`.
pub fn non_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Deserializes a field that may be omitted, and whose `null` removes the value:
/// `#[serde(default, deserialize_with = "shared::optional::nullable")]`.
///
/// # Errors
/// If the value is neither `null` nor a `T`.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

//! Money: an integer amount in a currency's minor units, never a float.

mod rounding;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    metrics::{Dimension, DimensionValue},
    validation::Violation,
};

pub use rounding::{allocate, round};

/// Maximum amount of one price, order or payment, in minor units: eight digits, the limit of card
/// payment providers.
pub const MAX_AMOUNT: i64 = 99_999_999;

/// Supported currencies (ISO 4217).
const SUPPORTED: [&str; 12] =
    ["AUD", "CAD", "CHF", "CZK", "DKK", "EUR", "GBP", "JPY", "NOK", "PLN", "SEK", "USD"];

/// A supported currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Parses an upper-case ISO 4217 code of a supported currency.
    pub fn parse(code: &str) -> Result<Self, Violation> {
        let unsupported = || {
            Violation::new("unsupported_currency", format!("Use one of {}.", SUPPORTED.join(", ")))
        };
        if !SUPPORTED.contains(&code) {
            return Err(unsupported());
        }
        iso_currency::Currency::from_code(code).map(Self).ok_or_else(unsupported)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl DimensionValue for Currency {
    const DIMENSION: Dimension = Dimension { name: "currency", values: &SUPPORTED };

    fn name(self) -> &'static str {
        self.code()
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

crate::describe!(
    Currency,
    one_of("An upper-case currency code of ISO 4217.", &SUPPORTED)
        .problem_codes(&["unsupported_currency"])
);

/// An amount of money: `{"amount": 5998, "currency": "USD"}` is 59.98 US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units (cents), from 0 to [`MAX_AMOUNT`].
    #[cfg_attr(feature = "api-document", schema(schema_with = amount))]
    #[serde(deserialize_with = "amount_in_range")]
    pub amount: i64,
    pub currency: Currency,
}

impl Money {
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Returns the sum, or `None` if the currencies differ or the sum exceeds [`MAX_AMOUNT`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let amount =
            self.amount.checked_add(other.amount).filter(|amount| *amount <= MAX_AMOUNT)?;
        (self.currency == other.currency).then_some(Self { amount, ..self })
    }

    /// Multiplies by `count`. Returns `None` if the product exceeds [`MAX_AMOUNT`].
    pub fn checked_mul(self, count: u32) -> Option<Self> {
        let amount =
            self.amount.checked_mul(i64::from(count)).filter(|amount| *amount <= MAX_AMOUNT)?;
        Some(Self { amount, ..self })
    }
}

/// In major units, such as `59.98 USD`.
impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.currency.0.exponent().unwrap_or(0));
        let unit = 10_i64.pow(u32::try_from(digits).unwrap_or(0));
        match digits {
            0 => write!(formatter, "{} {}", self.amount, self.currency.code()),
            _ => write!(
                formatter,
                "{}.{:0digits$} {}",
                self.amount / unit,
                self.amount % unit,
                self.currency.code()
            ),
        }
    }
}

fn amount_in_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let amount = i64::deserialize(deserializer)?;
    if (0..=MAX_AMOUNT).contains(&amount) {
        return Ok(amount);
    }
    let violation = Violation::out_of_range(format!(
        "An amount is a whole number of minor units from 0 to {MAX_AMOUNT}."
    ));
    Err(serde::de::Error::custom(violation))
}

#[cfg(feature = "api-document")]
fn amount() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    crate::api_document::number("Minor units, such as cents.", 5998)
        .within(0..=MAX_AMOUNT)
        .build_for::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(amount: i64) -> Money {
        Money::new(amount, Currency::parse("USD").expect("USD"))
    }

    #[test]
    fn sums_and_products_never_wrap_or_mix_currencies() {
        assert_eq!(usd(2999).checked_mul(2), Some(usd(5998)));
        assert_eq!(usd(MAX_AMOUNT).checked_add(usd(1)), None);
        assert_eq!(usd(MAX_AMOUNT).checked_mul(999), None);
        let euro = Money::new(1, Currency::parse("EUR").expect("EUR"));
        assert_eq!(usd(1).checked_add(euro), None);
    }

    #[test]
    fn sums_and_products_reach_the_largest_amount() {
        assert_eq!(usd(1).checked_add(usd(2)), Some(usd(3)));
        assert_eq!(usd(MAX_AMOUNT - 1).checked_add(usd(1)), Some(usd(MAX_AMOUNT)));
        assert_eq!(usd(MAX_AMOUNT).checked_mul(1), Some(usd(MAX_AMOUNT)));
    }

    #[test]
    fn amounts_out_of_range_are_not_read() {
        for amount in [0, 1, 5998, MAX_AMOUNT] {
            let stored = serde_json::json!({ "amount": amount, "currency": "USD" });
            assert_eq!(serde_json::to_value(usd(amount)).unwrap(), stored);
            assert_eq!(serde_json::from_value::<Money>(stored).unwrap(), usd(amount));
        }
        for amount in [-1, MAX_AMOUNT + 1] {
            let stored = serde_json::json!({ "amount": amount, "currency": "USD" });
            assert!(serde_json::from_value::<Money>(stored).is_err(), "{amount}");
        }
    }

    #[test]
    fn currency_is_a_dimension_with_its_code() {
        assert_eq!(DimensionValue::name(usd(1).currency), "USD");
    }

    #[test]
    fn money_is_displayed_in_major_units() {
        assert_eq!(usd(5998).to_string(), "59.98 USD");
        assert_eq!(usd(5).to_string(), "0.05 USD");
        assert_eq!(Money::new(500, Currency::parse("JPY").expect("JPY")).to_string(), "500 JPY");
    }

    #[test]
    fn unknown_and_special_currencies_are_rejected() {
        for code in ["eur", "EURO", "XXX", "XTS", "BTC", "€", ""] {
            assert!(Currency::parse(code).is_err(), "{code}");
        }
    }
}

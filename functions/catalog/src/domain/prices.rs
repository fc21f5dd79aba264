//! The explicit prices of a product: for markets, and for further currencies.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    market::MarketId,
    money::{Currency, MAX_AMOUNT, Money},
    validation::Violation,
};

use super::Price;

/// Maximum number of explicit prices of a product.
pub const MAX_PRICES: usize = 20;

/// An amount of a price in minor units: above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct PriceAmount(i64);

shared::describe!(
    PriceAmount,
    number("Minor units, such as cents. A price is above zero.", 2999).within(1..=MAX_AMOUNT)
);

impl TryFrom<i64> for PriceAmount {
    type Error = Violation;

    fn try_from(amount: i64) -> Result<Self, Violation> {
        if (1..=MAX_AMOUNT).contains(&amount) {
            return Ok(Self(amount));
        }
        Err(Violation::out_of_range(format!(
            "A price is a whole number of minor units from 1 to {MAX_AMOUNT}."
        )))
    }
}

impl From<PriceAmount> for i64 {
    fn from(amount: PriceAmount) -> Self {
        amount.0
    }
}

/// The price of one unit in one market, or in all markets with its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct ExplicitPrice {
    /// If absent, the price applies in all markets with its currency that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub market: Option<MarketId>,
    pub currency: Currency,
    pub amount: PriceAmount,
    /// The higher price that is shown next to it. No price depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub compare_at: Option<PriceAmount>,
    /// The first moment at which `compare_at` is shown. If absent, it is shown at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub compare_at_from: Option<Timestamp>,
    /// The first moment at which `compare_at` is no longer shown. If absent, it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    pub compare_at_until: Option<Timestamp>,
}

impl ExplicitPrice {
    /// Checks the rules of `compare_at`.
    ///
    /// # Errors
    /// With the field, if it is not above the amount, has dates but no value, or ends before it
    /// begins.
    pub fn check(&self) -> Result<(), (&'static str, Violation)> {
        let invalid = |field, detail| Err((field, Violation::new("invalid_compare_at", detail)));
        let dates = [
            ("compare_at_from", self.compare_at_from),
            ("compare_at_until", self.compare_at_until),
        ];
        for (field, date) in dates {
            if date.is_some_and(|date| date.milliseconds() < 0) {
                return Err((field, Violation::out_of_range("A date is not before 1970.")));
            }
        }
        let has_dates = dates.iter().any(|(_, date)| date.is_some());
        match self.compare_at {
            None if has_dates => {
                let detail = "Dates need the compare_at that they limit.";
                Err(("compare_at", Violation::new("required", detail)))
            }
            Some(compare_at) if compare_at <= self.amount => {
                invalid("compare_at", "A compare_at is above the amount.")
            }
            _ if self.compare_at_from.zip(self.compare_at_until).is_some_and(ends_too_early) => {
                invalid("compare_at_until", "A compare_at ends after it begins.")
            }
            _ => Ok(()),
        }
    }

    /// Where the price applies: the market, else the currency. Markets are in lower case and
    /// currencies in upper case, so no market has the name of a currency.
    pub fn scope(&self) -> &str {
        self.market.as_ref().map_or_else(|| self.currency.code(), MarketId::as_str)
    }

    pub fn money(&self) -> Money {
        Money::new(self.amount.0, self.currency)
    }
}

fn ends_too_early((from, until): (Timestamp, Timestamp)) -> bool {
    until <= from
}

/// The explicit prices of a product besides its `price`: one for each market, and one for each
/// currency other than that of `price`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(Vec<ExplicitPrice>);

impl Prices {
    /// # Errors
    /// If there are more than `MAX_PRICES`, two of one market, or two of one currency.
    pub fn new(prices: Vec<ExplicitPrice>, price: Price) -> Result<Self, Violation> {
        if prices.len() > MAX_PRICES {
            return Err(Violation::out_of_range(format!(
                "A product has at most {MAX_PRICES} explicit prices."
            )));
        }
        let mut scopes = BTreeSet::from([price.money().currency.code()]);
        if prices.iter().any(|price| !scopes.insert(price.scope())) {
            return Err(Violation::new(
                "duplicate_price",
                "A product has one price for each market and for each currency. That of its own currency is `price`.",
            ));
        }
        Ok(Self(prices))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &ExplicitPrice> {
        self.0.iter()
    }

    pub fn to_vec(&self) -> Vec<ExplicitPrice> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn check(price: Value) -> Result<(), (&'static str, String)> {
        let price: ExplicitPrice = from_value(price).unwrap();
        price.check().map_err(|(field, violation)| (field, violation.code))
    }

    #[test]
    fn compare_at_is_above_the_amount_and_ends_after_it_begins() {
        let price = |extra: Value| {
            let mut price = json!({ "amount": 2799, "currency": "EUR" });
            price.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            price
        };
        let (early, late) = ("2026-11-21T00:00:00Z", "2026-11-21T00:00:00.001Z");
        for good in [
            json!({}),
            json!({ "compare_at": 2800 }),
            json!({ "compare_at": MAX_AMOUNT, "compare_at_from": late }),
            json!({ "compare_at": 2800, "compare_at_until": early }),
            json!({ "compare_at": 2800, "compare_at_from": early, "compare_at_until": late }),
        ] {
            assert_eq!(check(price(good.clone())), Ok(()), "{good}");
        }
        for (bad, field, code) in [
            (json!({ "compare_at": 2799 }), "compare_at", "invalid_compare_at"),
            (json!({ "compare_at": 1 }), "compare_at", "invalid_compare_at"),
            (json!({ "compare_at_from": early }), "compare_at", "required"),
            (json!({ "compare_at_until": late }), "compare_at", "required"),
            (
                json!({ "compare_at": 2800, "compare_at_from": late, "compare_at_until": early }),
                "compare_at_until",
                "invalid_compare_at",
            ),
            (
                json!({ "compare_at": 2800, "compare_at_from": early, "compare_at_until": early }),
                "compare_at_until",
                "invalid_compare_at",
            ),
            (
                json!({ "compare_at": 2800, "compare_at_from": "1969-12-31T23:59:59Z" }),
                "compare_at_from",
                "out_of_range",
            ),
        ] {
            assert_eq!(check(price(bad.clone())), Err((field, code.to_owned())), "{bad}");
        }
    }

    #[test]
    fn each_market_and_each_currency_has_one_price() {
        let usd: Price = from_value(json!({ "amount": 2999, "currency": "USD" })).unwrap();
        let code = |prices: Value| {
            let prices = Prices::new(from_value(prices).unwrap(), usd);
            prices.err().map(|violation| violation.code)
        };
        let of = |market: Option<&str>, currency: &str| json!({ "market": market, "currency": currency, "amount": 2799 });
        assert_eq!(code(json!([])), None);
        assert_eq!(
            code(json!([of(None, "EUR"), of(Some("de"), "EUR"), of(Some("us"), "USD")])),
            None
        );
        for duplicates in [
            json!([of(None, "EUR"), of(None, "EUR")]),
            json!([of(None, "USD")]),
            json!([of(Some("de"), "EUR"), of(Some("de"), "CHF")]),
        ] {
            assert_eq!(
                code(duplicates.clone()).as_deref(),
                Some("duplicate_price"),
                "{duplicates}"
            );
        }
        let many = |count: usize| -> Value {
            (0..count).map(|number| of(Some(&format!("market-{number}")), "EUR")).collect()
        };
        assert_eq!(code(many(MAX_PRICES)), None);
        assert_eq!(code(many(MAX_PRICES + 1)).as_deref(), Some("out_of_range"));
    }

    #[test]
    fn amount_is_above_zero_and_at_most_the_largest_amount() {
        let amount = |amount: Value| from_value::<PriceAmount>(amount).map(i64::from).ok();
        assert_eq!((amount(json!(1)), amount(json!(MAX_AMOUNT))), (Some(1), Some(MAX_AMOUNT)));
        for bad in [json!(0), json!(-1), json!(MAX_AMOUNT + 1), json!(u64::MAX), json!("1")] {
            assert_eq!(amount(bad.clone()), None, "{bad}");
        }
    }
}

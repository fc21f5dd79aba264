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
    /// If it is not above the amount, has dates but no value, or ends before it begins.
    pub fn checked(self) -> Result<Self, Violation> {
        let invalid = |detail: &str| Err(Violation::new("invalid_compare_at", detail));
        let (from, until) = (self.compare_at_from, self.compare_at_until);
        if from.into_iter().chain(until).any(|date| date.milliseconds() < 0) {
            return Err(Violation::out_of_range("A date is not before 1970."));
        }
        match self.compare_at {
            None if from.is_some() || until.is_some() => {
                invalid("Dates need a compare_at that they limit.")
            }
            Some(compare_at) if compare_at <= self.amount => {
                invalid("A compare_at is above the amount.")
            }
            _ if from.zip(until).is_some_and(|(from, until)| until <= from) => {
                invalid("compare_at_until is later than compare_at_from.")
            }
            _ => Ok(self),
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

/// The explicit prices of a product besides its `price`: one for each market, and one for each
/// currency other than that of `price`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prices(Vec<ExplicitPrice>);

impl Prices {
    /// # Errors
    /// If there are more than [`MAX_PRICES`], two of one market, or two of one currency.
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

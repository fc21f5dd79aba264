//! Changes of prices, which are kept so that the lowest price of the last 30 days can be shown
//! (Directive 98/6/EC, article 6a).

use std::collections::BTreeMap;

use shared::money::Money;

use super::Details;

/// A price that a version of a product has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    /// The market, or the currency for all other markets.
    pub scope: String,
    /// `None` if there is no such price any more.
    pub price: Option<Money>,
}

impl PriceChange {
    /// The prices that differ between two versions, sorted by scope; all of them for a new product.
    /// `compare_at` is not paid: a change of it alone is not listed.
    pub fn between(before: Option<&Details>, after: &Details) -> Vec<Self> {
        let (before, after) = (before.map(by_scope).unwrap_or_default(), by_scope(after));
        let removed = before.keys().filter(|scope| !after.contains_key(*scope));
        let removed = removed.map(|scope| (*scope, None));
        let changed = after.iter().filter(|(scope, price)| before.get(*scope) != Some(price));
        let changed = changed.map(|(scope, price)| (*scope, Some(*price)));
        let changes: BTreeMap<&str, Option<Money>> = removed.chain(changed).collect();
        changes.into_iter().map(|(scope, price)| Self { scope: scope.to_owned(), price }).collect()
    }
}

/// All prices of a product, each by where it applies.
fn by_scope(details: &Details) -> BTreeMap<&str, Money> {
    let default = details.price.money();
    let explicit = details.prices.iter().map(|price| (price.scope(), price.money()));
    explicit.chain([(default.currency.code(), default)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::lamp;
    use serde_json::{Value, from_value, json};

    fn details(price: &Value, prices: &Value) -> Details {
        let mut details = lamp().details;
        details.price = from_value(price.clone()).unwrap();
        details.prices = from_value(prices.clone()).unwrap();
        details
    }

    fn changes(before: Option<&Details>, after: &Details) -> Vec<(String, Option<i64>)> {
        let of = |change: PriceChange| (change.scope, change.price.map(|price| price.amount));
        PriceChange::between(before, after).into_iter().map(of).collect()
    }

    fn scope(name: &str, amount: Option<i64>) -> (String, Option<i64>) {
        (name.to_owned(), amount)
    }

    #[test]
    fn each_price_of_a_new_product_is_a_change() {
        let usd = json!({ "amount": 2999, "currency": "USD" });
        let eur = json!({ "amount": 2799, "currency": "EUR" });
        let de = json!({ "market": "de", "amount": 2599, "currency": "EUR" });
        let created = details(&usd, &json!([eur, de]));
        assert_eq!(
            changes(None, &created),
            [scope("EUR", Some(2799)), scope("USD", Some(2999)), scope("de", Some(2599))]
        );
        assert_eq!(changes(Some(&created), &created), []);
    }

    #[test]
    fn only_prices_that_differ_are_changes() {
        let usd = json!({ "amount": 2999, "currency": "USD" });
        let eur = |amount: i64| json!({ "amount": amount, "currency": "EUR", "compare_at": 9999 });
        let de = |currency: &str| json!({ "market": "de", "amount": 2599, "currency": currency });
        let before = details(&usd, &json!([eur(2799), de("EUR")]));
        let plain = json!({ "amount": 2799, "currency": "EUR" });
        for (price, prices, expected) in [
            (&usd, json!([de("EUR"), plain]), vec![]),
            (&usd, json!([eur(2699), de("EUR")]), vec![scope("EUR", Some(2699))]),
            (&usd, json!([eur(2799), de("CHF")]), vec![scope("de", Some(2599))]),
            (&usd, json!([]), vec![scope("EUR", None), scope("de", None)]),
            // The default moves to another currency, which had an explicit price.
            (
                &json!({ "amount": 2799, "currency": "EUR" }),
                json!([de("EUR")]),
                vec![scope("USD", None)],
            ),
        ] {
            assert_eq!(changes(Some(&before), &details(price, &prices)), expected, "{prices}");
        }
    }
}

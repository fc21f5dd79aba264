//! The copy of a product: its price in a market at a time.

use shared::{market::MarketId, money::Currency};

use super::*;
use crate::domain::product::ExplicitPrice;

fn euros(market: Option<&str>, amount: i64) -> ExplicitPrice {
    ExplicitPrice {
        market: market.map(|market| MarketId::parse(market).unwrap()),
        currency: Currency::parse("EUR").unwrap(),
        amount,
        compare_at: Some(9900),
        compare_at_from: None,
        compare_at_until: None,
    }
}

/// The price and its `compare_at`, in minor units.
fn price_at(
    product: &Product,
    market: &str,
    currency: &str,
    now: Timestamp,
) -> Option<(String, Option<i64>)> {
    let currency = Currency::parse(currency).unwrap();
    let priced = product.in_market(&MarketId::parse(market).unwrap(), currency, now);
    let price = priced.unit_price?;
    Some((price.amount.to_string(), price.compare_at.map(|compare_at| compare_at.amount)))
}

#[test]
fn price_of_the_market_precedes_that_of_its_currency() {
    let prices = vec![euros(None, 2799), euros(Some("de"), 2599)];
    let product = Product { prices, ..product() };
    let price = |market, currency| price_at(&product, market, currency, START);
    assert_eq!(price("de", "EUR"), Some(("25.99 EUR".to_owned(), Some(9900))));
    assert_eq!(price("at", "EUR"), Some(("27.99 EUR".to_owned(), Some(9900))));
    assert_eq!(price("us", "USD"), Some(("29.99 USD".to_owned(), None)));
    assert_eq!(price("ch", "CHF"), None);
    // It is not sold at a price that was set for another currency of the market.
    assert_eq!(price("de", "USD"), Some(("25.99 EUR".to_owned(), Some(9900))));
}

#[test]
fn compare_at_is_shown_from_its_first_moment_until_its_last() {
    let second = Duration::from_secs(1);
    let limited = ExplicitPrice {
        compare_at_from: Some(START),
        compare_at_until: Some(START.plus(second)),
        ..euros(None, 2799)
    };
    let before = Timestamp::from_milliseconds(START.milliseconds() - 1);
    let last = START.plus(Duration::from_millis(999));
    for (now, expected) in
        [(before, None), (START, Some(9900)), (last, Some(9900)), (START.plus(second), None)]
    {
        let product = Product { prices: vec![limited.clone()], ..product() };
        let price = price_at(&product, "de", "EUR", now);
        assert_eq!(price, Some(("27.99 EUR".to_owned(), expected)), "{now}");
    }
}

#[test]
fn input_of_a_price_has_the_details_of_the_product() {
    let product = Product {
        tax_class: TaxClass::parse("reduced").unwrap(),
        weight_g: 450,
        requires_shipping: false,
        category: Some("lamps".to_owned()),
        ..product()
    };
    let market = MarketId::parse("us").unwrap();
    let priced = product.in_market(&market, Currency::parse("USD").unwrap(), START);
    assert_eq!(priced.product_id, product.product_id);
    assert_eq!((priced.tax_class.as_str(), priced.weight_g), ("reduced", 450));
    assert_eq!((priced.requires_shipping, priced.category.as_deref()), (false, Some("lamps")));
}

#[test]
fn message_of_an_earlier_release_has_the_defaults() {
    let mut message = serde_json::to_value(product()).unwrap();
    for name in ["tax_class", "weight_g", "requires_shipping", "category", "prices"] {
        message.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(serde_json::from_value::<Product>(message).unwrap(), product());
}

//! The request body that creates or replaces a product.

use serde::Deserialize;
use shared::{
    clock::Timestamp,
    market::{MarketId, TaxClass},
    money::Currency,
    problem::Problem,
};

use crate::domain::{
    Category, Description, Details, ExplicitPrice, MaxPerOrder, Price, PriceAmount, Prices,
    ProductName, Sku, Weight, requires_shipping_by_default,
};

/// The details of a product. A request always contains all of them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProductInput {
    name: ProductName,
    #[serde(default)]
    description: Option<Description>,
    category: Category,
    sku: Sku,
    /// The price in all markets with its currency that have none of their own.
    price: Price,
    /// Prices of markets and of further currencies: at most one for each.
    #[serde(default)]
    #[cfg_attr(feature = "api-document", schema(max_items = 20))]
    prices: Vec<PriceInput>,
    #[serde(default)]
    max_per_order: Option<MaxPerOrder>,
    /// Decides the tax rates. If unset, `standard`.
    #[serde(default)]
    tax_class: Option<TaxClass>,
    #[serde(default)]
    weight_g: Option<Weight>,
    #[serde(default = "requires_shipping_by_default")]
    #[cfg_attr(feature = "api-document", schema(default = true))]
    requires_shipping: bool,
}

/// The price of one unit in one market, or in all markets with its currency.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PriceInput {
    /// If unset, the price applies in all markets with its currency that have none of their own.
    #[serde(default)]
    market: Option<MarketId>,
    currency: Currency,
    amount: PriceAmount,
    /// The higher price that is shown next to it. No price depends on it.
    #[serde(default)]
    compare_at: Option<PriceAmount>,
    /// The first moment at which `compare_at` is shown. If unset, it is shown at once.
    #[serde(default)]
    compare_at_from: Option<Timestamp>,
    /// The first moment at which `compare_at` is no longer shown. If unset, it has no end.
    #[serde(default)]
    compare_at_until: Option<Timestamp>,
}

impl ProductInput {
    /// Checks the rules that concern several fields.
    ///
    /// # Errors
    /// 422 for a price with an invalid `compare_at`, and for two prices of one market or currency.
    pub fn details(self) -> Result<Details, Problem> {
        let prices = self.prices.into_iter().enumerate().map(|(index, input)| {
            let price = ExplicitPrice::from(input);
            match price.check() {
                Ok(()) => Ok(price),
                Err((field, violation)) => {
                    Err(Problem::invalid_field(&format!("/prices/{index}/{field}"), &violation))
                }
            }
        });
        let prices = Prices::new(prices.collect::<Result<_, _>>()?, self.price)
            .map_err(|violation| Problem::invalid_field("/prices", &violation))?;
        Ok(Details {
            name: self.name,
            description: self.description,
            category: self.category,
            sku: self.sku,
            price: self.price,
            max_per_order: self.max_per_order,
            tax_class: self.tax_class.unwrap_or_default(),
            weight_g: self.weight_g.unwrap_or_default(),
            requires_shipping: self.requires_shipping,
            prices,
        })
    }
}

impl From<PriceInput> for ExplicitPrice {
    fn from(input: PriceInput) -> Self {
        let PriceInput { market, currency, amount, compare_at, compare_at_from, compare_at_until } =
            input;
        Self { market, currency, amount, compare_at, compare_at_from, compare_at_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};
    use shared::ids::fingerprint;

    fn details(request: Value) -> Result<Details, serde_json::Error> {
        from_value::<ProductInput>(request).map(|input| input.details().unwrap())
    }

    #[test]
    fn equivalent_requests_have_the_same_fingerprint() {
        let price = json!({ "amount": 2999, "currency": "USD" });
        let plain = details(
            json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": price }),
        )
        .unwrap();
        let reordered = json!({ "sku": "LAMP-01", "price": price, "description": null, "name": " Desk lamp ", "category": "lamps" });
        assert_eq!(fingerprint(&plain), fingerprint(&details(reordered).unwrap()));
        let mut limited = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": price, "max_per_order": null });
        assert_eq!(
            fingerprint(&plain),
            fingerprint(&details(limited.clone()).unwrap()),
            "null is the same as absent"
        );
        limited["max_per_order"] = json!(2);
        assert_ne!(fingerprint(&plain), fingerprint(&details(limited).unwrap()));
        let other = details(
            json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-02", "price": price }),
        )
        .unwrap();
        assert_ne!(fingerprint(&plain), fingerprint(&other));
    }

    #[test]
    fn defaults_have_the_fingerprint_of_absent_fields() {
        let plain = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": { "amount": 2999, "currency": "USD" } });
        let of = |name: &str, value: Value| {
            let mut request = plain.clone();
            request[name] = value;
            fingerprint(&details(request).unwrap())
        };
        let expected = fingerprint(&details(plain.clone()).unwrap());
        for (name, default, other) in [
            ("tax_class", json!("standard"), json!("reduced")),
            ("weight_g", json!(0), json!(1)),
            ("requires_shipping", json!(true), json!(false)),
            ("prices", json!([]), json!([{ "amount": 2799, "currency": "EUR" }])),
        ] {
            assert_eq!(of(name, default), expected, "{name}");
            assert_ne!(of(name, other), expected, "{name}");
        }
        assert_eq!(of("tax_class", Value::Null), expected);
        assert_eq!(of("weight_g", Value::Null), expected);
    }

    #[test]
    fn fields_that_clients_must_not_set_are_rejected() {
        let price = json!({ "amount": 2999, "currency": "USD" });
        for field in ["id", "version", "status", "active", "created_at"] {
            let mut request = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": price });
            request[field] = json!("x");
            assert!(
                details(request).unwrap_err().to_string().starts_with("unknown field"),
                "{field}"
            );
        }
    }
}

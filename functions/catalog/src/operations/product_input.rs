//! The request body that creates or replaces a product.

use serde::Deserialize;

use crate::domain::{Category, Description, Details, MaxPerOrder, Price, ProductName, Sku};

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
    price: Price,
    #[serde(default)]
    max_per_order: Option<MaxPerOrder>,
}

impl From<ProductInput> for Details {
    fn from(wanted: ProductInput) -> Self {
        let ProductInput { name, description, category, sku, price, max_per_order } = wanted;
        Self { name, description, category, sku, price, max_per_order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};
    use shared::ids::fingerprint;

    fn details(request: Value) -> Result<Details, serde_json::Error> {
        from_value::<ProductInput>(request).map(Details::from)
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

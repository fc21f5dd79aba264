//! `POST /products`: takes a product into the catalogue.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    ids::fingerprint,
    problem::Problem,
};

use super::ProductView;
use crate::{
    Catalog,
    domain::{Category, Description, Details, Price, Product, ProductName, Sku},
    store::Created,
};

/// What the shop says about a product.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct CreateProduct {
    name: ProductName,
    #[serde(default)]
    description: Option<Description>,
    category: Category,
    sku: Sku,
    price: Price,
}

/// Runs the function.
///
/// # Errors
/// When the Lambda runtime's own interface fails.
pub fn main() -> Result<(), lambda_http::Error> {
    http::run(Catalog::from_env, create_product)
}

/// Answers `201` with the product; a repeated `Idempotency-Key` answers the product as it was created, whatever has become of it since.
///
/// # Errors
/// 401 and 403 for everybody but admins, 400 and 422 for a request that is none, 409 `sku_taken`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/products",
    params(http::IdempotencyKey),
    request_body = CreateProduct,
    responses((status = 201, description = "The product.", body = ProductView, headers(("ETag")))),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"])), ("x-problems" = json!(["sku_taken"]))),
))]
pub async fn create_product(catalog: Arc<Catalog>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let key = request.idempotency_key()?;
    let details: Details = request.json::<CreateProduct>()?.into();

    let id = key.derive_id(&admin, "create-product");
    let fingerprint = fingerprint(&details);
    let product = Product::create(id, details, fingerprint, catalog.clock.now(), request.trace().clone());

    let location = request.location(&format!("/products/{id}"));
    let answer = |product: &Product| http::created(&location, &ProductView::from(product)).etag(product.version);
    match catalog.store.create(&product).await? {
        Created::New => Ok(answer(&product)),
        Created::Before(before) => Ok(http::replayed(answer(&before.as_created()))),
    }
}

impl From<CreateProduct> for Details {
    fn from(wanted: CreateProduct) -> Self {
        let CreateProduct { name, description, category, sku, price } = wanted;
        Self { name, description, category, sku, price }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn details(request: Value) -> Result<Details, serde_json::Error> {
        from_value::<CreateProduct>(request).map(Details::from)
    }

    #[test]
    fn requests_that_say_the_same_have_one_fingerprint() {
        let price = json!({ "amount": 2999, "currency": "USD" });
        let plain = details(json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": price })).unwrap();
        let odd = json!({ "sku": "LAMP-01", "price": price, "description": null, "name": " Desk lamp ", "category": "lamps" });
        assert_eq!(fingerprint(&plain), fingerprint(&details(odd).unwrap()));
        let other = details(json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-02", "price": price })).unwrap();
        assert_ne!(fingerprint(&plain), fingerprint(&other));
    }

    #[test]
    fn what_the_shop_does_not_decide_is_refused() {
        let price = json!({ "amount": 2999, "currency": "USD" });
        for field in ["id", "version", "status", "active", "created_at"] {
            let mut request = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": price });
            request[field] = json!("x");
            assert!(details(request).unwrap_err().to_string().starts_with("unknown field"), "{field}");
        }
    }
}

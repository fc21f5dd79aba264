//! Mails to the operator about low stock.

use serde::Deserialize;
use shared::ids::ProductId;

use super::{RenderedEmail, Shop};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    LowStock,
}

impl Template {
    pub const ALL: [Self; 1] = [Self::LowStock];

    /// Name of the template in messages and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowStock => "low_stock",
        }
    }

    /// Contains no user input.
    pub fn subject(self) -> &'static str {
        match self {
            Self::LowStock => "A product is running out",
        }
    }
}

/// The data of a stock mail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Context {
    pub product_id: ProductId,
    /// The SKU of the product, if known.
    pub sku: Option<String>,
    /// Quantity that can still be sold.
    pub available: i64,
    /// The product's low-stock threshold.
    pub threshold: i64,
}

/// Renders `template` for a recipient called `name`.
///
/// # Errors
/// If a template fails, which ours cannot.
pub fn render(
    template: Template,
    name: &str,
    context: &Context,
    shop: Shop<'_>,
) -> Result<RenderedEmail, askama::Error> {
    let email = EmailTemplate {
        subject: template.subject(),
        shop: shop.name,
        name,
        product_id: context.product_id,
        product_url: format!("{}/products/{}", shop.url, context.product_id),
        sku: context.sku.as_deref(),
        available: context.available,
        threshold: context.threshold,
    };
    let (html, text, body) = match template {
        Template::LowStock => low_stock::render(&email),
    }?;
    Ok(RenderedEmail { template: template.name(), subject: template.subject(), html, text, body })
}

/// The values of the templates.
struct EmailTemplate<'a> {
    subject: &'a str,
    shop: &'a str,
    name: &'a str,
    product_id: ProductId,
    product_url: String,
    sku: Option<&'a str>,
    available: i64,
    threshold: i64,
}

templates! {
    low_stock: "low_stock.html", "low_stock.txt", body(path = "low_stock.txt", block = "content");
}

//! Mails to the operator about low stock.

use serde::Deserialize;
use shared::ids::ProductId;

use super::{RenderedEmail, Shop};

/// What a mail about stock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Low stock of a product.
    LowStock,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::LowStock];

    /// The name that messages and records use.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowStock => "low_stock",
        }
    }

    /// The subject. It contains no external text.
    pub fn subject(self) -> &'static str {
        match self {
            Self::LowStock => "A product is running out",
        }
    }
}

/// What a mail about stock speaks of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Context {
    pub product_id: ProductId,
    /// What people call it.
    pub sku: Option<String>,
    /// How many can still be sold.
    pub available: i64,
    /// How many there should be at least.
    pub threshold: i64,
}

/// The mail from `template` to a recipient called `name`.
///
/// # Errors
/// When a template fails: none of ours can.
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

/// What the templates see.
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

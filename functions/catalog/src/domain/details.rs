//! What the shop says about a product, every word of it checked when it comes in.

use serde::{Deserialize, Serialize};
use shared::{
    money::Money,
    validation::{Violation, readable_text},
};

const MAX_NAME: usize = 120;
const MAX_DESCRIPTION: usize = 2000;
const MAX_CATEGORY: usize = 50;
const MAX_SKU: usize = 64;
/// The most pieces of one product that any order takes.
const MAX_PIECES: u32 = 999;

/// Declares a text that was checked when it came in: `parse` is the only way to one.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Violation;

            fn try_from(text: String) -> Result<Self, Violation> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

checked_text!(
    /// What a product is called: one line, without blanks around it.
    ProductName
);
checked_text!(
    /// What there is to say about a product, in one or more lines.
    Description
);
checked_text!(
    /// The shelf that a product stands on: `desk-lamps`.
    Category
);
checked_text!(
    /// The shop's own number of a product, which no other product has: `LAMP-01`.
    Sku
);

shared::describe!(
    ProductName,
    text("What a product is called: one line of visible characters, without blanks around it.", "Desk lamp")
        .length(1..=MAX_NAME)
        .refused_as(&["blank", "too_long", "invalid_characters"])
);
shared::describe!(
    Description,
    text("What there is to say about a product, in one or more lines.", "Bends in three places.\nBulb included.")
        .length(1..=MAX_DESCRIPTION)
        .refused_as(&["blank", "too_long", "invalid_characters"])
);
shared::describe!(
    Category,
    text("The shelf that a product stands on: lower-case letters and digits, with single hyphens between words.", "desk-lamps")
        .length(1..=MAX_CATEGORY)
        .pattern("^[a-z0-9]+(-[a-z0-9]+)*$")
        .refused_as(&["invalid_category"])
);
shared::describe!(
    Sku,
    text("The shop's own number of a product, which no other product has.", "LAMP-01")
        .length(1..=MAX_SKU)
        .pattern("^[A-Z0-9][A-Z0-9._-]*$")
        .refused_as(&["invalid_sku"])
);

impl ProductName {
    /// The name that `text` is.
    ///
    /// # Errors
    /// When it is blank, too long or holds characters that hide something.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        readable_text(text, MAX_NAME, false)?;
        Ok(Self(text.trim().to_owned()))
    }
}

impl Description {
    /// The description that `text` is.
    ///
    /// # Errors
    /// When it is blank, too long or holds characters that hide something.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        readable_text(text, MAX_DESCRIPTION, true)?;
        Ok(Self(text.trim().to_owned()))
    }
}

impl Category {
    /// The category that `text` is.
    ///
    /// # Errors
    /// When it is anything but lower-case letters and digits in words that single hyphens join.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.len() <= MAX_CATEGORY && text.split('-').all(is_word) {
            return Ok(Self(text.to_owned()));
        }
        let detail = format!("A category has at most {MAX_CATEGORY} lower-case letters and digits, with single hyphens between words.");
        Err(Violation::new("invalid_category", detail))
    }
}

impl Sku {
    /// The SKU that `text` is.
    ///
    /// # Errors
    /// When it is anything but upper-case letters and digits, with dots, hyphens and underscores after the first.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let is_alphanumeric = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        let begins_well = text.bytes().next().is_some_and(is_alphanumeric);
        if begins_well && text.len() <= MAX_SKU && text.bytes().all(|b| is_alphanumeric(b) || matches!(b, b'.' | b'-' | b'_')) {
            return Ok(Self(text.to_owned()));
        }
        let detail =
            format!("A SKU has at most {MAX_SKU} upper-case letters and digits, with dots, hyphens and underscores after the first.");
        Err(Violation::new("invalid_sku", detail))
    }
}

/// What one piece costs: never nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct Price(Money);

impl Price {
    /// The amount and its currency.
    pub fn money(self) -> Money {
        self.0
    }
}

#[cfg(feature = "api-document")]
impl utoipa::PartialSchema for Price {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Ref, Type};

        let amount = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let above_zero = ObjectBuilder::new().property("amount", amount);
        AllOfBuilder::new()
            .item(Ref::from_schema_name("Money"))
            .item(above_zero)
            .description(Some("What one piece costs: never nothing."))
            .into()
    }
}

#[cfg(feature = "api-document")]
impl utoipa::ToSchema for Price {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        schemas.push(("Money".to_owned(), <Money as utoipa::PartialSchema>::schema()));
        <Money as utoipa::ToSchema>::schemas(schemas);
    }
}

impl TryFrom<Money> for Price {
    type Error = Violation;

    fn try_from(money: Money) -> Result<Self, Violation> {
        if money.amount > 0 { Ok(Self(money)) } else { Err(Violation::out_of_range("A price is above zero.")) }
    }
}

impl From<Price> for Money {
    fn from(price: Price) -> Self {
        price.0
    }
}

/// The most pieces of a product that one order may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxPerOrder(u32);

shared::describe!(
    MaxPerOrder,
    number("The most pieces of it that one order may have. A product that does not say has the shop's own limit.", 10)
        .within(1..=i64::from(MAX_PIECES))
);

impl MaxPerOrder {
    /// The number.
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for MaxPerOrder {
    type Error = Violation;

    fn try_from(count: u32) -> Result<Self, Violation> {
        if (1..=MAX_PIECES).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!("An order has 1 to {MAX_PIECES} pieces of a product.")))
    }
}

impl From<MaxPerOrder> for u32 {
    fn from(most: MaxPerOrder) -> Self {
        most.0
    }
}

/// What the shop says about a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What it is called.
    pub name: ProductName,
    /// What there is to say about it. Left out where there is nothing: two requests that say the same then have one fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The shelf it stands on.
    pub category: Category,
    /// The shop's own number for it.
    pub sku: Sku,
    /// What one piece costs.
    pub price: Price,
    /// The most pieces of it that one order may have. `None`: the shop's own limit, which a parameter of the deployment sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_order: Option<MaxPerOrder>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn skus_are_upper_case_and_categories_are_slugs() {
        for good in ["A", "LAMP-01", "0.5_L", &"X".repeat(64)] {
            assert!(Sku::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "lamp", "-A", "A B", "A#B", "Ä", "A\n", &"X".repeat(65)] {
            assert_eq!(Sku::parse(bad).unwrap_err().code, "invalid_sku", "{bad}");
        }
        for good in ["lamps", "desk-lamps", "3d", &"x".repeat(50)] {
            assert!(Category::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Lamps", "-lamps", "lamps-", "desk--lamps", "lamps#1", "desk lamps", "é", &"x".repeat(51)] {
            assert_eq!(Category::parse(bad).unwrap_err().code, "invalid_category", "{bad}");
        }
    }

    #[test]
    fn names_lose_the_blanks_around_them() {
        assert_eq!(ProductName::parse("  Desk lamp ").unwrap().as_str(), "Desk lamp");
        assert_eq!(ProductName::parse("two\nlines").unwrap_err().code, "invalid_characters");
        assert_eq!(Description::parse("two\nlines").unwrap().as_str(), "two\nlines");
    }

    #[test]
    fn nothing_is_given_away() {
        let price = |amount: i64| from_value::<Price>(json!({ "amount": amount, "currency": "USD" }));
        assert!(price(0).is_err());
        assert!(price(-1).is_err());
        assert_eq!(price(1).unwrap().money().amount, 1);
    }

    #[test]
    fn an_order_has_one_to_999_pieces_of_a_product() {
        let most = |count: Value| from_value::<MaxPerOrder>(count).map(MaxPerOrder::count).ok();
        assert_eq!((most(json!(1)), most(json!(999))), (Some(1), Some(999)));
        for bad in [json!(0), json!(1000), json!(-1), json!(1.0), json!("10"), json!(4_294_967_296_u64)] {
            assert_eq!(most(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn details_without_a_limit_stay_without_one() {
        let before = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": { "amount": 2999, "currency": "USD" } });
        let details: Details = from_value(before.clone()).unwrap();
        assert_eq!(details.max_per_order, None);
        assert_eq!(serde_json::to_value(&details).unwrap(), before, "a repeated request has the fingerprint that it had");
    }
}

//! The details of a product, validated when they are parsed.

use serde::{Deserialize, Serialize};
use shared::{checked_text, market::TaxClass, money::Money, text, validation::Violation};
use unicode_normalization::UnicodeNormalization;

use super::Prices;

const MAX_NAME: usize = 120;
const MAX_DESCRIPTION: usize = 2000;
const MAX_CATEGORY: usize = 50;
const MAX_SKU: usize = 64;
/// Maximum quantity of one product in an order.
const MAX_QUANTITY: u32 = 999;
/// Maximum weight of one piece in grams: a tonne.
const MAX_WEIGHT_G: u32 = 1_000_000;

checked_text!(
    /// The name of a product: one line, without surrounding white space.
    ProductName: single_line(MAX_NAME), "The name of a product: one line of visible characters, without surrounding white space.", "Desk lamp"
);
checked_text!(
    /// The description of a product: one or more lines.
    Description: multi_line(MAX_DESCRIPTION),
    "The description of a product: one or more lines.",
    "Bends in three places.\nBulb included."
);
checked_text!(
    /// The category of a product: `desk-lamps`.
    Category: code(
        1..=MAX_CATEGORY,
        "^[a-z0-9]+(-[a-z0-9]+)*$",
        is_slug,
        Violation::new(
            "invalid_category",
            format!("A category has at most {MAX_CATEGORY} lower-case letters and digits, with single hyphens between words."),
        ),
    ),
    "A category: lower-case letters and digits, with single hyphens between words.",
    "desk-lamps"
);
checked_text!(
    /// The shop's SKU of a product, as entered: `LAMP-01`. Unique without regard to case.
    Sku: by(
        sku,
        text("The shop's SKU of a product: visible characters. Unique without regard to case.", "LAMP-01")
            .length(1..=MAX_SKU)
            .pattern(&patterns::trimmed(&format!("{}*", patterns::none_of(is_cell_break))))
            .problem_codes(&["invalid_sku"])
    )
);

fn is_slug(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split('-').all(is_word)
}

/// A line break or tab inside a SKU shows that two table cells were pasted.
fn is_cell_break(c: char) -> bool {
    c.is_control() || text::is_dropped(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Parses 1 to 64 visible characters in one line, with spaces between them. Surrounding white space
/// is removed.
fn sku(text: &str) -> Result<String, Violation> {
    let text = text::trimmed(text);
    let is_one_cell = !text.contains(is_cell_break);
    let sku = text::single_line(text, MAX_SKU).ok().filter(|_| is_one_cell);
    sku.ok_or_else(|| {
        Violation::new(
            "invalid_sku",
            format!("A SKU has 1 to {MAX_SKU} visible characters, in one line."),
        )
    })
}

impl Sku {
    /// The text that is compared for uniqueness: equal for SKUs that differ only in case.
    pub fn unique_text(&self) -> String {
        // Lower case first: it maps ẞ to ß, which upper case maps to SS.
        self.0.nfc().collect::<String>().to_lowercase().to_uppercase().nfc().collect()
    }
}

/// The price of one unit: above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct Price(Money);

impl Price {
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
            .description(Some("The price of one unit: above zero."))
            .into()
    }
}

#[cfg(feature = "api-document")]
impl utoipa::ToSchema for Price {
    fn schemas(
        schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
    ) {
        schemas.push(("Money".to_owned(), <Money as utoipa::PartialSchema>::schema()));
        <Money as utoipa::ToSchema>::schemas(schemas);
    }
}

impl TryFrom<Money> for Price {
    type Error = Violation;

    fn try_from(money: Money) -> Result<Self, Violation> {
        if money.amount > 0 {
            Ok(Self(money))
        } else {
            Err(Violation::out_of_range("A price is above zero."))
        }
    }
}

impl From<Price> for Money {
    fn from(price: Price) -> Self {
        price.0
    }
}

/// Maximum quantity of a product per order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxPerOrder(u32);

shared::describe!(
    MaxPerOrder,
    number("Maximum quantity of the product per order. If unset, the shop's limit applies.", 10)
        .within(1..=i64::from(MAX_QUANTITY))
);

impl MaxPerOrder {
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for MaxPerOrder {
    type Error = Violation;

    fn try_from(count: u32) -> Result<Self, Violation> {
        if (1..=MAX_QUANTITY).contains(&count) {
            return Ok(Self(count));
        }
        Err(Violation::out_of_range(format!(
            "An order has 1 to {MAX_QUANTITY} pieces of a product."
        )))
    }
}

impl From<MaxPerOrder> for u32 {
    fn from(most: MaxPerOrder) -> Self {
        most.0
    }
}

/// The weight of one piece in grams; 0 if it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Weight(u32);

shared::describe!(
    Weight,
    number("The weight of one piece in grams; 0 if it is unknown.", 1200)
        .within(0..=i64::from(MAX_WEIGHT_G))
);

impl Weight {
    pub const fn grams(self) -> u32 {
        self.0
    }

    fn is_unknown(&self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<u32> for Weight {
    type Error = Violation;

    fn try_from(grams: u32) -> Result<Self, Violation> {
        if grams <= MAX_WEIGHT_G {
            return Ok(Self(grams));
        }
        Err(Violation::out_of_range(format!(
            "A weight is a whole number of grams from 0 to {MAX_WEIGHT_G}."
        )))
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

/// The details of a product that admins set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub name: ProductName,
    /// Omitted if absent, so that equivalent requests have the same fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    pub category: Category,
    pub sku: Sku,
    pub price: Price,
    /// `None`: the shop's limit applies, the template parameter `MaxPerOrder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_order: Option<MaxPerOrder>,
    #[serde(default, skip_serializing_if = "is_standard")]
    pub tax_class: TaxClass,
    #[serde(default, skip_serializing_if = "Weight::is_unknown")]
    pub weight_g: Weight,
    #[serde(default = "requires_shipping_by_default", skip_serializing_if = "is_required")]
    pub requires_shipping: bool,
    /// Prices of markets and of further currencies. `price` is that of its own currency.
    #[serde(default, skip_serializing_if = "Prices::is_empty")]
    pub prices: Prices,
}

fn is_standard(tax_class: &TaxClass) -> bool {
    *tax_class == TaxClass::default()
}

/// The default: a product is shipped unless the request states otherwise.
pub const fn requires_shipping_by_default() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_required(requires_shipping: &bool) -> bool {
    *requires_shipping
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn sku_keeps_its_visible_characters() {
        for good in [
            "A",
            "LAMP-01",
            "0.5_L",
            "lamp",
            "Lamp 01",
            "a/b\\c",
            "-A",
            "A#B",
            "\u{c4}-1",
            "\u{6f22}\u{5b57}",
            "4006381333931",
            "4242424242424242",
            "<b>",
            "1 000 \u{b5}F",
            &"X".repeat(64),
        ] {
            assert_eq!(Sku::parse(good).map(String::from).as_deref(), Ok(good), "{good}");
        }
        assert_eq!(Sku::parse("\u{feff} LAMP-01\r\n").map(String::from).as_deref(), Ok("LAMP-01"));
        for bad in [
            "",
            " ",
            "\t",
            "\u{3164}",
            "\u{200b}",
            "A\nB",
            "A\tB",
            "A\u{2028}B",
            "A\u{0}",
            "A\u{200b}B",
            "A\u{ad}B",
            "A\u{202e}B",
            "A \u{200d}B",
            &"X".repeat(65),
        ] {
            assert_eq!(
                Sku::parse(bad).unwrap_err().code,
                "invalid_sku",
                "{}",
                bad.escape_unicode()
            );
        }
    }

    #[test]
    fn skus_are_unique_without_regard_to_case() {
        let unique = |text: &str| Sku::parse(text).unwrap().unique_text();
        for (one, other) in [
            ("lamp-01", "LAMP-01"),
            ("Lamp 01", "lAMP 01"),
            ("\u{e4}-1", "\u{c4}-1"),
            ("a\u{308}-1", "\u{c4}-1"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{df}e", "STRA\u{1e9e}E"),
            ("i\u{307}", "\u{130}"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
        ] {
            assert_eq!(unique(one), unique(other), "{one} {other}");
        }
        for (one, other) in [("A-1", "A1"), ("A 1", "A1"), ("A1", "\u{c4}1"), ("A/1", "A\\1")] {
            assert_ne!(unique(one), unique(other), "{one} {other}");
        }
    }

    #[test]
    fn categories_are_slugs() {
        for good in ["lamps", "desk-lamps", "3d", &"x".repeat(50)] {
            assert!(Category::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Lamps",
            "-lamps",
            "lamps-",
            "desk--lamps",
            "lamps#1",
            "desk lamps",
            "é",
            &"x".repeat(51),
        ] {
            assert_eq!(Category::parse(bad).unwrap_err().code, "invalid_category", "{bad}");
        }
    }

    #[test]
    fn names_and_descriptions_are_normalized() {
        assert_eq!(ProductName::parse("  Desk lamp ").unwrap().as_str(), "Desk lamp");
        assert_eq!(ProductName::parse("two\nlines").unwrap().as_str(), "two lines");
        assert_eq!(Description::parse("two\nlines").unwrap().as_str(), "two\nlines");
        assert_eq!(
            Description::parse("\u{feff}pasted\r\nlines\rof\ta table\u{2028}").unwrap().as_str(),
            "pasted\nlines\nof a table"
        );
        assert_eq!(ProductName::parse("\u{3164}").unwrap_err().code, "blank");
        assert_eq!(Description::parse("a\u{202e}b").unwrap_err().code, "invalid_characters");
    }

    #[test]
    fn price_must_be_above_zero() {
        let price =
            |amount: i64| from_value::<Price>(json!({ "amount": amount, "currency": "USD" }));
        assert!(price(0).is_err());
        assert!(price(-1).is_err());
        assert_eq!(price(1).unwrap().money().amount, 1);
    }

    #[test]
    fn max_per_order_is_one_to_999() {
        let most = |count: Value| from_value::<MaxPerOrder>(count).map(MaxPerOrder::count).ok();
        assert_eq!((most(json!(1)), most(json!(999))), (Some(1), Some(999)));
        assert_eq!(serde_json::to_value(MaxPerOrder(12)).unwrap(), json!(12));
        for bad in
            [json!(0), json!(1000), json!(-1), json!(1.0), json!("10"), json!(4_294_967_296_u64)]
        {
            assert_eq!(most(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn weight_is_at_most_a_tonne() {
        let weight = |grams: Value| from_value::<Weight>(grams).map(Weight::grams).ok();
        assert_eq!((weight(json!(0)), weight(json!(1_000_000))), (Some(0), Some(1_000_000)));
        for bad in [json!(1_000_001), json!(-1), json!(1.5), json!("1"), json!(4_294_967_296_u64)] {
            assert_eq!(weight(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn details_without_a_limit_stay_without_one() {
        let before = json!({ "name": "Desk lamp", "category": "lamps", "sku": "LAMP-01", "price": { "amount": 2999, "currency": "USD" } });
        let details: Details = from_value(before.clone()).unwrap();
        assert_eq!(details.max_per_order, None);
        assert_eq!((details.tax_class.as_str(), details.weight_g.grams()), ("standard", 0));
        assert!(details.requires_shipping && details.prices.is_empty());
        assert_eq!(
            serde_json::to_value(&details).unwrap(),
            before,
            "a repeated request has the fingerprint that it had"
        );
    }
}

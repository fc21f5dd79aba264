//! The values that rules consist of, validated when they are parsed.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use shared::{
    address::CountryCode,
    checked_text,
    clock::Timestamp,
    ids::ProductId,
    market::MarketId,
    money::{MAX_AMOUNT, Money},
    validation::Violation,
};

/// Maximum number of countries of a market. A change of all of them is one transaction, of which
/// DynamoDB accepts 100 writes.
pub const MAX_COUNTRIES: usize = 40;
/// Maximum number of markets of a promotion. A promotion is written to all of them in one
/// transaction.
pub const MAX_MARKETS_PER_PROMOTION: usize = 10;

const MAX_NAME: usize = 100;
const MAX_CATEGORY: usize = 50;
const MAX_PRODUCTS: usize = 50;
const MAX_CATEGORIES: usize = 20;
const MAX_CURRENCIES: usize = 12;
const MAX_RATES: usize = 5;

checked_text!(
    /// The name of a market, for admins.
    MarketName: single_line(MAX_NAME), "The name of a market.", "Germany"
);
checked_text!(
    /// The name of a shipping method, as buyers see it.
    ShippingMethodName: single_line(MAX_NAME), "The name of a shipping method, as buyers see it.", "Standard parcel"
);
checked_text!(
    /// The name of a promotion, as buyers see it.
    PromotionName: single_line(MAX_NAME), "The name of a promotion, as buyers see it.", "Winter sale"
);
checked_text!(
    /// The name of a tax rate, as invoices print it.
    RateName: single_line(MAX_NAME), "The name of a tax rate, as invoices print it.", "VAT"
);
checked_text!(
    /// A category of products that a promotion covers.
    CoveredCategory: code(
        1..=MAX_CATEGORY,
        "^[a-z0-9]+(-[a-z0-9]+)*$",
        is_category,
        Violation::new(
            "invalid_category",
            format!("A category has at most {MAX_CATEGORY} lower-case letters and digits, with single hyphens between words."),
        ),
    ),
    "A category of products: lower-case letters and digits, with single hyphens between words.",
    "desk-lamps"
);
checked_text!(
    /// A subdivision of a country.
    RegionCode: code(
        1..=3,
        "^[A-Z0-9]{1,3}$",
        is_region,
        Violation::new(
            "invalid_region",
            "A region is a code of ISO 3166-2 without the country, in upper case: CA for US-CA.",
        ),
    ),
    "A subdivision of a country: its code of ISO 3166-2 without the country.",
    "CA"
);

fn is_category(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split('-').all(is_word)
}

fn is_region(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Declares an integer within limits.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident: $range:expr, $about:literal, $example:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            pub const fn value(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Violation;

            fn try_from(number: i64) -> Result<Self, Violation> {
                let range = $range;
                if range.contains(&number) {
                    return Ok(Self(number));
                }
                Err(Violation::out_of_range(format!(
                    "Send a whole number from {} to {}.",
                    range.start(),
                    range.end()
                )))
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        shared::describe!($name, number($about, $example).within($range));
    };
}

bounded!(
    /// An amount in minor units of the market's currency.
    MinorUnits: 0..=MAX_AMOUNT, "An amount in minor units of the market's currency.", 50
);
bounded!(
    /// A weight in grams.
    Grams: 1..=1_000_000_000, "A weight in grams.", 31_500
);
bounded!(
    /// A percentage in basis points: 2500 is 25 %.
    BasisPoints: 1..=10_000, "A percentage in basis points: 2500 is 25 %.", 2500
);
bounded!(
    /// A rate in parts per million: 190000 is 19 %.
    PartsPerMillion: 0..=1_000_000, "A rate in parts per million: 190000 is 19 %.", 190_000
);
bounded!(
    /// The order in which promotions are tried.
    Priority: -1000..=1000, "Promotions are tried in ascending order.", 10
);

/// The lowest priority number without a preference.
impl Default for Priority {
    fn default() -> Self {
        Self(0)
    }
}

#[expect(clippy::derivable_impls, reason = "the macro declares numbers without a default too")]
impl Default for MinorUnits {
    fn default() -> Self {
        Self(0)
    }
}

/// Declares a list of distinct items with a limit. It is sorted, so that equal sets are equal.
macro_rules! list_of {
    ($(#[$doc:meta])* $name:ident: $item:ty, $range:expr, $key:expr, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $name(Vec<$item>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(Vec::<$item>::deserialize(deserializer)?).map_err(Error::custom)
            }
        }

        impl $name {
            pub fn iter(&self) -> std::slice::Iter<'_, $item> {
                self.0.iter()
            }

            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl TryFrom<Vec<$item>> for $name {
            type Error = Violation;

            fn try_from(mut items: Vec<$item>) -> Result<Self, Violation> {
                let (range, key): (std::ops::RangeInclusive<usize>, fn(&$item) -> String) =
                    ($range, $key);
                if !range.contains(&items.len()) {
                    return Err(Violation::out_of_range(format!(
                        "Send {} to {} items.",
                        range.start(),
                        range.end()
                    )));
                }
                items.sort_by_key(key);
                if items.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
                    return Err(Violation::new("duplicate_value", "Send each value once."));
                }
                Ok(Self(items))
            }
        }

        #[cfg(feature = "api-document")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::{extensions::Extensions, schema::{ArrayBuilder, Ref}};

                let range: std::ops::RangeInclusive<usize> = $range;
                let codes = Extensions::builder().add("x-problems", vec!["duplicate_value"]);
                ArrayBuilder::new()
                    .items(Ref::from_schema_name(<$item as utoipa::ToSchema>::name()))
                    .description(Some($about))
                    .min_items(Some(*range.start()))
                    .max_items(Some(*range.end()))
                    .extensions(Some(codes.build()))
                    .into()
            }
        }

        #[cfg(feature = "api-document")]
        impl utoipa::ToSchema for $name {
            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
            ) {
                let name = <$item as utoipa::ToSchema>::name().into_owned();
                schemas.push((name, <$item as utoipa::PartialSchema>::schema()));
                <$item as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}

list_of!(
    /// The countries that a market delivers to.
    Countries: CountryCode, 1..=MAX_COUNTRIES, |country| country.to_string(),
    "The countries that the market delivers to. A country belongs to at most one market."
);
list_of!(
    /// The markets of a promotion.
    PromotionMarkets: MarketId, 1..=MAX_MARKETS_PER_PROMOTION, |market| market.to_string(),
    "The markets in which the promotion applies."
);
list_of!(
    /// The products that a promotion covers.
    CoveredProducts: ProductId, 0..=MAX_PRODUCTS, |product| product.to_string(),
    "Products that the promotion covers, in addition to its categories. If both lists are empty, it covers all products."
);
list_of!(
    /// The categories that a promotion covers.
    CoveredCategories: CoveredCategory, 0..=MAX_CATEGORIES, |category| category.to_string(),
    "Categories that the promotion covers, in addition to its products."
);
list_of!(
    /// One amount per currency.
    Amounts: Money, 0..=MAX_CURRENCIES, |money| money.currency.code().to_owned(),
    "One amount for the currency of each market."
);
list_of!(
    /// The rates of one tax rule.
    Rates: Rate, 0..=MAX_RATES, |rate| rate.name.to_string(),
    "The rates that are charged together. Only `standard` and `reduced` have rates above 0."
);

impl Countries {
    pub fn contains(&self, country: &CountryCode) -> bool {
        self.0.contains(country)
    }
}

impl PromotionMarkets {
    pub fn contains(&self, market: &MarketId) -> bool {
        self.0.contains(market)
    }
}

impl Amounts {
    /// The amount of this currency.
    pub fn of(&self, currency: shared::money::Currency) -> Option<i64> {
        let of_currency = self.0.iter().find(|money| money.currency == currency);
        of_currency.map(|money| money.amount)
    }
}

/// One rate of a tax rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "api-document", schema(as = TaxRateComponent))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub name: RateName,
    pub ppm: PartsPerMillion,
}

/// A time in a request: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(Timestamp);

shared::describe!(
    Moment,
    text("A UTC time: RFC 3339, with at most three digits of a second.", "2027-01-01T00:00:00Z")
        .format("date-time")
        .pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,3})?Z$")
        .problem_codes(&["invalid_timestamp"])
);

impl Moment {
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl TryFrom<String> for Moment {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        let invalid =
            || Violation::new("invalid_timestamp", "Send a UTC time such as 2027-01-01T00:00:00Z.");
        let bytes = text.as_bytes();
        let is_spelled = matches!(bytes.len(), 20 | 22..=24)
            && bytes[0].is_ascii_digit()
            && (bytes[10], bytes[19]) == (b'T', if bytes.len() == 20 { b'Z' } else { b'.' })
            && bytes.ends_with(b"Z");
        let moment = text.parse().ok().filter(|_| is_spelled);
        moment.map(Self).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn countries(codes: &[&str]) -> Result<Countries, String> {
        let codes = codes.iter().map(|code| CountryCode::parse(code).unwrap()).collect::<Vec<_>>();
        Countries::try_from(codes).map_err(|violation| violation.code)
    }

    #[test]
    fn lists_are_sorted_distinct_and_limited() {
        assert_eq!(countries(&["DE", "AT"]), countries(&["AT", "DE"]));
        assert_eq!(countries(&["DE", "DE"]), Err("duplicate_value".to_owned()));
        assert_eq!(countries(&[]), Err("out_of_range".to_owned()));
        assert!(countries(&["DE"]).unwrap().contains(&CountryCode::parse("DE").unwrap()));
    }

    #[test]
    fn numbers_outside_their_limits_are_rejected() {
        for (number, is_valid) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            assert_eq!(BasisPoints::try_from(number).is_ok(), is_valid, "{number}");
        }
        assert_eq!(Priority::try_from(-1000).map(Priority::value), Ok(-1000));
        assert_eq!(MinorUnits::try_from(-1).unwrap_err().code, "out_of_range");
    }

    #[test]
    fn only_utc_times_of_rfc_3339_are_accepted() {
        let moment = |text: &str| Moment::try_from(text.to_owned()).map(|moment| moment.0);
        let second = moment("2027-01-01T00:00:00Z").unwrap();
        assert_eq!(
            moment("2027-01-01T00:00:00.5Z").unwrap().milliseconds(),
            second.milliseconds() + 500
        );
        for invalid in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-01-01 00:00:00Z",
            "2027-01-01T00:00:00+01:00",
            "2027-02-30T00:00:00Z",
            "2027-01-01T00:00:00.1234Z",
            "-27-01-01T00:00:00Z",
            "2027-01-01T00:00:00é",
        ] {
            assert_eq!(moment(invalid).unwrap_err().code, "invalid_timestamp", "{invalid}");
        }
    }

    #[test]
    fn regions_are_codes_without_their_country() {
        for good in ["CA", "1", "BER"] {
            assert!(RegionCode::parse(good).is_ok(), "{good}");
        }
        for bad in ["US-CA", "ca", "", "LONG"] {
            assert_eq!(RegionCode::parse(bad).unwrap_err().code, "invalid_region", "{bad}");
        }
    }
}

//! The rules that a single field can break.

use super::{
    Member, Rule,
    members::{COUNT, PRODUCT_ID, member},
};

const PRODUCT: Member = member(
    "product_id",
    "The product, if the request orders a cart. Otherwise `pointer` names its line.",
    "\"prd_0199c2a8-0000-7000-8000-00000000000a\"",
    PRODUCT_ID,
);
const PRODUCT_OF_CART: &[Member] = &[PRODUCT];

const fn rule(code: &'static str, explanation: &'static str) -> Rule {
    Rule { code, explanation, members: &[] }
}

impl Rule {
    const fn members(self, members: &'static [Member]) -> Self {
        Self { members, ..self }
    }
}

/// Every rule that a field can break, sorted by code.
pub const RULES: &[Rule] = &[
    rule(
        "billing_address_required",
        "The order ships nothing, so it is taxed at its billing address. Add `billing_address`.",
    ),
    rule("blank", "The text has no visible character."),
    rule("cart_empty", "The cart has no lines. Add a product."),
    rule(
        "duplicate_price",
        "A product has one price for each market and for each currency. That of its own currency is `price`.",
    ),
    rule("duplicate_value", "A value occurs more than once in the list."),
    rule(
        "invalid_attribute",
        "The name of an attribute has 1 to 40 lower-case letters, digits and underscores.",
    ),
    rule(
        "invalid_category",
        "A category has lower-case letters and digits, with single hyphens between words.",
    ),
    rule("invalid_characters", "Control, invisible and text-direction characters are not allowed."),
    rule("invalid_compare_at", "A `compare_at` is above the amount, and ends after it begins."),
    rule(
        "invalid_country",
        "A country is an assigned code of ISO 3166-1 in two upper-case letters, such as `DE`. The United Kingdom is `GB`.",
    ),
    rule(
        "invalid_email",
        "An e-mail address looks like `name@example.com`. Before the `@` it has only ASCII characters: the shop cannot send mail to other addresses.",
    ),
    rule(
        "invalid_id",
        "An id is the prefix of its kind followed by a UUID, as received. Markets and tax classes are named by lower-case letters, digits and hyphens.",
    ),
    rule("invalid_locale", "A locale is a language tag of BCP 47, such as `de` or `de-CH`."),
    rule(
        "invalid_mutation_id",
        "A mutation id is 1 to 64 visible ASCII characters, such as a UUID.",
    ),
    rule(
        "invalid_order_number",
        "An order number has twelve letters and digits, such as `7K3M-Q8ZT-0V2R`. Hyphens and case do not matter.",
    ),
    rule(
        "invalid_phone",
        "A telephone number is a plus sign and 7 to 15 digits that begin with the country code, such as `+442079460958`.",
    ),
    rule(
        "invalid_region",
        "A region is a code of ISO 3166-2 without the country, in upper case, such as `CA`.",
    ),
    rule("invalid_sku", "A SKU has 1 to 64 visible characters, in one line."),
    rule("invalid_timestamp", "A time is RFC 3339 in UTC, such as `2027-01-01T00:00:00Z`."),
    rule(
        "invalid_token",
        "A payment token has 1 to 255 visible ASCII characters, as issued by the provider.",
    ),
    rule(
        "invalid_username",
        "A username has letters, digits, dots, dashes and underscores of ASCII, and begins with a letter or digit.",
    ),
    rule(
        "market_required",
        "A shipping method belongs to a market. Choose a market for the cart, or remove its shipping method.",
    ),
    rule(
        "not_delivered_there",
        "The market does not deliver to the country, or has no tax rule for these goods there.",
    ),
    rule("not_sold_here", "The product has no price in the market. Remove it.")
        .members(PRODUCT_OF_CART),
    rule("nothing_to_change", "A change names at least one field."),
    rule("out_of_range", "The number, length or count is outside its limits."),
    rule("password_compromised", "The password is too common. Choose another."),
    rule("password_is_email", "The password must not be the e-mail address."),
    rule("password_too_long", "The password is too long."),
    rule("password_too_short", "The password is too short."),
    rule("repeated_parameter", "A query parameter occurs more than once."),
    rule("required", "The required field or parameter is missing."),
    rule(
        "shipping_address_required",
        "The order is shipped to its shipping address and taxed there. Add `shipping_address`.",
    ),
    rule(
        "shipping_method_required",
        "The goods are shipped. Choose one of `shipping_options` of `POST /prices/preview`.",
    ),
    rule(
        "shipping_unavailable",
        "The market does not have the shipping method, or these goods cannot use it. Choose one of `shipping_options` of `POST /prices/preview`.",
    ),
    rule("too_long", "The text exceeds its maximum length."),
    rule(
        "too_many_of_product",
        "One order can contain at most `maximum` pieces of this product, over all lines.",
    )
    .members(&[member("maximum", "The maximum quantity per order.", "20", COUNT), PRODUCT]),
    rule(
        "unknown_field",
        "The field does not exist. Values that the shop determines, such as prices, cannot be sent.",
    ),
    rule(
        "unknown_market",
        "The market does not exist, or has no rules for the country of the destination.",
    ),
    rule("unknown_product", "The product does not exist, or is no longer sold.")
        .members(PRODUCT_OF_CART),
    rule(
        "unknown_region",
        "Tax rates in this country differ by region. Send its ISO 3166-2 code, such as `CA` or `US-CA`.",
    ),
    rule("unknown_value", "The value is not one of the accepted names."),
    rule("unsupported_currency", "The currency is not supported."),
    rule("wrong_password", "The current password is wrong."),
    rule("wrong_type", "The field has the wrong type."),
];

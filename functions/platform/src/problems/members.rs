//! Members of problems: their schemas and examples.

use super::Member;

pub(super) const COUNT: &str = r#"{"type": "integer"}"#;
pub(super) const TEXT: &str = r#"{"type": "string"}"#;
pub(super) const MONEY: &str = r##"{"$ref": "#/components/schemas/Money"}"##;
pub(super) const TOTALS: &str = r##"{"$ref": "#/components/schemas/Totals"}"##;
pub(super) const TOTALS_EXAMPLE: &str = r#"{"items": {"amount": 4590, "currency": "USD"}, "shipping": {"amount": 408, "currency": "USD"}, "tax": {"amount": 1000, "currency": "USD"}, "total": {"amount": 5998, "currency": "USD"}}"#;
pub(super) const ITEMS: &str =
    r##"{"type": "array", "items": {"$ref": "#/components/schemas/OrderLine"}}"##;
pub(super) const ITEMS_EXAMPLE: &str = r#"[{"line_id": "lin_0199c2a8-0000-7000-8000-000000000011", "product_id": "prd_0199c2a8-0000-7000-8000-000000000001", "sku": "SPOON-1", "name": "Spoon", "unit_price": {"amount": 2999, "currency": "USD"}, "quantity": 2, "line_total": {"amount": 5998, "currency": "USD"}}]"#;
pub(super) const PRICE: &str = r##"{"$ref": "#/components/schemas/OrderPrice"}"##;
pub(super) const PRICE_EXAMPLE: &str = r#"{"market": "gb", "pricing_version": 7, "currency": "USD", "basis": "net", "rounding": "per_rate", "lines": [], "tax_summary": [], "discount_total": 0, "tax_source": {"kind": "rules", "version": 7}}"#;
const ORDER_STATUS: &str = r##"{"$ref": "#/components/schemas/OrderStatus"}"##;
pub(super) const ORDER_ID: &str = r##"{"$ref": "#/components/schemas/OrderId"}"##;
pub(super) const PRODUCT_ID: &str = r##"{"$ref": "#/components/schemas/ProductId"}"##;
pub(super) const CART: &str = r##"{"$ref": "#/components/schemas/Cart"}"##;
pub(super) const CART_EXAMPLE: &str = r#"{"id": "crt_0199c2a8-0000-7000-8000-00000000000a", "version": 7, "market": null, "country": null, "region": null, "locale": null, "email": null, "note": null, "attributes": null, "shipping_address": null, "billing_address": null, "tax_id": null, "shipping_method": null, "lines": [], "item_count": 0, "totals": null, "price": null, "pricing_version": null, "refusals": [], "warnings": [], "created_at": "2026-11-21T09:48:49.123Z", "updated_at": "2026-11-21T09:48:49.123Z", "expires_at": "2027-01-20T09:48:49.123Z"}"#;
pub(super) const PAYMENT_ID: &str = r##"{"$ref": "#/components/schemas/PaymentId"}"##;
pub(super) const REFUND_ID: &str = r##"{"$ref": "#/components/schemas/RefundId"}"##;
const ACTIONS: &str =
    r#"{"type": "array", "items": {"type": "string", "enum": ["cancel", "ship", "deliver"]}}"#;
pub(super) const PAYMENT_STATE_SCHEMA: &str =
    r#"{"type": "string", "enum": ["open", "processing", "captured", "closing", "closed"]}"#;

pub(super) const fn member(
    name: &'static str,
    description: &'static str,
    example: &'static str,
    schema: &'static str,
) -> Member {
    Member { name, description, example, schema }
}

pub(super) const fn order_state(current: &'static str, allowed: &'static str) -> [Member; 2] {
    [
        member("current", "The current status.", current, ORDER_STATUS),
        member("allowed", "The possible transitions.", allowed, ACTIONS),
    ]
}

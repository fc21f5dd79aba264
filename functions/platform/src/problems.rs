//! The catalog of problems: every code that a response can contain, with its meaning and what the
//! client should do.
//!
//! The services decide when a problem occurs and write its `detail`. This list contains what all
//! occurrences have in common. The API document and the pages of `get-docs` include it. The
//! repository's tests compare it with the code that creates problems and with the gateway's own
//! responses.

mod kinds;
mod members;
mod rules;

use kinds::problem;
pub use kinds::{Member, ProblemType, RULE_TITLE, Rule};
use members::{
    CART, CART_EXAMPLE, COUNT, ITEMS, ITEMS_EXAMPLE, MONEY, ORDER_ID, PAYMENT_ID,
    PAYMENT_STATE_SCHEMA, PRICE, PRICE_EXAMPLE, REFUND_ID, TEXT, TOTALS, TOTALS_EXAMPLE, member,
    order_state,
};
pub use rules::RULES;

const RETRY_AFTER: &[&str] = &["Retry-After"];
const CHALLENGE: &[&str] = &["WWW-Authenticate"];
const PAYMENT_STATE: &[Member] = &[member(
    "payment_state",
    "The state of the order's payment.",
    "\"captured\"",
    PAYMENT_STATE_SCHEMA,
)];
const ORDERED_CART: &str = "The cart became the order in `order_id`. Pay that order. To buy again, create a new cart with `POST /carts`; \
    `from_order` gives it the lines of the order.";
const ORDER_OF_CART: &[Member] = &[
    member("order_id", "The order.", "\"ord_0199c2a8-0000-7000-8000-0000000000f1\"", ORDER_ID),
    member("number", "The order number, as shown to the buyer.", "\"7K3M-Q8ZT-0V2R\"", TEXT),
];
const REFUNDABLE: &[Member] = &[member(
    "refundable",
    "The amount that can be refunded.",
    "{\"amount\": 2999, \"currency\": \"USD\"}",
    MONEY,
)];

/// Every problem except those of rules for one field, sorted by status and code.
pub const PROBLEMS: &[ProblemType] = &[
    problem(
        400,
        "bad_signature",
        "Invalid webhook signature",
        "The signature is missing, older than five minutes, made with another secret or for another body. Sign the body with the current secret.",
    ),
    problem(400, "body_required", "Body required", "The operation needs a JSON body. Send one."),
    problem(
        400,
        "duplicate_field",
        "Duplicate field",
        "The body contains a field more than once. Send each field once.",
    ),
    problem(
        400,
        "idempotency_key_invalid",
        "Invalid Idempotency-Key",
        "Send one `Idempotency-Key` of 1 to 255 visible ASCII characters, such as a UUID.",
    ),
    problem(
        400,
        "idempotency_key_required",
        "Idempotency-Key required",
        "Generate a unique key per operation, such as a UUID, and send the same key when you repeat the request.",
    ),
    problem(
        400,
        "invalid_cursor",
        "Invalid cursor",
        "A cursor is valid for a day, for the list that returned it, with the same caller, filter and limit. Start again without one.",
    ),
    problem(
        400,
        "invalid_if_match",
        "Invalid If-Match header",
        "Send one `ETag` exactly as received: no list and no `*`.",
    ),
    problem(
        400,
        "invalid_one_time_token",
        "Invalid or expired link",
        "The link was used, has expired, or was replaced by a newer one. Request a new link.",
    ),
    problem(400, "malformed_body", "Body is not valid base64", "Send the body as plain JSON."),
    problem(
        400,
        "malformed_json",
        "Malformed JSON",
        "`detail` names line and column. Send JSON in UTF-8, without U+FFFD: that character marks bytes that were not UTF-8.",
    ),
    problem(400, "malformed_request", "Malformed request", "The path, the query or a header is invalid. `detail` names it."),
    problem(
        401,
        "invalid_credentials",
        "Invalid credentials",
        "The e-mail address or the password is wrong, or the account is disabled. The answer does not reveal which.",
    )
    .headers(CHALLENGE),
    problem(
        401,
        "invalid_token",
        "Valid access token required",
        "The token is missing, expired or revoked. Use the refresh token to get a new pair, or log in again.",
    )
    .headers(CHALLENGE),
    problem(
        402,
        "payment_declined",
        "Payment declined",
        "Nothing was charged. Try another payment method under a new `Idempotency-Key`.",
    )
    .members(&[
        member(
            "payment_id",
            "The declined payment.",
            "\"pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1\"",
            PAYMENT_ID,
        ),
        member("failure_reason", "The provider's reason.", "\"card_declined\"", TEXT),
    ]),
    problem(403, "insufficient_permissions", "Insufficient permissions", "The operation requires another role."),
    problem(404, "address_not_found", "Address not found", "It does not exist, or is in the address book of another user."),
    problem(
        404,
        "cart_not_found",
        "Cart not found",
        "It does not exist, has expired, was merged, or belongs to another user. A guest sends the token of the cart as `X-Cart-Token`, a user an access token.",
    ),
    problem(
        404,
        "market_not_found",
        "Market not found",
        "It does not exist or is deleted.",
    ),
    problem(404, "notification_not_found", "Notification not found", "It does not exist, or belongs to another user."),
    problem(
        404,
        "order_not_found",
        "Order not found",
        "It does not exist, or belongs to another user. An order that was just placed cannot be paid yet: read it until it \
         awaits payment, and repeat the request.",
    ),
    problem(404, "payment_not_found", "Payment not found", "It does not exist, or belongs to another user."),
    problem(404, "product_not_found", "Product not found", "It does not exist, or is no longer sold."),
    problem(
        404,
        "promotion_not_found",
        "Promotion not found",
        "It does not exist.",
    ),
    problem(404, "provider_not_found", "Provider not found", "This shop does not use the payment provider of this name."),
    problem(404, "route_not_found", "Route not found", "No operation has this path and this method."),
    problem(404, "service_not_found", "Service not found", "`GET /health` lists all services."),
    problem(
        404,
        "shipping_method_not_found",
        "Shipping method not found",
        "The market has no shipping method with this id.",
    ),
    problem(
        404,
        "tax_rate_not_found",
        "Tax rate not found",
        "The market has no tax rate with this id.",
    ),
    problem(404, "user_not_found", "User not found", "It does not exist, or is another user."),
    problem(
        405,
        "method_not_allowed",
        "Method not allowed",
        "The path exists, but not with this method. `Allow` lists its methods.",
    )
    .headers(&["Allow"]),
    problem(409, "address_book_full", "Address book full", "Delete an address, then repeat the request.")
        .members(&[member("maximum", "The maximum number of addresses.", "20", COUNT)]),
    problem(409, "already_paid", "Order already paid", "Nothing is left to pay. Read the order.").members(PAYMENT_STATE),
    problem(
        409,
        "cart_changed",
        "Cart changed",
        "The cart no longer has the version in the request. Nothing was ordered. Show the current cart to the buyer, then order again \
         with its `version` and total.",
    )
    .members(&[member("cart", "The current cart, like the response of `GET /carts/{cart_id}`.", CART_EXAMPLE, CART)]),
    problem(409, "cart_ordered", "Cart ordered", ORDERED_CART).members(ORDER_OF_CART),
    problem(
        409,
        "email_changed_recently",
        "E-mail address changed recently",
        "The address changed less than 48 hours ago. Wait, or withdraw the change with the link that was mailed to the previous address.",
    ),
    problem(
        409,
        "email_taken",
        "E-mail address already registered",
        "The address, or another spelling of it, is registered. Log in, or choose another.",
    ),
    problem(
        409,
        "insufficient_stock",
        "Adjustment exceeds available stock",
        "Stock that is reserved for orders cannot be removed. Remove at most `available`.",
    )
    .members(&[member("available", "The number that can be removed.", "3", COUNT)]),
    problem(
        409,
        "invalid_transition",
        "Transition not allowed",
        "`allowed` lists the possible transitions.",
    )
    .members(&order_state("\"pending\"", "[\"cancel\"]")),
    problem(
        409,
        "market_exists",
        "Market already exists",
        "Choose another id, or change the market that has it.",
    ),
    problem(
        409,
        "market_not_empty",
        "Market not empty",
        "Delete its shipping methods and tax rates, and remove it from its promotions.",
    ),
    problem(
        409,
        "no_shipping_address",
        "Shipping address missing",
        "The order has no shipping address. Add one with `PATCH /orders/{order_id}`.",
    )
    .members(&order_state("\"confirmed\"", "[\"cancel\"]")),
    problem(
        409,
        "not_cancellable",
        "Order not cancellable",
        "The order was shipped, or has failed. Read its status.",
    )
    .members(&order_state("\"shipped\"", "[\"deliver\"]")),
    problem(
        409,
        "not_refundable",
        "Payment not refundable",
        "The payment captured nothing for its order, or all of it is refunded, being refunded or withdrawn by a dispute. If a pending refund \
         may still fail, repeat the request after `Retry-After`.",
    )
    .headers(RETRY_AFTER)
    .members(REFUNDABLE),
    problem(409, "order_closed", "Order no longer payable", "The order is cancelled, failed, or past its payment deadline. Place a new order.")
        .members(PAYMENT_STATE),
    problem(
        409,
        "own_account",
        "Own account not changeable",
        "An admin cannot change their own role or disable themselves. Ask another admin, or an operator.",
    ),
    problem(
        409,
        "payment_in_progress",
        "Payment in progress",
        "Another payment of this order is in progress. Wait for its outcome in `GET /payments?order_id=`.",
    )
    .headers(RETRY_AFTER)
    .members(PAYMENT_STATE),
    problem(
        409,
        "price_changed",
        "Price changed",
        "Nothing was ordered. Show the buyer the new total, and order again with it.",
    )
    .members(&[
        member("total", "The current total.", "{\"amount\": 5998, \"currency\": \"USD\"}", MONEY),
        member("items", "The lines at their current prices.", ITEMS_EXAMPLE, ITEMS),
        member("totals", "The current amounts.", TOTALS_EXAMPLE, TOTALS),
        member("price", "How they are computed, if the order names a market.", PRICE_EXAMPLE, PRICE),
    ]),
    problem(409, "price_would_change", "Price would change", "Choose an address in the same country and region, or cancel the order and place it again."),
    problem(
        409,
        "refund_failed",
        "Refund failed",
        "Nothing was refunded. Check `failure_reason` with the provider, then try again under a new `Idempotency-Key`.",
    )
    .members(&[
        member("refund_id", "The failed refund.", "\"ref_0199c2a8-0000-7000-8000-0000000000c1\"", REFUND_ID),
        member("failure_reason", "The provider's reason.", "\"expired_or_canceled_card\"", TEXT),
    ]),
    problem(
        409,
        "request_in_progress",
        "Request in progress",
        "Repeat it with the same `Idempotency-Key` after `Retry-After` to get its result.",
    )
    .headers(RETRY_AFTER),
    problem(409, "sku_taken", "SKU already in use", "Choose another SKU, or change the product that has it."),
    problem(409, "stock_limit_exceeded", "Stock limit exceeded", "The stock of a product has a maximum. Add fewer."),
    problem(
        409,
        "tax_rate_exists",
        "Tax rate already exists",
        "A market has one tax rate per country, region, tax class and time. Change that one.",
    ),
    problem(409, "too_many_address_changes", "Address changed too often", "Cancel the order, and place it again.")
        .members(&[member("maximum", "The maximum number of changes.", "10", COUNT)]),
    problem(
        409,
        "too_many_unpaid_orders",
        "Too many unpaid orders",
        "Pay or cancel one of them, then repeat the request. An account with a verified e-mail address may have more.",
    )
    .members(&[member("maximum", "The maximum number of unpaid orders.", "5", COUNT)]),
    problem(410, "cart_ordered", "Cart ordered", ORDERED_CART).members(ORDER_OF_CART),
    problem(
        412,
        "precondition_failed",
        "Resource changed since it was read",
        "Read the resource again and repeat the change. The answer's `ETag` is that of the current version. A weak `ETag` in `If-Match` never matches.",
    )
    .headers(&["ETag"]),
    problem(413, "payload_too_large", "Body too large", "Send at most 262,144 bytes."),
    problem(
        415,
        "unsupported_media_type",
        "Unsupported media type",
        "Send `Content-Type: application/json`, in UTF-8 and without `Content-Encoding`. `PATCH` also takes `application/merge-patch+json`. \
         `Accept` names what the operation takes.",
    )
    .headers(&["Accept", "Accept-Encoding", "Accept-Patch"]),
    problem(422, "amount_mismatch", "Amount mismatch", "Omit the amount, or send the order's total.")
        .members(PAYMENT_STATE),
    problem(422, "amount_too_large", "Amount too large", "The total exceeds the maximum of one payment. Divide the order."),
    problem(
        422,
        "below_minimum",
        "Total below the minimum",
        "The market accepts no total between 0 and its minimum. Add products until the total reaches `minimum`.",
    )
    .members(&[member("minimum", "The smallest total above 0.", "{\"amount\": 50, \"currency\": \"USD\"}", MONEY)]),
    problem(
        422,
        "card_number_rejected",
        "Card number not accepted",
        "A text in the request is a payment card number. Use the payment provider's form, and send the token \
         that it returns.",
    ),
    problem(
        422,
        "cart_too_large",
        "Cart too large",
        "A cart has at most 16,384 bytes. Shorten the note, or remove attributes.",
    ),
    problem(
        422,
        "country_taken",
        "Country in another market",
        "A country belongs to at most one market. Remove it from the other one first.",
    ),
    problem(422, "currency_mismatch", "Currency mismatch", "An order and its payment have one currency.")
        .members(PAYMENT_STATE),
    problem(
        422,
        "currency_missing",
        "Currency missing",
        "Every price, threshold and fixed discount needs an amount in the currency of each market.",
    ),
    problem(
        422,
        "document_too_large",
        "Pricing document too large",
        "The rules of a market for one country exceed 16,384 bytes. Delete rules that have ended.",
    ),
    problem(
        422,
        "exceeds_refundable",
        "Refund exceeds the refundable amount",
        "Request at most `refundable`, or omit the amount.",
    )
    .members(REFUNDABLE),
    problem(
        422,
        "filter_required",
        "Filter required",
        "Filter the list by `status`, `user_id`, `number`, `needs_review` or `stuck`.",
    ),
    problem(
        422,
        "idempotency_key_reused",
        "Idempotency-Key reused",
        "The key was used with another request. Use a new key for a new request; repeat a request with the same body.",
    ),
    problem(
        422,
        "invalid_effect",
        "Invalid effect",
        "A promotion has either a percentage or amounts.",
    ),
    problem(
        422,
        "invalid_tax_rates",
        "Rates contradict the treatment",
        "`standard` and `reduced` have rates above 0, all other treatments have none above 0.",
    ),
    problem(
        422,
        "promotion_never_applies",
        "Promotion never applies",
        "A promotion ends after now and after it starts, and takes more than 0.",
    ),
    problem(422, "too_many_lines", "Too many lines", "A cart has at most `maximum` products. Remove one before you add another.")
        .members(&[member("maximum", "The maximum number of lines.", "40", COUNT)]),
    problem(
        422,
        "too_many_rules",
        "Too many rules",
        "A market has at most 20 shipping methods, 200 tax rates and 50 promotions.",
    ),
    problem(
        422,
        "unknown_market",
        "Unknown market",
        "A promotion names a market that does not exist. Create it first, or leave it out.",
    ),
    problem(
        428,
        "precondition_required",
        "If-Match header required",
        "Read the resource and send its `ETag` as `If-Match`, so that no concurrent change is overwritten.",
    ),
    problem(429, "too_many_requests", "Too many requests", "Repeat the request after `Retry-After`.")
        .headers(RETRY_AFTER),
    problem(
        500,
        "internal_error",
        "Internal error",
        "The cause is logged under `request_id`. A request with an `Idempotency-Key` may be repeated.",
    ),
    problem(
        503,
        "cart_busy",
        "Cart busy",
        "Other requests changed the cart at the same time. Repeat the request, with the same `mutation_id`.",
    )
    .headers(RETRY_AFTER),
    problem(
        503,
        "health_unknown",
        "Health unknown",
        "No health check of the last three minutes has a result. Ask again after `Retry-After`.",
    )
    .headers(RETRY_AFTER),
    problem(
        503,
        "no_market",
        "No market",
        "Name a market in `market`. This shop sells only in markets, because their rules determine the tax. If `GET /markets` is empty, an operator must create a market.",
    )
    .headers(RETRY_AFTER),
    problem(
        503,
        "no_signing_key",
        "Login is not available yet",
        "The signing key of access tokens is being created: this takes a minute after the first deployment.",
    )
    .headers(RETRY_AFTER),
    problem(
        503,
        "provider_unavailable",
        "Payment provider unavailable",
        "Nothing was started. Repeat the request with the same `Idempotency-Key` after `Retry-After`.",
    )
    .headers(RETRY_AFTER),
    problem(
        503,
        "temporarily_unavailable",
        "Service temporarily unavailable",
        "Repeat the request, with the same `Idempotency-Key` if it has one.",
    )
    .headers(RETRY_AFTER),
    problem(
        504,
        "gateway_timeout",
        "Gateway timeout",
        "The outcome is unknown. Repeat the request, with the same `Idempotency-Key` if it has one.",
    ),
];

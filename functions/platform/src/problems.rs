//! Everything that can be wrong: each code that an answer can carry, with what it means and what to
//! do about it.
//!
//! The services decide when a problem occurs and what is said of this one request; here stands what
//! is true of all of its occurrences. The API document explains each code with it, and nothing that
//! is deployed contains it. The repository's tests compare this list with the code that makes
//! problems, and with what the gateway answers by itself.

/// A kind of problem.
#[derive(Clone, Copy, Debug)]
pub struct ProblemType {
    /// Its stable name: the last segment of its `type`.
    pub code: &'static str,
    /// The HTTP status that it comes with.
    pub status: u16,
    /// What it is called.
    pub title: &'static str,
    /// What it means, and what a client does about it.
    pub explanation: &'static str,
    /// The headers that come with it, beside those of every answer.
    pub headers: &'static [&'static str],
    /// The members that its document has beside those of every problem.
    pub members: &'static [Member],
}

/// A member of its own that a problem document has.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub description: &'static str,
    /// What it may be: JSON.
    pub example: &'static str,
    /// Its schema in the API document: JSON.
    pub schema: &'static str,
}

/// A rule that a single field can break: the code of its 422 problem, and of the entry in `errors`
/// that points to the field.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its stable name.
    pub code: &'static str,
    /// What it asks for.
    pub explanation: &'static str,
    /// The members that its problem document has beside those of every problem.
    pub members: &'static [Member],
}

/// The title of the problem of every broken [`Rule`].
pub const RULE_TITLE: &str = "The request breaks a rule";

const fn problem(
    status: u16,
    code: &'static str,
    title: &'static str,
    explanation: &'static str,
) -> ProblemType {
    ProblemType { code, status, title, explanation, headers: &[], members: &[] }
}

const fn rule(code: &'static str, explanation: &'static str) -> Rule {
    Rule { code, explanation, members: &[] }
}

const COUNT: &str = r#"{"type": "integer"}"#;
const TEXT: &str = r#"{"type": "string"}"#;
const MONEY: &str = r##"{"$ref": "#/components/schemas/Money"}"##;
const ORDER_STATUS: &str = r##"{"$ref": "#/components/schemas/OrderStatus"}"##;
const PAYMENT_ID: &str = r##"{"$ref": "#/components/schemas/PaymentId"}"##;
const REFUND_ID: &str = r##"{"$ref": "#/components/schemas/RefundId"}"##;
const ACTIONS: &str =
    r#"{"type": "array", "items": {"type": "string", "enum": ["cancel", "ship", "deliver"]}}"#;
const PAYMENT_STATE_SCHEMA: &str =
    r#"{"type": "string", "enum": ["open", "processing", "captured", "closing", "closed"]}"#;

const fn member(
    name: &'static str,
    description: &'static str,
    example: &'static str,
    schema: &'static str,
) -> Member {
    Member { name, description, example, schema }
}

const fn order_state(current: &'static str, allowed: &'static str) -> [Member; 2] {
    [
        member("current", "The status of the order.", current, ORDER_STATUS),
        member("allowed", "The steps that the order can take now.", allowed, ACTIONS),
    ]
}

impl Rule {
    const fn members(self, members: &'static [Member]) -> Self {
        Self { members, ..self }
    }
}

impl ProblemType {
    const fn headers(self, headers: &'static [&'static str]) -> Self {
        Self { headers, ..self }
    }

    const fn members(self, members: &'static [Member]) -> Self {
        Self { members, ..self }
    }
}

const RETRY_AFTER: &[&str] = &["Retry-After"];
const CHALLENGE: &[&str] = &["WWW-Authenticate"];
const PAYMENT_STATE: &[Member] = &[member(
    "payment_state",
    "How far the payment of the order has come.",
    "\"captured\"",
    PAYMENT_STATE_SCHEMA,
)];
const REFUNDABLE: &[Member] = &[member(
    "refundable",
    "What can be refunded now.",
    "{\"amount\": 2999, \"currency\": \"USD\"}",
    MONEY,
)];

/// Every problem that is not a broken rule of one field, by status and code.
pub const PROBLEMS: &[ProblemType] = &[
    problem(
        400,
        "bad_signature",
        "Invalid webhook signature",
        "The signature is missing, older than five minutes, made with another secret or for another body. Sign the body with the current secret.",
    ),
    problem(400, "body_required", "A JSON body is needed", "The operation reads what it is to do from the body, and there was none."),
    problem(
        400,
        "duplicate_field",
        "A field stands in the document twice",
        "Which of the two was meant cannot be told, so neither is taken. Send each field once.",
    ),
    problem(
        400,
        "idempotency_key_invalid",
        "The Idempotency-Key cannot be used",
        "Send one `Idempotency-Key` of 1 to 255 visible ASCII characters, such as a UUID.",
    ),
    problem(
        400,
        "idempotency_key_required",
        "An Idempotency-Key is needed",
        "Make up a key for what is to happen once, and send the same key whenever you repeat the request.",
    ),
    problem(
        400,
        "invalid_cursor",
        "The cursor cannot be used",
        "A cursor leads on in the list that gave it: for the same caller, filter and limit, and for a day. Begin without one.",
    ),
    problem(
        400,
        "invalid_if_match",
        "If-Match cannot be used",
        "Send one `ETag`, exactly as it was answered: no list and no `*`.",
    ),
    problem(
        400,
        "invalid_one_time_token",
        "The link does not work",
        "It was used already, has expired, or was replaced by a newer one. Ask for a new link.",
    ),
    problem(400, "malformed_body", "The body is not the base64 that it claims to be", "Send the body as plain JSON."),
    problem(
        400,
        "malformed_json",
        "The body is not well-formed JSON",
        "`detail` says at which line and column. Send JSON in UTF-8, without U+FFFD: that character replaces what was not UTF-8.",
    ),
    problem(400, "malformed_request", "The request cannot be read", "Something before the body is wrong: the path, the query or a header."),
    problem(
        401,
        "invalid_credentials",
        "The credentials are not valid",
        "E-mail address and password do not belong together. Which of them is wrong, or whether the account is disabled, is not said.",
    )
    .headers(CHALLENGE),
    problem(
        401,
        "invalid_token",
        "A valid access token is needed",
        "There is no token, or it has expired or counts no more. Exchange the refresh token for a new pair, or log in again.",
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
            "The payment that came to nothing.",
            "\"pay_0199c2a8-0000-7000-8000-0000000000f1_0199c2a8-0000-7000-8000-0000000000a1\"",
            PAYMENT_ID,
        ),
        member("failure_reason", "Why, in the provider's word.", "\"card_declined\"", TEXT),
    ]),
    problem(403, "insufficient_permissions", "Insufficient permissions", "You are known, but may not do this: it takes another role."),
    problem(404, "notification_not_found", "There is no such notification", "There is none with this id, or it is somebody else's."),
    problem(
        404,
        "order_not_found",
        "There is no such order",
        "There is none with this id, or it is somebody else's. An order that was placed a moment ago cannot be paid yet: read it until it \
         awaits payment, and repeat the request.",
    ),
    problem(404, "payment_not_found", "There is no such payment", "There is none with this id, or it is somebody else's."),
    problem(404, "product_not_found", "There is no such product", "There is none with this id, or it is no longer sold."),
    problem(404, "provider_not_found", "There is no such provider", "This shop has another payment provider, or none of this name."),
    problem(404, "route_not_found", "There is no such route", "No operation has this path and this method."),
    problem(404, "service_not_found", "There is no such service", "The answer of `GET /health` names them all."),
    problem(404, "user_not_found", "There is no such user", "There is none with this id, or it is not you."),
    problem(
        405,
        "method_not_allowed",
        "Method not allowed",
        "The path exists, but not with this method. `Allow` lists its methods.",
    )
    .headers(&["Allow"]),
    problem(409, "stock_limit_exceeded", "There would be too many", "So many of one product cannot be kept. Book in fewer."),
    problem(409, "already_paid", "Order already paid", "Nothing is left to pay. Read the order.").members(PAYMENT_STATE),
    problem(
        409,
        "insufficient_stock",
        "There are not so many to take away",
        "What is held for orders cannot be taken away. Take away no more than is available.",
    )
    .members(&[member("available", "How many can be taken away.", "3", COUNT)]),
    problem(
        409,
        "email_changed_recently",
        "The e-mail address changed recently",
        "The account has had its address for less than 48 hours. Wait, or undo the change with the link that was mailed to the address before.",
    ),
    problem(
        409,
        "email_taken",
        "The e-mail address is taken",
        "Somebody has registered with it, in this or another spelling. Log in, or take another.",
    ),
    problem(
        409,
        "invalid_transition",
        "Transition not allowed",
        "It has not come so far, or has gone on. What it takes now stands in `allowed`.",
    )
    .members(&order_state("\"pending\"", "[\"cancel\"]")),
    problem(
        409,
        "no_shipping_address",
        "Shipping address missing",
        "The order was placed without one. Cancel it, and have it placed again with an address.",
    )
    .members(&order_state("\"confirmed\"", "[\"cancel\"]")),
    problem(
        409,
        "not_cancellable",
        "Order not cancellable",
        "It was shipped, or has failed. Read the order: it has moved on.",
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
    problem(409, "order_closed", "The order can no longer be paid", "The order is cancelled, failed, or past its payment deadline. Place a new order.")
        .members(PAYMENT_STATE),
    problem(
        409,
        "own_account",
        "Nobody changes their own role or disables themselves",
        "The last admin would lock the shop that way. Ask another admin, or an operator.",
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
        "Show the buyer the new total, and order again with it under a new `Idempotency-Key`.",
    )
    .members(&[member("total", "What the order costs now.", "{\"amount\": 5998, \"currency\": \"USD\"}", MONEY)]),
    problem(
        409,
        "refund_failed",
        "Refund failed",
        "Nothing was refunded. Check `failure_reason` with the provider, then try again under a new `Idempotency-Key`.",
    )
    .members(&[
        member("refund_id", "The failed refund.", "\"ref_0199c2a8-0000-7000-8000-0000000000c1\"", REFUND_ID),
        member("failure_reason", "Why, in the provider's word.", "\"expired_or_canceled_card\"", TEXT),
    ]),
    problem(
        409,
        "request_in_progress",
        "Request in progress",
        "Repeat it with the same `Idempotency-Key` after `Retry-After` to get its result.",
    )
    .headers(RETRY_AFTER),
    problem(409, "sku_taken", "Another product has this SKU", "Choose another SKU, or change the product that has it."),
    problem(
        409,
        "too_many_open_orders",
        "Too many unpaid orders",
        "Pay one of them or cancel it, and send the same request again. An account whose e-mail address is verified may have more of them.",
    )
    .members(&[member("maximum", "How many orders may wait at once.", "5", COUNT)]),
    problem(
        412,
        "precondition_failed",
        "The resource has changed since it was read",
        "Read it again, and decide again. The answer's `ETag` is that of the present version. A weak `ETag` in `If-Match` never matches.",
    )
    .headers(&["ETag"]),
    problem(413, "payload_too_large", "The body is too large", "A body may have 262,144 bytes."),
    problem(
        415,
        "unsupported_media_type",
        "The body must be JSON",
        "Send `Content-Type: application/json`, in UTF-8 and without `Content-Encoding`. `PATCH` also takes `application/merge-patch+json`. \
         `Accept` names what the operation takes.",
    )
    .headers(&["Accept", "Accept-Encoding", "Accept-Patch"]),
    problem(422, "amount_mismatch", "Amount mismatch", "Omit the amount, or send the order's total.")
        .members(PAYMENT_STATE),
    problem(422, "amount_too_large", "Amount too large", "It is more than one payment can carry. Divide the order into several."),
    problem(
        422,
        "card_number_rejected",
        "Card numbers are not accepted",
        "Some text of the request is the number of a payment card. Give the card to the payment provider's form and send us the token \
         that it answers.",
    ),
    problem(422, "currency_mismatch", "The currencies differ", "Everything in one order, and its payment, is in one currency.")
        .members(PAYMENT_STATE),
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
        "This list is too long to be read from end to end. Give a `status`, a `user_id`, `needs_review` or `stuck`.",
    ),
    problem(
        422,
        "idempotency_key_reused",
        "The Idempotency-Key was used for another request",
        "A key names one request. Use a new key for a new request; repeat a request with the same body.",
    ),
    problem(
        428,
        "precondition_required",
        "The change must say which version it starts from",
        "Read the resource and send its `ETag` as `If-Match`: nobody's change is overwritten unseen.",
    ),
    problem(429, "too_many_requests", "Too many requests", "Wait for as long as `Retry-After` says, and send the same request again.")
        .headers(RETRY_AFTER),
    problem(
        500,
        "internal_error",
        "Something went wrong on our side",
        "The cause stands in our log under `request_id`. A request with an `Idempotency-Key` may be repeated.",
    ),
    problem(
        503,
        "no_signing_key",
        "Nobody can log in yet",
        "The key that signs access tokens is being made: this takes a minute after the first deployment.",
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
        "The service is busy",
        "Nothing is lost: send the same request again, with the same `Idempotency-Key` if it has one.",
    )
    .headers(RETRY_AFTER),
    problem(
        504,
        "gateway_timeout",
        "The answer took too long",
        "What became of the request is not known. Send it again, with the same `Idempotency-Key` if it has one.",
    ),
];

/// Every rule that a field can break, by its code.
pub const RULES: &[Rule] = &[
    rule("blank", "The text has no visible character."),
    rule("invalid_category", "A category has lower-case letters and digits, with single hyphens between words."),
    rule("invalid_characters", "Control, invisible and text-direction characters are not allowed."),
    rule(
        "invalid_country",
        "A country is an assigned code of ISO 3166-1 in two upper-case letters, such as `DE`. The United Kingdom is `GB`.",
    ),
    rule(
        "invalid_email",
        "An e-mail address looks like `name@example.com`. Before the `@` it is ASCII: other addresses cannot receive mail from here.",
    ),
    rule("invalid_id", "An id begins with the prefix of its kind and goes on with a UUID, as it was answered."),
    rule("invalid_sku", "A SKU has 1 to 64 visible characters, in one line."),
    rule("invalid_token", "A payment token is 1 to 255 visible ASCII characters, as the provider gave it out."),
    rule("invalid_username", "A username has letters, digits, dots, dashes and underscores of ASCII, and begins with a letter or digit."),
    rule("nothing_to_change", "A change names at least one field."),
    rule("out_of_range", "The number, length or count is outside its limits."),
    rule("password_compromised", "The password is among those that are tried first. Choose another."),
    rule("password_is_email", "The password must not be the e-mail address."),
    rule("password_too_long", "The password is longer than is read."),
    rule("password_too_short", "The password is too short."),
    rule("repeated_parameter", "A parameter of the query stands there more than once."),
    rule("required", "The field or parameter is needed, and missing."),
    rule("too_long", "The text has more characters than there is room for."),
    rule("too_many_of_product", "One order has at most so many of this product, all its lines together; `maximum` says how many.")
        .members(&[member("maximum", "How many of the product one order may have.", "20", COUNT)]),
    rule("unknown_field", "There is no such field. What the shop decides by itself, such as prices, cannot be sent."),
    rule("unknown_product", "There is no such product, or it is no longer sold."),
    rule("unknown_value", "The field takes one of a few names, and this is none of them."),
    rule("unsupported_currency", "The shop does not trade in this currency."),
    rule("wrong_password", "This is not the present password."),
    rule("wrong_type", "The field has another type than it must have."),
];

//! Properties of every route: authorization, idempotent replays, and rejection of bad input.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use tests::shop::operations;

use crate::shop::{Shop, card, shop_with, unique, until};

/// Public routes. All others answer 401 without a token.
const PUBLIC: [&str; 21] = [
    "POST /users",
    "POST /users/login",
    "POST /users/token/refresh",
    "POST /users/password-reset",
    "POST /users/password-reset/confirm",
    "POST /users/verify-email",
    "POST /users/email-change/withdraw",
    "GET /.well-known/jwks.json",
    "GET /products",
    "GET /products/{product_id}",
    "GET /inventory/{product_id}",
    "POST /prices/preview",
    "POST /carts",
    // The cart token of a guest is required instead.
    "GET /carts/{cart_id}",
    "POST /carts/{cart_id}/changes",
    "GET /carts/{cart_id}/shipping-options",
    // Requires the provider's signature instead.
    "POST /webhooks/payments/{provider}",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/{service}",
];

/// Every route of the API document: method and path.
fn routes() -> Vec<(Method, String)> {
    let routes = operations()
        .filter(|operation| !operation.serves_pages())
        .flat_map(|operation| operation.routes());
    routes.map(|route| (route.method.parse().unwrap(), route.path.to_owned())).collect()
}

fn with_ids(path: &str) -> String {
    path.replace("{user_id}", "usr_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{order_id}", "ord_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{product_id}", "prd_0199c2a8-0000-7000-8000-00000000dead")
        .replace(
            "{payment_id}",
            "pay_0199c2a8-0000-7000-8000-00000000dead_0199c2a8-0000-7000-8000-00000000dead",
        )
        .replace("{notification_id}", "ntf_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{cart_id}", "crt_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{address_id}", "adr_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{market}", "dead")
        .replace("{shipping_method_id}", "shp_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{tax_rate_id}", "tax_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{promotion_id}", "prm_0199c2a8-0000-7000-8000-00000000dead")
        .replace("{provider}", "simulated")
        .replace("{service}", "orders")
}

#[tokio::test]
async fn protected_routes_answer_401_without_a_token() {
    let shop = Shop::open().await;
    let routes = routes();
    assert!(routes.len() > 15, "the template's routes were not found");
    for (method, path) in routes {
        let answer =
            shop.visitor().send(method.clone(), &with_ids(&path), Some("{}".to_owned()), &[]).await;
        if PUBLIC.contains(&format!("{method} {path}").as_str()) {
            assert_ne!(answer.status, 401, "{method} {path}: {answer:?}");
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
        } else {
            assert_eq!(answer.problem(401), "invalid_token", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn unknown_route_is_a_problem_document() {
    let shop = Shop::open().await;
    assert_eq!(shop.visitor().get("/no-such-thing").await.problem(404), "route_not_found");
    assert_eq!(shop.visitor().get("/ordersXYZ").await.problem(404), "route_not_found");
}

/// Public routes are called without a token, all others with an admin's.
#[tokio::test]
async fn head_answers_as_get_and_other_methods_are_405() {
    let shop = Shop::open().await;
    let (visitor, admin) = (shop.visitor(), shop.admin().await);
    for (method, path) in routes().into_iter().filter(|(method, _)| method == Method::GET) {
        let caller =
            if PUBLIC.contains(&format!("{method} {path}").as_str()) { &visitor } else { &admin };
        let path = with_ids(&path);
        let ask = |method: Method| caller.send(method, &path, None, &[]);
        let (get, head, trace) =
            (ask(Method::GET).await, ask(Method::HEAD).await, ask(Method::TRACE).await);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "etag", "cache-control"] {
            assert_eq!(head.headers.get(name), get.headers.get(name), "{name} of {path}");
        }
        assert_eq!(trace.problem(405), "method_not_allowed", "{path}");
        let allow = trace.headers["allow"].to_str().unwrap();
        assert!(
            allow.starts_with("DELETE, GET, HEAD, OPTIONS")
                || allow.starts_with("GET, HEAD, OPTIONS"),
            "{path}: {allow}"
        );
    }
}

#[tokio::test]
async fn bad_input_gets_a_problem_and_writes_nothing() {
    let shop = Shop::open().await;
    let (buyer, product) = (shop.customer().await, shop.product(100, 1).await);
    let line = |quantity: &str| {
        format!(r#"{{"items":[{{"product_id":"{product}","quantity":{quantity}}}]}}"#)
    };
    // The `edge` tests cover every rule. These inputs are one of each kind, and those that a
    // gateway could change in transit.
    let bodies: [(String, u16, &str); 6] = [
        (String::new(), 400, "body_required"),
        (
            format!(r#"{{"items":[{{"product_id":"{product}","quantity":1,"quantity":99}}]}}"#),
            400,
            "duplicate_field",
        ),
        ("[".repeat(100_000), 400, "malformed_json"),
        (line("1E400"), 422, "out_of_range"),
        (
            r#"{"items":[{"product_id":"prd_0199c2a8-0000-7000-8000-00000000dead","quantity":1}]}"#
                .to_owned(),
            422,
            "unknown_product",
        ),
        (
            line("1").replace('}', r#","payment_method":"4242 4242 4242 4242"}"#),
            422,
            "card_number_rejected",
        ),
    ];
    for (body, status, code) in bodies {
        let key = unique("key");
        let answer = buyer
            .send(Method::POST, "/orders", Some(body.clone()), &[("idempotency-key", &key)])
            .await;
        assert_eq!(answer.problem(status), code, "{}", &body[..body.len().min(80)]);
        assert!(!answer.text.contains("4242"), "the input is repeated: {answer:?}");
    }
    assert_eq!(
        buyer.post("/orders", &json!({ "items": [] })).await.problem(400),
        "idempotency_key_required"
    );
    let text = buyer
        .send(
            Method::POST,
            "/orders",
            Some(line("1")),
            &[("idempotency-key", "k"), ("content-encoding", "gzip")],
        )
        .await;
    assert_eq!(text.problem(415), "unsupported_media_type");
    assert_eq!(buyer.get("/orders").await.expect(200)["items"], json!([]));
    for (query, status, code) in [
        ("limit=0", 422, "out_of_range"),
        ("limit=101", 422, "out_of_range"),
        ("limit=1&limit=2", 422, "repeated_parameter"),
        ("cursor=abc", 400, "invalid_cursor"),
        ("status=paid", 422, "unknown_value"),
    ] {
        assert_eq!(buyer.get(&format!("/orders?{query}")).await.problem(status), code, "{query}");
    }
    for id in [
        "usr_0199c2a8-0000-7000-8000-000000000001",
        "ORD_0199C2A8-0000-7000-8000-000000000001",
        "x",
    ] {
        assert_eq!(
            buyer.get(&format!("/orders/{id}")).await.problem(404),
            "order_not_found",
            "{id}"
        );
    }
}

#[tokio::test]
async fn text_is_stored_as_written() {
    let (shop, sku) = (Shop::open().await, unique("lamp / a"));
    let admin = shop.admin().await;
    let (name, described) = (
        "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{feff}two\r\nlines\tof text",
    );
    let price = json!({ "amount": 100, "currency": "USD" });
    let mut body = json!({ "name": name, "description": described, "category": "kitchen", "sku": sku, "price": price, "max_per_order": "" });
    let product = admin.post_with_key("/products", &unique("key"), &body).await.expect(201);
    assert_eq!(
        (&product["name"], &product["description"], &product["sku"]),
        (&json!(name), &json!("two\nlines of text"), &json!(sku))
    );
    body["sku"] = json!(sku.to_uppercase());
    assert_eq!(
        admin.post_with_key("/products", &unique("key"), &body).await.problem(409),
        "sku_taken"
    );
    let path = format!("/products/{}", product["id"].as_str().unwrap());
    for tag in ["W/\"1\"", "\"18446744073709551616\""] {
        let stale =
            admin.send(Method::PUT, &path, Some(body.to_string()), &[("if-match", tag)]).await;
        assert_eq!(stale.problem(412), "precondition_failed", "{tag}");
    }
    body["description"] = json!("caf\u{fffd}");
    assert_eq!(
        admin.post_with_key("/products", &unique("key"), &body).await.problem(400),
        "malformed_json"
    );
}

#[tokio::test]
async fn another_users_order_and_payment_are_404() {
    let shop = Shop::open().await;
    let (buyer, stranger, product) =
        (shop.customer().await, shop.customer().await, shop.product(100, 1).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    let payment =
        buyer.get(&format!("/payments?order_id={order}")).await.expect(200)["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();

    let (theirs, nobodys) = (
        stranger.get(&format!("/orders/{order}")).await,
        stranger.get("/orders/ord_0199c2a8-0000-7000-8000-00000000dead").await,
    );
    let without_id = |answer: &crate::shop::Answer| {
        let mut document = answer.json();
        document.as_object_mut().unwrap().remove("request_id");
        document
    };
    assert_eq!(theirs.problem(404), "order_not_found");
    assert_eq!(without_id(&theirs), without_id(&nobodys));
    assert_eq!(
        stranger.get(&format!("/payments/{payment}")).await.problem(404),
        "payment_not_found"
    );
    assert_eq!(
        stranger.get(&format!("/payments?order_id={order}")).await.problem(404),
        "order_not_found"
    );
    assert_eq!(
        stranger.get(&format!("/orders?user_id={}", buyer.id)).await.problem(403),
        "insufficient_permissions"
    );
    let admin = shop.admin().await;
    admin.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(admin.get("/orders").await.problem(422), "filter_required");
    assert_eq!(
        admin.get(&format!("/orders?user_id={}", buyer.id)).await.expect(200)["items"][0]["id"],
        order.as_str()
    );
    for (path, body) in
        [("/products", json!({})), (&format!("/inventory/{product}/adjustments"), json!({}))]
    {
        assert_eq!(
            stranger.post_with_key(path, "k", &body).await.problem(403),
            "insufficient_permissions",
            "{path}"
        );
    }
    let seen = stranger.get(&format!("/inventory/{product}")).await.expect(200);
    assert_eq!(
        seen,
        json!({ "product_id": product, "in_stock": false }),
        "the figures are for admins"
    );
}

#[tokio::test]
async fn repeated_key_returns_the_first_answer_byte_for_byte() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(2999, 10).await);
    let (key, body) = (
        unique("key"),
        json!({ "items": [{ "product_id": product, "quantity": 2 }], "payment_method": card("tok_ok") }),
    );
    let first = buyer.post_with_key("/orders", &key, &body).await;
    let order = first.expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("orders/{order}"));

    let repeat = |body: Value| {
        let (buyer, key) = (buyer.clone(), key.clone());
        async move { buyer.post_with_key("/orders", &key, &body).await }
    };
    let same = |answer: &crate::shop::Answer| {
        assert_eq!((answer.status, &answer.text), (201, &first.text));
        assert_eq!(answer.header("idempotent-replayed"), "true");
    };
    same(&repeat(body.clone()).await);

    // A price change does not affect existing orders.
    let change = shop
        .dynamodb
        .update_item()
        .table_name(shop.table("order-products"))
        .key("pk", AttributeValue::S(format!("PRODUCT#{product}")));
    let change = change
        .update_expression("SET price.amount = :amount, #version = :version")
        .expression_attribute_names("#version", "version");
    let change = change
        .expression_attribute_values(":amount", AttributeValue::N("1".to_owned()))
        .expression_attribute_values(":version", AttributeValue::N("99".to_owned()));
    change.send().await.unwrap();
    same(&repeat(body.clone()).await);

    buyer.order_with_status(&order, "confirmed").await;
    same(&repeat(body.clone()).await);
    let spaced = format!("  {}  ", body.to_string().replace(':', " : "));
    same(&buyer.send(Method::POST, "/orders", Some(spaced), &[("idempotency-key", &key)]).await);

    let mut other = body.clone();
    other["items"][0]["quantity"] = 1.into();
    assert_eq!(repeat(other).await.problem(422), "idempotency_key_reused");
    other = body;
    other["expected_total"] = json!({ "amount": 5998, "currency": "USD" });
    let changed = buyer.post_with_key("/orders", &unique("key"), &other).await;
    assert_eq!(changed.problem(409), "price_changed");
    assert_eq!(changed.json()["total"]["amount"], 2);
}

#[tokio::test]
async fn concurrent_copies_of_an_order_place_it_once() {
    let shop = shop_with!(Tables);
    let (buyer, product) = (shop.customer().await, shop.product(100, 10).await);
    let body = json!({ "items": [{ "product_id": product, "quantity": 1 }] });
    let copies: Vec<_> = (0..16)
        .map(|_| {
            let (buyer, body) = (buyer.clone(), body.clone());
            tokio::spawn(
                async move { buyer.post_with_key("/orders", "one-and-the-same", &body).await },
            )
        })
        .collect();
    let mut texts = std::collections::BTreeSet::new();
    for copy in copies {
        let answer = copy.await.unwrap();
        answer.expect(201);
        texts.insert(answer.text);
    }
    assert_eq!(texts.len(), 1);
    assert_eq!(buyer.get("/orders").await.expect(200)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn lists_are_paginated() {
    let shop = shop_with!(Tables);
    let (buyer, stranger, product) =
        (shop.customer().await, shop.customer().await, shop.product(100, 10).await);
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(buyer.order(&product, 1, None).await);
    }
    placed.reverse();
    let all =
        || async { buyer.get("/orders").await.expect(200)["items"].as_array().unwrap().len() };
    until("all orders are listed", all, |count| *count == 5).await;
    let (mut seen, mut path) = (Vec::new(), "/orders?limit=2".to_owned());
    loop {
        let page = buyer.get(&path).await.expect(200);
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        assert_eq!(
            stranger.get(&format!("/orders?limit=2&cursor={cursor}")).await.problem(400),
            "invalid_cursor"
        );
        assert_eq!(
            buyer.get(&format!("/orders?limit=3&cursor={cursor}")).await.problem(400),
            "invalid_cursor"
        );
        path = format!("/orders?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, placed);
}

#[tokio::test]
async fn every_response_has_a_request_id_and_security_headers() {
    let shop = Shop::open().await;
    let answer =
        shop.visitor().send(Method::GET, "/products", None, &[("x-request-id", "my-own-id")]).await;
    answer.expect(200);
    assert_eq!(answer.header("x-request-id"), "my-own-id");
    assert!(!answer.header("x-process-time").is_empty());
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let unsafe_id = shop
        .visitor()
        .send(Method::GET, "/products", None, &[("x-request-id", "a b<script>")])
        .await;
    assert_ne!(unsafe_id.header("x-request-id"), "a b<script>");
}

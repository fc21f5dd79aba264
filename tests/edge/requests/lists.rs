//! Limits and cursors of lists.

use serde_json::{Value, json};
use tests::events;

use crate::{
    fixture::{ApiFixture, ECHO, Expect, STRANGER},
    routes::ROUTES,
};

fn query(event: &mut Value, parameters: &[(&str, &str)]) {
    let mut several = json!({});
    for (name, value) in parameters {
        match several[*name].as_array_mut() {
            Some(values) => values.push(json!(value)),
            None => several[*name] = json!([value]),
        }
    }
    let single =
        several.as_object().unwrap().iter().map(|(name, values)| {
            (name.clone(), values.as_array().unwrap().last().unwrap().clone())
        });
    event["queryStringParameters"] = Value::Object(single.collect());
    event["multiValueQueryStringParameters"] = several;
}

#[tokio::test]
async fn repeated_or_invalid_limit_and_cursor_are_rejected() {
    let long = "A".repeat(10_240);
    let mut edge = ApiFixture::new("queries").await;
    let order = edge.paid_order.clone();
    for route in ROUTES.iter().filter(|route| route.list) {
        let rows: Vec<(Vec<(&str, &str)>, u64, &str)> = [
            "0",
            "-1",
            "101",
            "1e9",
            "1000000000",
            "abc",
            "",
            "+5",
            " 5",
            "5 ",
            "5.0",
            "٥",
            "0x10",
            "99999999999999999999",
            "1\0",
            "null",
            ECHO,
        ]
        .into_iter()
        .map(|limit| (vec![("limit", limit)], 422, "out_of_range"))
        .chain([
            (vec![("limit", "1"), ("limit", "2")], 422, "repeated_parameter"),
            (vec![("limit", "1"), ("limit", "1")], 422, "repeated_parameter"),
            (vec![("cursor", "a"), ("cursor", "b")], 422, "repeated_parameter"),
        ])
        .chain(
            [
                "",
                "x",
                "eyJwayI6IngifQ",
                "eyJwayI6IngifQ==",
                "é",
                "..",
                "\0",
                &long,
                ECHO,
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "%00",
            ]
            .into_iter()
            .map(|cursor| (vec![("cursor", cursor)], 400, "invalid_cursor")),
        )
        .collect();
        for (parameters, status, code) in rows {
            let mut event = edge.valid(route.operation);
            let named = if route.operation == "list-payments" {
                vec![("order_id", order.as_str())]
            } else {
                vec![]
            };
            query(&mut event, &[named, parameters.clone()].concat());
            edge.check(
                &format!("{parameters:?}"),
                route.operation,
                event,
                Expect::Problem(status, code),
            )
            .await;
        }
        let mut event = edge.valid(route.operation);
        let named = if route.operation == "list-payments" {
            vec![("order_id", order.as_str())]
        } else {
            vec![]
        };
        query(
            &mut event,
            &[named, vec![("unknown", ECHO), ("limit", "100"), ("__proto__", "x")]].concat(),
        );
        edge.check("unknown parameters", route.operation, event, Expect::Fine).await;
    }
    let own: [(&str, &[(&str, &str)], u64, &str); 29] = [
        ("list-products", &[("category", "Upper")], 422, "invalid_category"),
        ("list-products", &[("category", "")], 422, "invalid_category"),
        ("list-products", &[("category", "a#0")], 422, "invalid_category"),
        ("list-products", &[("category", "a"), ("category", "b")], 422, "repeated_parameter"),
        ("list-orders", &[("status", "paid")], 422, "unknown_value"),
        ("list-orders", &[("status", "")], 422, "unknown_value"),
        ("list-orders", &[("status", "PENDING")], 422, "unknown_value"),
        ("list-orders", &[("status", "pending"), ("status", "failed")], 422, "repeated_parameter"),
        ("list-orders", &[("user_id", "x")], 422, "invalid_id"),
        ("list-orders", &[("user_id", "")], 422, "invalid_id"),
        ("list-orders", &[("user_id", STRANGER)], 403, "insufficient_permissions"),
        (
            "list-orders",
            &[("user_id", events::USER), ("user_id", STRANGER)],
            422,
            "repeated_parameter",
        ),
        ("list-orders", &[("needs_review", "")], 422, "unknown_value"),
        ("list-orders", &[("needs_review", "TRUE")], 422, "unknown_value"),
        ("list-orders", &[("stuck", "1")], 422, "unknown_value"),
        ("list-orders", &[("stuck", "true"), ("stuck", "false")], 422, "repeated_parameter"),
        ("list-orders", &[("stuck", "true")], 403, "insufficient_permissions"),
        (
            "list-orders",
            &[("needs_review", "true"), ("user_id", events::USER)],
            403,
            "insufficient_permissions",
        ),
        ("list-orders", &[("number", "")], 422, "invalid_order_number"),
        ("list-orders", &[("number", "7K3M-Q8ZT-0V2")], 422, "invalid_order_number"),
        ("list-orders", &[("number", "7K3M-Q8ZT-0V2RR")], 422, "invalid_order_number"),
        ("list-orders", &[("number", "7K3M Q8ZT 0V2R")], 422, "invalid_order_number"),
        ("list-orders", &[("number", "7K3M-Q8ZT-0V2U")], 422, "invalid_order_number"),
        (
            "list-orders",
            &[("number", "7K3M-Q8ZT-0V2R"), ("number", "7K3M-Q8ZT-0V2R")],
            422,
            "repeated_parameter",
        ),
        ("list-orders", &[("number", "7K3M-Q8ZT-0V2R")], 403, "insufficient_permissions"),
        ("list-payments", &[], 422, "required"),
        ("list-payments", &[("order_id", "")], 404, "order_not_found"),
        ("list-payments", &[("order_id", "ord_x")], 404, "order_not_found"),
        ("list-payments", &[("order_id", "a"), ("order_id", "b")], 422, "repeated_parameter"),
    ];
    for (operation, parameters, status, code) in own {
        let mut event = edge.valid(operation);
        query(&mut event, parameters);
        edge.check(&format!("{parameters:?}"), operation, event, Expect::Problem(status, code))
            .await;
    }
    edge.done();
}

#[tokio::test]
async fn cursor_of_another_list_is_rejected() {
    let mut edge = ApiFixture::new("cursors").await;
    let list = |operation: &'static str, caller: &str, parameters: &[(&str, &str)]| {
        let mut event = events::get(&format!("/{}", operation.trim_start_matches("list-")))
            .caller(caller)
            .event();
        query(&mut event, parameters);
        event
    };
    let first = edge
        .shop
        .call("list-orders", list("list-orders", events::USER, &[("limit", "1")]))
        .await
        .json();
    let cursor = first["next_cursor"].as_str().expect("there are three orders").to_owned();
    let good = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &cursor)]);
    edge.check("the next page", "list-orders", good, Expect::Fine).await;
    let filtered: [(&'static str, &str, &[(&str, &str)]); 10] = [
        ("list-orders", STRANGER, &[("limit", "1")]),
        ("list-orders", events::ADMIN, &[("limit", "1"), ("user_id", events::USER)]),
        ("list-orders", events::ADMIN, &[("limit", "1"), ("status", "pending")]),
        ("list-orders", events::USER, &[("limit", "2")]),
        ("list-orders", events::USER, &[]),
        ("list-orders", events::USER, &[("limit", "1"), ("status", "pending")]),
        ("list-notifications", events::USER, &[("limit", "1")]),
        ("list-products", events::USER, &[("limit", "1")]),
        ("list-users", events::ADMIN, &[("limit", "1")]),
        ("list-payments", events::USER, &[("limit", "1"), ("order_id", &edge.paid_order.clone())]),
    ];
    for (operation, caller, parameters) in filtered {
        let event = list(operation, caller, &[parameters, &[("cursor", &cursor)]].concat());
        edge.check(
            &format!("another list: {parameters:?} of {caller}"),
            operation,
            event,
            Expect::Problem(400, "invalid_cursor"),
        )
        .await;
    }
    for position in 0..cursor.len() {
        let mut forged = cursor.clone().into_bytes();
        forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        for text in [&*forged, &cursor[..position]] {
            let event = list("list-orders", events::USER, &[("limit", "1"), ("cursor", text)]);
            edge.check(
                "a forged cursor",
                "list-orders",
                event,
                Expect::Problem(400, "invalid_cursor"),
            )
            .await;
        }
    }
    for text in
        [format!("{cursor}="), format!("{cursor}A"), format!(" {cursor}"), cursor.to_uppercase()]
    {
        let event = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &text)]);
        edge.check(
            "a stretched cursor",
            "list-orders",
            event,
            Expect::Problem(400, "invalid_cursor"),
        )
        .await;
    }
    edge.shop.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let late = list("list-orders", events::USER, &[("limit", "1"), ("cursor", &cursor)]);
    edge.check("an old cursor", "list-orders", late, Expect::Problem(400, "invalid_cursor")).await;
    edge.done();
}

//! Unreadable changes: a publisher never stops on one and loses none of them.

use serde_json::{Value, json};
use shared::lambda::Lambda;
use tests::{
    events::{self, sample},
    shop::{Shop, operations, queues},
    template,
};
use tokio::sync::OnceCell;

use crate::bodies::places;

/// Every publisher, with the dead-letter queue for changes that it cannot read.
fn publishers() -> impl Iterator<Item = (String, String)> {
    operations().filter_map(|operation| Some((operation.name(), operation.dead_letter_queue()?)))
}

/// The characters that SQS accepts: see "SendMessage", Amazon SQS API Reference. One other
/// character makes SQS reject the whole message.
fn is_taken_by_sqs(body: &str) -> bool {
    body.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}'))
        && body.len() <= 1 << 20
        && !body.is_empty()
}

/// A user with both links pending, who has also changed the password.
fn change_with_links() -> Value {
    let mut record = sample("publish-user-events")["Records"][0].clone();
    let link = json!({ "M": {
        "token_hash": { "S": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" },
        "sealed_token": { "S": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" },
        "expires_at": { "S": "2026-11-21T10:32:30.789Z" },
        "send_count": { "N": "1" },
    } });
    let image = &mut record["dynamodb"]["NewImage"];
    image["verification"] =
        json!({ "M": { "email": { "S": "countess@example.com" }, "link": link } });
    image["reset"] = link;
    image["password_changed_at"] = json!({ "S": "2026-11-21T10:02:30.789Z" });
    record
}

/// Changes that the samples do not cover: restocking, low stock, a shipment, refunds and a product
/// update.
async fn changes_of_a_running_shop() -> Vec<(String, Value)> {
    let shop = Shop::new();
    let mut harness = shop.harness();
    let product = shop.product("Teapot", 2999, 12).await;
    harness.drain_queues().await;
    let admin = |method: &str, path: &str, body: &Value| {
        let request = events::http(method, path)
            .header("content-type", "application/json")
            .body(&body.to_string());
        request
            .caller(events::ADMIN)
            .header("idempotency-key", "trade")
            .header("if-match", "\"1\"")
            .path_parameter("product_id", &product)
    };
    let address = json!({ "name": "Ada", "line1": "1 Way", "city": "Town", "postal_code": "SW1", "country": "GB" });
    let mut orders = Vec::new();
    for (key, quantity) in [("sent", 2), ("returned", 1)] {
        let order_request = json!({
            "items": [{ "product_id": product, "quantity": quantity }],
            "payment_method": { "type": "card", "token": "tok_ok" },
            "shipping_address": address,
        });
        orders.push(
            shop.call("create-order", events::new_order(key, &order_request)).await.json()["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        harness.drain_queues().await;
    }
    let parcel = json!({ "carrier": "Royal Mail", "tracking": "RM 1" });
    let divided =
        json!({ "delta": 1, "reason": "found", "shard_count": 2, "low_stock_threshold": 15 });
    let details = json!({ "name": "Tea pot", "category": "table", "sku": "TEA-POT", "price": { "amount": 1, "currency": "USD" } });
    for (operation, request) in [
        ("ship-order", admin("POST", "/orders", &parcel).path_parameter("order_id", &orders[0])),
        (
            "cancel-order",
            admin("POST", "/orders", &json!({ "reason": "second thoughts" }))
                .path_parameter("order_id", &orders[1]),
        ),
        ("adjust-stock", admin("POST", "/inventory", &divided)),
        ("update-product", admin("PUT", "/products", &details)),
        ("archive-product", admin("DELETE", "/products", &json!({})).header("if-match", "\"2\"")),
    ] {
        let mut event = request.event();
        if operation == "archive-product" {
            event["multiValueHeaders"]["if-match"] = json!(["\"2\""]);
        }
        let called = shop.call(operation, event).await;
        assert!((200..300).contains(&called.status()), "{operation}: {:?}", called.answer);
        harness.drain_queues().await;
    }
    let shown = |table: &str, what: &str, is_meant: &dyn Fn(&Value) -> bool| {
        let (records, _) =
            shop.aws.database().changes(&format!("{}-{table}", template::STACK), None);
        let found = records.into_iter().find(|record| {
            record["dynamodb"]["NewImage"].is_object() && is_meant(&record["dynamodb"])
        });
        found.unwrap_or_else(|| panic!("nothing in {table} shows {what}"))
    };
    let key = |change: &Value, prefix: &str| {
        change["Keys"]["pk"]["S"].as_str().is_some_and(|key| key.starts_with(prefix))
    };
    let new = |change: &Value, name: &str| change["NewImage"][name].clone();
    let number = |image: &Value, name: &str| {
        image[name]["N"].as_str().and_then(|text| text.parse::<i64>().ok()).unwrap_or_default()
    };
    let is = |change: &Value, name: &str, text: &str| new(change, name) == json!({ "S": text });
    let runs_out = |change: &Value| {
        key(change, "STOCK#")
            && number(&change["OldImage"], "available") > 10
            && number(&change["NewImage"], "available") <= 10
    };
    let stock: [(&str, &dyn Fn(&Value) -> bool); 5] = [
        ("a movement", &|change| key(change, "MOVE#")),
        ("little left", &runs_out),
        ("a division", &|change| key(change, "STOCK#") && new(change, "shard_count").is_object()),
        ("a further part", &|change| {
            key(change, "STOCK#") && number(&change["NewImage"], "shard") == 1
        }),
        ("released stock", &|change| is(change, "state", "released")),
    ];
    let orders: [(&str, &dyn Fn(&Value) -> bool); 2] = [
        ("a parcel", &|change| is(change, "status", "shipped")),
        ("a cancelled order", &|change| is(change, "status", "cancelled")),
    ];
    let payments: [(&str, &dyn Fn(&Value) -> bool); 1] =
        [("a refund", &|change| number(&change["NewImage"], "refunded_total") > 0)];
    let products: [(&str, &dyn Fn(&Value) -> bool); 2] = [
        ("another version", &|change| {
            key(change, "PRODUCT#") && number(&change["NewImage"], "version") == 2
        }),
        ("an archived product", &|change| is(change, "status", "archived")),
    ];
    let tables: [(&str, &str, &[(&str, &dyn Fn(&Value) -> bool)]); 4] = [
        ("stock", "publish-stock-events", &stock),
        ("orders", "publish-order-events", &orders),
        ("payments", "publish-payment-events", &payments),
        ("products", "publish-product-events", &products),
    ];
    let each =
        |(table, operation, changes): (&str, &'static str, &[(&str, &dyn Fn(&Value) -> bool)])| {
            changes
                .iter()
                .map(|(what, is_meant)| (operation.to_owned(), shown(table, what, is_meant)))
                .collect::<Vec<_>>()
        };
    tables.into_iter().flat_map(each).collect()
}

/// The changes of the publishers' samples, [`change_with_links`] and [`changes_of_a_running_shop`].
/// They are built once for all tests.
async fn all_changes() -> &'static [(String, String, Value)] {
    static CHANGES: OnceCell<Vec<(String, String, Value)>> = OnceCell::const_new();
    let changes = CHANGES.get_or_init(async || {
        let trade = changes_of_a_running_shop().await;
        let changes = publishers().flat_map(|(operation, dead_letter)| {
            let samples = sample(&operation)["Records"].as_array().unwrap().clone();
            let links = (operation == "publish-user-events").then(change_with_links);
            let of_trade = trade
                .iter()
                .filter(|(publisher, _)| *publisher == operation)
                .map(|(_, record)| record.clone());
            let records: Vec<Value> = samples.into_iter().chain(links).chain(of_trade).collect();
            records.into_iter().map(move |record| (operation.clone(), dead_letter.clone(), record))
        });
        changes.collect()
    });
    changes.await
}

/// Returns a publisher. The stock publisher has an operator address for low-stock mails.
fn publisher(shop: &Shop, operation: &str) -> Lambda {
    if operation == "publish-stock-events" {
        shop.stock_publisher_with_operator()
    } else {
        shop.lambda(operation)
    }
}

/// Takes the messages out of these queues. Removes the trace id, which differs in each call.
fn taken<'a>(shop: &Shop, queues: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let messages = queues.into_iter().flat_map(|queue| shop.aws.queues().take(queue, usize::MAX));
    let without_trace = |body: String| match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(mut envelope)) => {
            envelope.remove("traceparent");
            Value::Object(envelope).to_string()
        }
        _ => body,
    };
    messages.map(|message| without_trace(message.body)).collect()
}

/// Records with one defect each: one attribute of the new image, or of both images, is missing or
/// has a wrong value.
fn damaged(good: &Value, name: &str) -> Vec<Value> {
    let wrong = [
        json!(null),
        json!({}),
        json!([]),
        json!(5),
        json!("x"),
        json!({ "S": "" }),
        json!({ "S": "x" }),
        json!({ "N": "-1" }),
        json!({ "N": "x" }),
        json!({ "N": "1e400" }),
        json!({ "NULL": true }),
        json!({ "M": {} }),
        json!({ "L": [] }),
        json!({ "BOOL": true }),
        json!({ "S": 5 }),
        json!({ "B": "!!" }),
        json!({ "S": "+010000-01-01T00:00:00Z" }),
    ];
    let mut records = Vec::new();
    for value in wrong.iter().map(Some).chain([None]) {
        let mut item = good["dynamodb"]["NewImage"].as_object().unwrap().clone();
        match value {
            Some(value) => drop(item.insert(name.to_owned(), value.clone())),
            None => drop(item.remove(name)),
        }
        for images in [&["NewImage"][..], &["NewImage", "OldImage"]] {
            let mut record = good.clone();
            for image in images {
                record["dynamodb"][image] = item.clone().into();
            }
            records.push(record);
        }
    }
    records
}

/// Records that are not changes of a table.
fn malformed() -> Vec<Value> {
    vec![
        json!(null),
        json!(5),
        json!("x"),
        json!([]),
        json!({}),
        json!({ "eventName": "MODIFY" }),
        json!({ "eventName": 5, "dynamodb": {} }),
        json!({ "eventName": "INSERT", "dynamodb": { "NewImage": 5 } }),
    ]
}

/// Sends a publisher its changes in batches, each bad record between two good ones. All good
/// records are published. Only bad records that cannot be published go to the dead-letter queue.
async fn check_bad_records(operation: &str) {
    let (mut checked, mut dead, mut violations) = (0, 0, Vec::new());
    for (_, dead_letter, good) in
        all_changes().await.iter().filter(|(publisher, ..)| *publisher == operation)
    {
        let shop = Shop::new();
        let lambda = publisher(&shop, operation);
        shop.aws.call(&lambda, json!({ "Records": [good] })).await;
        let alone = taken(&shop, queues());
        let names: Vec<String> = good["dynamodb"]["NewImage"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let groups = names
            .into_iter()
            .map(|name| (damaged(good, &name), name))
            .chain([(malformed(), "the record".to_owned())]);
        for (bad, what) in groups {
            checked += bad.len();
            // The bad records alone: the mixed batch must publish the same, and the good records as
            // well.
            let apart = shop.aws.call(&lambda, json!({ "Records": bad })).await;
            let (mut expected, dead_apart) =
                (taken(&shop, queues()), taken(&shop, [dead_letter.as_str()]));
            expected.extend((0..=bad.len()).flat_map(|_| alone.clone()));
            let mut records = vec![good];
            records.extend(bad.iter().flat_map(|bad| [bad, good]));
            let called = shop.aws.call(&lambda, json!({ "Records": records })).await;
            let (mut sent, letters) =
                (taken(&shop, queues()), taken(&shop, [dead_letter.as_str()]));
            dead += letters.len();
            expected.sort_unstable();
            sent.sort_unstable();
            if apart.answer.is_err()
                || called.answer.is_err()
                || sent != expected
                || letters != dead_apart
            {
                violations.push(format!(
                    "{what}: {:?}, {} sent instead of {}",
                    called.answer,
                    sent.len(),
                    expected.len()
                ));
            }
            let mut left: Vec<String> = bad.iter().map(Value::to_string).collect();
            for letter in letters {
                match left.iter().position(|bad| *bad == letter) {
                    Some(position) => drop(left.swap_remove(position)),
                    None => violations.push(format!(
                        "{what}: no bad record, or one that is dead already: {letter}"
                    )),
                }
            }
            let is_published = |bad: &&Value| bad["dynamodb"]["NewImage"].is_object();
            for bad in
                bad.iter().filter(|bad| !is_published(bad) && left.contains(&bad.to_string()))
            {
                violations.push(format!("{what}: neither published nor dead: {bad}"));
            }
        }
        for event in [json!(null), json!({}), json!({ "Records": 5 }), json!([])] {
            assert!(shop.call(operation, event).await.answer.is_err(), "{operation}");
        }
    }
    eprintln!(
        "edge: bad changes for {operation}: {checked} records, {dead} dead, {} violations",
        violations.len()
    );
    assert!(
        checked > 0 && violations.is_empty(),
        "{} violations: {:#?}",
        violations.len(),
        &violations[..violations.len().min(20)]
    );
}

/// One test per publisher, so that they run concurrently.
macro_rules! bad_records {
    ($($publisher:ident)*) => {
        mod publisher_continues_and_keeps_unreadable_changes {
            $(
                #[tokio::test]
                async fn $publisher() {
                    super::check_bad_records(&stringify!($publisher).replace('_', "-")).await;
                }
            )*

            #[test]
            fn of_every_publisher() {
                let tested = vec![$(stringify!($publisher).replace('_', "-")),*];
                assert_eq!(tested, super::publishers().map(|(operation, _)| operation).collect::<Vec<_>>());
            }
        }
    };
}

bad_records! { publish_user_events publish_product_events publish_pricing_events publish_stock_events publish_order_events publish_payment_events }

/// A text that DynamoDB accepts must not produce a message that SQS rejects: it would block the
/// stream for a day.
#[tokio::test]
async fn messages_of_any_image_are_accepted_by_sqs() {
    let mut violations = Vec::new();
    let mut checked = 0;
    for (operation, dead_letter, good) in all_changes().await {
        let shop = Shop::new();
        let lambda = publisher(&shop, operation);
        let image = good["dynamodb"]["NewImage"].clone();
        for place in places(&image).into_iter().filter(|place| place.ends_with("/S")) {
            let text = image.pointer(&place).unwrap().as_str().unwrap();
            let with = |c: char| {
                let mut record = good.clone();
                *record["dynamodb"]["NewImage"].pointer_mut(&place).unwrap() =
                    format!("{text}{c}").into();
                record
            };
            let records = [
                '\u{ffff}',
                '\u{fffe}',
                '\u{0}',
                '\u{1b}',
                '\u{7f}',
                '\u{85}',
                '\u{fdd0}',
                '\u{1ffff}',
                '\u{2028}',
            ]
            .map(with);
            checked += records.len();
            let called = shop.aws.call(&lambda, json!({ "Records": records })).await;
            let bodies = queues()
                .chain([dead_letter.as_str()])
                .flat_map(|queue| shop.aws.queues().take(queue, usize::MAX));
            let refused: Vec<String> =
                bodies.map(|message| message.body).filter(|body| !is_taken_by_sqs(body)).collect();
            if called.answer.is_err() || !refused.is_empty() {
                violations.push(format!(
                    "{operation}: {place}: {:?}, SQS refuses {refused:?}",
                    called.answer
                ));
            }
        }
    }
    // The path open to an outsider: a name at registration, which the order mails repeat.
    let shop = Shop::new();
    let product = shop.product("Teapot", 2999, 50).await;
    let mut harness = shop.harness();
    harness.drain_queues().await;
    let mut event = events::new_order("k", &events::order_request(&product, 1, Some("tok_ok")));
    event["requestContext"]["authorizer"]["name"] = "Ada\u{ffff}".into();
    assert_eq!(shop.call("create-order", event).await.status(), 201);
    harness.drain_queues().await;
    let sent = harness
        .delivered
        .iter()
        .filter(|(_, message)| message.to_string().contains('\u{ffff}'))
        .count();
    eprintln!(
        "edge: unusual texts in images: {checked} changes, {} violations; {sent} messages repeat the name",
        violations.len()
    );
    assert!(
        violations.is_empty(),
        "{} violations: {:#?}",
        violations.len(),
        &violations[..violations.len().min(20)]
    );
}

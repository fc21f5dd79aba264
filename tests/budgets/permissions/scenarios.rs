//! The scenarios that lead every function through all of its outcomes.

use super::*;

/// Ada's use of her account, and attempts of others.
pub(super) async fn users(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    watched.call("login-user", sample("login-user")).await;
    for rotation in ["first", "second"] {
        watched.shop.aws.secrets_manager().begin_rotation("signing-key", rotation);
        for step in [
            "createSecret",
            "createSecret",
            "setSecret",
            "testSecret",
            "finishSecret",
            "finishSecret",
        ] {
            let event = json!({ "Step": step, "SecretId": "ferrocart/signing-key", "ClientRequestToken": rotation });
            assert!(watched.call("rotate-signing-key", event).await.answer.is_ok(), "{step}");
        }
    }
    assert!(
        watched.call("rotate-signing-key", json!({ "revoke": "current" })).await.answer.is_ok()
    );
    let mut harness = watched.harness();
    for status in [201, 409] {
        assert_eq!(watched.cold("register-user", sample("register-user")).await.status(), status);
    }
    harness.drain_queues().await;
    watched.follow("verify-email", ADA, json!({}), 204).await;

    let (login, _) = watched.log_in("correct horse battery staple").await;
    assert!(watched.cold("authorize-request", events::authorize("a.b.c")).await.answer.is_err());
    watched.cold("get-jwks", sample("get-jwks")).await;
    let first = watched.cold("refresh-token", refresh(&login)).await;
    assert_eq!(
        (first.status(), watched.call("refresh-token", refresh(&login)).await.status()),
        (200, 200)
    );
    for role in ["admin", "admin", "user"] {
        assert!(
            watched.call("grant-role", json!({ "email": ADA, "role": role })).await.answer.is_ok()
        );
    }
    watched
        .with_fault(2, Fault::Conflict, "grant-role", json!({ "email": ADA, "role": "admin" }))
        .await;
    let second = watched.cold("refresh-token", refresh(&first)).await;
    assert_eq!(second.status(), 200, "her role is another one: {:?}", second.answer);
    // The first successor was itself exchanged: presenting its predecessor ends the session.
    assert_eq!(watched.cold("refresh-token", refresh(&first)).await.status(), 401);
    assert_eq!(
        watched.cold("refresh-token", refresh(&second)).await.status(),
        401,
        "the session is over"
    );

    let (_, ada) = watched.log_in("correct horse battery staple").await;
    ada_changes(&watched, &mut harness, &ada).await;
    for _ in 0..2 {
        watched
            .cold(
                "request-password-reset",
                post("/users/password-reset", &json!({ "email": KING })),
            )
            .await;
        harness.drain_queues().await;
    }
    watched
        .call(
            "request-password-reset",
            post("/users/password-reset", &json!({ "email": "nobody@example.com" })),
        )
        .await;
    watched
        .follow(
            "confirm-password-reset",
            KING,
            json!({ "new_password": "correct horse battery staple" }),
            204,
        )
        .await;

    let charles = register(&watched, "charles").await;
    harness.drain_queues().await;
    // A login change releases an address that was never verified.
    let body =
        json!({ "email": "babbage@example.com", "current_password": "difference engine no 2" });
    let update = events::http("PATCH", "/users/me")
        .caller(&charles)
        .header("content-type", "application/json")
        .header("if-match", "\"1\"");
    assert_eq!(
        watched.cold("update-me", update.body(&body.to_string()).event()).await.status(),
        200
    );
    harness.drain_queues().await;
    watched.follow("verify-email", "babbage@example.com", json!({}), 204).await;
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-users", "limit=1", Some(ADMIN)).await;
    let id = ada["context"]["sub"].as_str().expect("she has an id");
    let of_ada = |request: Http| request.caller(ADMIN).path_parameter("user_id", id);
    let seen_by_admin = watched.call("get-user", of_ada(events::get("/users")).event()).await;
    let tag = seen_by_admin.header("etag").expect("a profile has a version");
    let update =
        of_ada(events::post("/users", &json!({ "is_active": true, "full_name": "Ada King" })))
            .header("if-match", &tag);
    for status in [200, 412] {
        assert_eq!(watched.call("update-user", update.clone().event()).await.status(), status);
    }
    assert_eq!(
        watched
            .call("logout-user", events::post("/users/logout", &json!({})).authorized(&ada).event())
            .await
            .status(),
        204
    );
    assert_eq!(
        watched
            .call("delete-me", events::http("DELETE", "/users/me").authorized(&ada).event())
            .await
            .status(),
        204
    );
    harness.drain_queues().await;
    watched.call("check-health", json!({})).await;
    watched.call("get-health", events::get("/health").event()).await;
    watched.call("get-docs", sample("get-docs")).await;
    watched.call("check-release", sample("check-release")).await;
}

/// Changes by Ada herself: her profile, her address and her password.
async fn ada_changes(watched: &Watched, harness: &mut Harness, ada: &Value) {
    let me = |method: &str, path: &str| {
        events::http(method, path).authorized(ada).header("content-type", "application/json")
    };
    let body = json!({ "full_name": "Ada King", "email": KING, "current_password": "correct horse battery staple" });
    // A change that is withdrawn before its confirmation, one that is withdrawn afterwards, and one
    // that remains.
    for withdrawn in ["pending", "moved", ""] {
        let tag = watched
            .call("get-me", me("GET", "/users/me").event())
            .await
            .header("etag")
            .expect("a profile has a version");
        let update = me("PATCH", "/users/me").header("if-match", &tag).body(&body.to_string());
        for status in [200, 412] {
            assert_eq!(watched.cold("update-me", update.clone().event()).await.status(), status);
        }
        harness.drain_queues().await;
        if withdrawn != "pending" {
            watched.follow("verify-email", KING, json!({}), 204).await;
            harness.drain_queues().await;
        }
        if !withdrawn.is_empty() {
            watched.follow("withdraw-email-change", ADA, json!({}), 204).await;
            watched.follow("withdraw-email-change", ADA, json!({}), 400).await;
        }
    }
    for (password, status) in [("wrong", 422), ("correct horse battery staple", 204)] {
        let body =
            json!({ "current_password": password, "new_password": "four score and seven donkeys" });
        let changed = watched
            .cold(
                "change-password",
                me("POST", "/users/me/password").body(&body.to_string()).event(),
            )
            .await;
        assert_eq!(changed.status(), status, "{:?}", changed.answer);
    }
}

async fn register(watched: &Watched, name: &str) -> String {
    let body = json!({ "email": format!("{name}@example.com"), "username": name, "full_name": name, "password": "difference engine no 2" });
    let registered = watched.cold("register-user", post("/users", &body)).await;
    assert_eq!(registered.status(), 201);
    registered.json()["id"].as_str().expect("a user has an id").to_owned()
}

/// An imported account gets a current hash at its first login.
pub(super) async fn imported_accounts(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    watched.shop.rotate_signing_key().await;
    let _ = register(&watched, "ada").await;
    for mut item in watched
        .shop
        .aws
        .items("users")
        .into_iter()
        .filter(|item| item.get("password_hash").is_some())
    {
        // The first test vector of crypt_blowfish.
        item["password_hash"]["S"] =
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into();
        watched.shop.aws.put("users", &item);
    }
    watched.log_in("U*U").await;
}

pub(super) async fn catalogue_and_stock(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    // The same request with the same key, another product with the same SKU, and a lost response.
    let create = |key: &str, sku: &str| {
        let price = json!({ "amount": 2999, "currency": "USD" });
        let body = json!({ "name": format!("Thing {sku}"), "category": "kitchen", "sku": sku, "price": price });
        events::post("/products", &body).caller(ADMIN).header("idempotency-key", key).event()
    };
    let first = watched.call("create-product", create("one", "A")).await;
    for (key, sku) in [("one", "A"), ("two", "A"), ("two", "B"), ("one", "C")] {
        watched.call("create-product", create(key, sku)).await;
    }
    watched.with_fault(0, Fault::LoseResponse, "create-product", create("three", "D")).await;
    watched.call("create-product", create("three", "D")).await;
    // A SKU whose product is missing: here the operation needs a read in addition to the failed
    // condition.
    let half = Watched::new(seen);
    let holder = watched
        .shop
        .aws
        .items("products")
        .into_iter()
        .find(|item| item["pk"]["S"] == "SKU#A")
        .expect("the SKU is held");
    half.shop.aws.put("products", &holder);
    assert_eq!(half.call("create-product", create("one", "A")).await.json()["code"], "sku_taken");
    watched.pages("list-products", "limit=1", None).await;
    watched.pages("list-products", "limit=1&category=kitchen", None).await;
    let product = first.json()["id"].as_str().expect("a product was created").to_owned();
    watched
        .call(
            "get-product",
            events::get("/products").path_parameter("product_id", &product).event(),
        )
        .await;

    let adjust = |key: &str, delta: i64| {
        let request = events::post("/inventory", &json!({ "delta": delta, "reason": "Delivery" }));
        request
            .caller(ADMIN)
            .path_parameter("product_id", &product)
            .header("idempotency-key", key)
            .event()
    };
    // The last but one leaves less than the low-stock threshold.
    for (key, delta) in
        [("one", 15), ("one", 15), ("two", -3), ("three", -19), ("few", -9), ("one", 4)]
    {
        watched.call("adjust-stock", adjust(key, delta)).await;
    }
    watched.with_fault(0, Fault::LoseResponse, "adjust-stock", adjust("four", 1)).await;
    watched.call("adjust-stock", adjust("four", 1)).await;
    let divide = |key: &str, shards: u32| {
        let request = events::post(
            "/inventory",
            &json!({ "shard_count": shards, "reason": "It sells fast" }),
        )
        .caller(ADMIN);
        request.path_parameter("product_id", &product).header("idempotency-key", key).event()
    };
    let mut harness = watched.harness();
    // First in one shard, then in several.
    for (turn, shards) in [1, 4].into_iter().enumerate() {
        let divided =
            watched.call("adjust-stock", divide(&format!("divided-{turn}"), shards)).await;
        assert_eq!(divided.status(), 201, "{:?}", divided.answer);
        for caller in [USER, ADMIN] {
            watched
                .call(
                    "get-stock",
                    events::get("/inventory")
                        .caller(caller)
                        .path_parameter("product_id", &product)
                        .event(),
                )
                .await;
        }
        reservations(&watched, &product, turn).await;
        watched.call("adjust-stock", adjust(&format!("more-{turn}"), 1)).await;
        harness.drain_queues().await;
    }
    watched.shop.clock.advance(Duration::from_secs(49 * 3600));
    let held = watched.call("check-reservations", json!({})).await;
    assert!(held.ok()["held_too_long"].as_u64() > Some(0), "{:?}", held.answer);
    product_that_changes(&watched, &product).await;
    harness.drain_queues().await;
}

/// Updates a product with a new SKU and with its own, with lost responses; then archives and
/// republishes it.
async fn product_that_changes(watched: &Watched, product: &str) {
    let to_it = |method: &str, version: usize| {
        let request =
            events::http(method, "/products").caller(ADMIN).path_parameter("product_id", product);
        request
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
    };
    let update = |version: usize, sku: &str| {
        let price = json!({ "amount": 2999 + version, "currency": "USD" });
        to_it("PUT", version)
            .body(
                &json!({ "name": "Thing", "category": "kitchen", "sku": sku, "price": price })
                    .to_string(),
            )
            .event()
    };
    // The second SKU belongs to another product.
    for (version, sku, status) in [(1, "Z", 200), (2, "B", 409), (2, "Z", 200), (2, "A", 412)] {
        let updated = watched.call("update-product", update(version, sku)).await;
        assert_eq!(updated.status(), status, "{version} {sku}: {:?}", updated.answer);
    }
    for (version, sku) in [(3, "Z"), (4, "Y")] {
        watched.with_fault(1, Fault::LoseResponse, "update-product", update(version, sku)).await;
        assert_eq!(watched.call("update-product", update(version, sku)).await.status(), 200);
    }
    for call in [0, 2, 4] {
        watched.with_fault(call, Fault::LoseResponse, "resync-products", json!({})).await;
        assert!(watched.call("resync-products", json!({})).await.answer.is_ok());
    }
    let archive = |version: usize| to_it("DELETE", version).event();
    assert_eq!(watched.call("archive-product", archive(1)).await.status(), 412);
    watched.with_fault(1, Fault::LoseResponse, "archive-product", archive(5)).await;
    assert_eq!(watched.call("archive-product", archive(5)).await.status(), 204);
}

async fn reservations(watched: &Watched, product: &str, turn: usize) {
    // Every sequence of three inventory commands, for an available and for a too large quantity.
    let commands = ["reserve-stock", "release-stock", "commit-stock"];
    for number in 0..54_usize {
        let order = format!("ord_0199c2a8-0000-7000-8000-000000000{turn}{number:02}");
        let quantity = if number < 27 { 1 } else { 900 };
        for (attempt, index) in [number % 3, number / 3 % 3, number / 9 % 3].into_iter().enumerate()
        {
            let mut data = json!({ "order_id": order, "attempt": attempt });
            if index == 0 {
                data["lines"] = json!([{ "product_id": product, "quantity": quantity }]);
            }
            let kind = format!("{}.v1", commands[index].replace('-', "_"));
            watched.call(commands[index], events::message(commands[index], &kind, &data)).await;
        }
    }
}

pub(super) async fn orders(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    let mut harness = watched.harness();
    let confirmed = watched.order("paid", &product, 1, Some("tok_ok")).await;
    assert_eq!(watched.order("paid", &product, 1, Some("tok_ok")).await, confirmed);
    watched.order("none", &product, 20, Some("tok_ok")).await;
    let later = watched.order("later", &product, 1, None).await;
    watched.order("declined", &product, 1, Some("tok_declined")).await;
    // A buyer with too many unpaid orders is rejected.
    harness.drain_queues().await;
    watched.order("5xx", &product, 1, Some("tok_5xx_then_ok")).await;
    watched.order("before", &product, 1, Some("tok_timeout_before_charge")).await;
    harness.drain_queues().await;

    // The goods of unpaid orders are still in stock.
    assert_eq!(watched.call("reconcile-ledger", json!({})).await.ok()["unbalanced"], json!([]));
    for (key, token) in [
        ("a", "tok_declined"),
        ("a", "tok_declined"),
        ("b", "tok_ok"),
        ("b", "tok_ok"),
        ("c", "tok_ok"),
    ] {
        watched.pay(&later, key, token).await;
    }
    harness.drain_queues().await;
    watched.call("get-order", of_order(events::get("/orders"), &confirmed)).await;
    let timeline = events::get("/orders").path_parameter("order_id", &confirmed).caller(ADMIN);
    watched.call("get-order-timeline", timeline.event()).await;
    // The key was cached when the orders were placed.
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-orders", "limit=1", Some(USER)).await;
    watched.pages("list-orders", "limit=1&status=confirmed", Some(ADMIN)).await;
    watched
        .call("list-orders", events::get("/orders?needs_review=true").caller(ADMIN).event())
        .await;
    watched.shop.clock.advance(SECRETS_KEPT);
    watched.pages("list-notifications", "limit=1", Some(USER)).await;
    let notification = watched
        .shop
        .aws
        .items("notifications")
        .into_iter()
        .find_map(|item| Some(item.get("notification_id")?["S"].clone()));
    let notification = notification
        .and_then(|id| id.as_str().map(str::to_owned))
        .expect("the buyer was written to");
    for _ in 0..2 {
        let read = events::post("/notifications", &Value::Null)
            .caller(USER)
            .path_parameter("notification_id", &notification);
        assert_eq!(watched.call("read-notification", read.body("").event()).await.status(), 204);
    }
    let payments = format!("order_id={later}");
    watched.pages("list-payments", &format!("{payments}&limit=1"), Some(USER)).await;
    let listed = watched
        .call("list-payments", events::get(&format!("/payments?{payments}")).caller(USER).event())
        .await;
    let id = listed.json()["items"][0]["id"].as_str().expect("the order has payments").to_owned();
    watched
        .call(
            "get-payment",
            events::get("/payments").caller(USER).path_parameter("payment_id", &id).event(),
        )
        .await;
    for _ in 0..4 {
        watched.sweep(&mut harness, PAY_WITHIN.as_secs()).await;
    }
    for (operation, status) in
        [("deliver-order", 409), ("ship-order", 200), ("cancel-order", 409), ("deliver-order", 200)]
    {
        assert_eq!(watched.step(operation, &confirmed).await, status, "{operation}");
    }
    let paid = watched.payment_of(&confirmed);
    for (key, cents, status) in [
        ("one", Some(1000), 201),
        ("one", Some(1000), 201),
        ("two", Some(9999), 422),
        ("three", None, 201),
    ] {
        let refunded = watched.call("create-refund", refund(&paid, key, cents)).await;
        assert_eq!(refunded.status(), status, "{key}: {:?}", refunded.answer);
    }
    harness.drain_queues().await;
    for event in [json!({}), json!({ "source": "aws.events" }), json!({ "order_id": confirmed })] {
        let report = watched.call("reconcile-ledger", event).await;
        assert_eq!(
            (&report.ok()["unbalanced"], &report.ok()["not_checked"]),
            (&json!([]), &json!([]))
        );
    }
    repair(&watched, &product).await;
    // The daily run posts the entries that are a day old.
    watched.shop.clock.advance(Duration::from_secs(2 * 24 * 3600));
    watched.call("reconcile-ledger", json!({ "source": "aws.events" })).await;
    // Publishes every change a second time.
    watched.harness().drain_queues().await;
    // The buyer is renamed, and then deleted.
    let changed = json!({ "user_id": USER, "version": 2, "name": "Ada King", "email": KING });
    watched
        .call("update-buyer", events::message("update-buyer", "user_changed.v1", &changed))
        .await;
    for queue in ["update-buyer", "forget-recipient"] {
        watched
            .call(
                queue,
                events::message(
                    queue,
                    "user_deleted.v1",
                    &json!({ "user_id": USER, "version": 3 }),
                ),
            )
            .await;
    }
}

/// The ledger has lost all money and stock entries: an operator repairs it.
async fn repair(watched: &Watched, product: &str) {
    watched.shop.clock.advance(Duration::from_secs(660));
    for item in
        watched.shop.aws.items("ledger").into_iter().filter(|item| item["lines"]["M"].is_object())
    {
        watched.shop.aws.delete("ledger", &json!({ "pk": item["pk"], "sk": item["sk"] }));
    }
    let report = watched.call("reconcile-ledger", json!({ "repair": true })).await;
    assert_eq!(
        (&report.ok()["unbalanced"], report.ok()["repaired"].is_array()),
        (&json!([]), true),
        "{:?}",
        report.answer
    );
    let again =
        watched.call("reconcile-ledger", json!({ "repair": true, "product_id": product })).await;
    assert!(again.ok().get("repaired").is_none(), "{:?}", again.answer);
}

/// The bank requires 3-D Secure. One buyer completes it, another cancels the order meanwhile.
/// Finally the bank disputes the charge.
pub(super) async fn challenges_and_disputes(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    // In several shards: a cancelled order releases stock in each.
    let divide =
        events::post("/inventory", &json!({ "shard_count": 2, "reason": "It sells fast" }))
            .caller(ADMIN);
    let divide =
        divide.path_parameter("product_id", &product).header("idempotency-key", "divide").event();
    assert_eq!(watched.call("adjust-stock", divide).await.status(), 201);
    let mut harness = watched.harness();
    let (paid, given_up) = (
        watched.order("paid", &product, 1, Some("tok_3ds")).await,
        watched.order("given-up", &product, 7, Some("tok_3ds_abandoned")).await,
    );
    harness.drain_queues().await;
    assert_eq!(watched.step("cancel-order", &given_up).await, 202);
    harness.drain_queues().await;
    let payment = watched.payment_of(&paid);
    for event_id in ["evt_1", "evt_1", "evt_2"] {
        assert_eq!(watched.deliver_webhook(event_id, &payment).await.status(), 200);
    }
    harness.drain_queues().await;
    assert_eq!(watched.step("cancel-order", &paid).await, 202);
    harness.drain_queues().await;
    for _ in 0..2 {
        watched.sweep(&mut harness, 3600).await;
    }
    for order in [paid, given_up] {
        let read = watched.call("get-order", of_order(events::get("/orders"), &order)).await;
        assert_eq!(read.json()["status"], "cancelled", "{:?}", read.answer);
    }
}

/// Bounced mails and one complaint; each is reported twice.
pub(super) async fn bounced_mails(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    for (kind, data) in [
        ("mail_bounced.v1", ses::bounced(ADA, "Transient")),
        ("mail_bounced.v1", ses::bounced(ADA, "Permanent")),
        ("mail_complained.v1", ses::complained(ADA, Some("abuse"))),
    ] {
        for _ in 0..2 {
            let feedback = watched
                .cold("record-mail-feedback", events::message("record-mail-feedback", kind, &data))
                .await;
            assert_eq!(feedback.ok()["batchItemFailures"], json!([]));
        }
    }
    assert_eq!(
        watched.cold("send-notification", sample("send-notification")).await.ok()["batchItemFailures"],
        json!([])
    );
    assert!(watched.shop.aws.mails().mails().is_empty(), "it is not written to any more");
}

/// The order is cancelled while its charge is in flight: the capture is refunded, even if responses
/// are lost.
pub(super) async fn refunds(seen: &Arc<Mutex<Actions>>) {
    let refund = |order: &str, attempt: u64| {
        events::message(
            "refund-payment",
            "refund_payment.v1",
            &json!({ "order_id": order, "attempt": attempt }),
        )
    };
    for call in 0..8 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse] {
            let (watched, product) = Watched::with_teapots(seen).await;
            let mut harness = watched.harness();
            let order = watched.order("late", &product, 1, Some("tok_timeout_after_charge")).await;
            harness.drain_queues().await;
            // The payment deadline passes before the provider is queried.
            watched.shop.clock.advance(PAY_WITHIN);
            watched.call("resume-orders", json!({})).await;
            harness.drain_queues().await;
            watched.shop.clock.advance(RETRY);
            watched.call("reconcile-payments", json!({})).await;
            watched.with_fault(call, fault, "refund-payment", refund(&order, 0)).await;
            watched.shop.clock.advance(RETRY * 10);
            watched.with_fault(8 + call, fault, "reconcile-payments", json!({})).await;
            watched.call("refund-payment", refund(&order, 1)).await;
            for _ in 0..3 {
                watched.sweep(&mut harness, 3600).await;
            }
        }
    }
}

/// Injects a fault into every call of every consumer and sweep in turn, and repeats the rejected
/// work.
pub(super) async fn faults(seen: &Arc<Mutex<Actions>>) {
    for call in (0..24).step_by(2) {
        for fault in [Fault::LoseRequest, Fault::LoseResponse] {
            let (watched, product) = Watched::with_teapots(seen).await;
            let mut harness = watched.harness();
            watched.order("one", &product, 1, Some("tok_ok")).await;
            let open = watched.order("two", &product, 1, None).await;
            // The stream retries a failed publisher; this scenario does not cover it.
            harness.publish().await;
            watched.shop.aws.fail(call, fault);
            harness.consume().await;
            watched.shop.aws.heal();
            harness.drain_queues().await;
            watched
                .with_fault(call % 8, fault, "create-payment", new_payment("k", &open, "tok_ok"))
                .await;
            watched.pay(&open, "k", "tok_ok").await;
            watched.shop.clock.advance(RETRY);
            watched.with_fault(call, fault, "resume-orders", json!({})).await;
            watched.with_fault(call, fault, "reconcile-payments", json!({})).await;
            watched.sweep(&mut harness, 3600).await;
            watched.sweep(&mut harness, 3600).await;
        }
    }
    // A mail that SES rejects, and one whose sender crashed.
    for call in 0..6 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            let watched = Watched::new(seen);
            let event = || {
                let mut event = sample("send-notification");
                // Without a receipt handle, nothing is reported to the queue.
                event["Records"][0].as_object_mut().expect("a record").remove("receiptHandle");
                event
            };
            watched.with_fault(call, fault, "send-notification", event()).await;
            watched.shop.clock.advance(Duration::from_secs(3600));
            watched.call("send-notification", event()).await;
            watched.call("send-notification", event()).await;
        }
    }
}

/// Unreadable messages go to the dead-letter queue. If that queue rejects one, it is retried later.
pub(super) async fn unreadable_messages(seen: &Arc<Mutex<Actions>>) {
    for operation in queues().map(consumer_of) {
        let watched = Watched::new(seen);
        let mut event = sample(&operation);
        event["Records"][0]["body"] = "not json".into();
        assert_eq!(
            watched.call(&operation, event.clone()).await.ok()["batchItemFailures"],
            json!([]),
            "{operation}"
        );
        let failed = watched.with_fault(0, Fault::LoseRequest, &operation, event).await;
        assert_eq!(
            failed.ok()["batchItemFailures"].as_array().map(Vec::len),
            Some(1),
            "{operation}"
        );
    }
}

/// Account mails to a suppressed address and to one that is not suppressed.
pub(super) async fn account_mails(seen: &Arc<Mutex<Actions>>) {
    let operation = "send-account-notification";
    for call in 0..6 {
        for fault in [Fault::LoseRequest, Fault::LoseResponse, Fault::Throttle] {
            let watched = Watched::new(seen);
            watched.with_fault(call, fault, operation, sample(operation)).await;
            watched.shop.clock.advance(Duration::from_secs(3600));
            watched.cold(operation, sample(operation)).await;
        }
    }
}

/// Changes that no publisher of this release can read go to the dead-letter queue.
pub(super) async fn unreadable_changes(seen: &Arc<Mutex<Actions>>) {
    for (operation, table) in [
        ("publish-user-events", "users"),
        ("publish-product-events", "products"),
        ("publish-stock-events", "stock"),
        ("publish-order-events", "orders"),
        ("publish-payment-events", "payments"),
    ] {
        let watched = Watched::new(seen);
        let mut event = sample(operation);
        for record in event["Records"].as_array_mut().expect("a stream sends records") {
            for image in ["NewImage", "OldImage"] {
                if let Some(image) = record["dynamodb"][image].as_object_mut() {
                    image.retain(|name, _| ["pk", "sk"].contains(&name.as_str()));
                }
            }
        }
        let called = watched.call(operation, event).await;
        assert!(called.answer.is_ok(), "{table}: {:?}", called.answer);
    }
}

fn refresh(tokens: &Called) -> Value {
    post("/users/token/refresh", &json!({ "refresh_token": tokens.json()["refresh_token"] }))
}

fn refund(payment: &str, key: &str, cents: Option<i64>) -> Value {
    let mut body = json!({ "reason": "The lid was broken" });
    if let Some(cents) = cents {
        body["amount"] = json!({ "amount": cents, "currency": "USD" });
    }
    let request = events::post("/refunds", &body).caller(ADMIN).header("idempotency-key", key);
    request.path_parameter("payment_id", payment).event()
}

fn of_order(request: Http, order: &str) -> Value {
    request.caller(USER).path_parameter("order_id", order).event()
}

//! Carts of guests and of users.

use crate::permissions::*;

pub(super) async fn carts(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    let order = watched.order("paid", &product, 1, Some("tok_ok")).await;
    watched.harness().drain_queues().await;
    let create = |body: Value| events::post("/carts", &body);
    let guest = watched.call("create-cart", create(json!({})).event()).await.json();
    let token = text(&guest, "cart_token");
    let to = |cart: &Value, body: Value| {
        events::post("/carts", &body).path_parameter("cart_id", &text(cart, "id"))
    };
    let add = json!({ "add": [{ "product_id": product, "quantity": 1 }] });
    let of_guest = |request: events::Http| request.header("x-cart-token", &token).event();
    let changed = watched.call("change-cart", of_guest(to(&guest, add.clone()))).await;
    assert_eq!(changed.status(), 200, "{:?}", changed.answer);
    for operation in ["get-cart", "list-shipping-options"] {
        let read = events::get("/carts").path_parameter("cart_id", &text(&guest, "id"));
        assert_eq!(watched.call(operation, of_guest(read)).await.status(), 200);
    }

    // An empty cart, which a cart with the lines of the order replaces.
    let own = watched.call("create-cart", create(json!({})).caller(USER).event()).await;
    assert_eq!(own.status(), 201, "{:?}", own.answer);
    let again = json!({ "from_order": order });
    let own = watched.call("create-cart", create(again.clone()).caller(USER).event()).await;
    assert_eq!(own.status(), 201, "{:?}", own.answer);
    let own = own.json();
    // The order adds the removed line to a cart that has another line.
    let other = watched.shop.product("Saucer", 499, 5).await;
    watched.harness().drain_queues().await;
    let change = json!({
        "set": [{ "product_id": product, "quantity": 0 }, { "product_id": other, "quantity": 1 }],
    });
    let changed = watched.call("change-cart", to(&own, change).caller(USER).event()).await;
    assert_eq!(changed.status(), 200, "{:?}", changed.answer);
    let merged = watched.call("create-cart", create(again).caller(USER).event()).await;
    assert_eq!(merged.status(), 200, "{:?}", merged.answer);

    let merge = of_guest(to(&own, json!({})).body("").caller(USER));
    for _ in 0..2 {
        assert_eq!(watched.call("merge-cart", merge.clone()).await.status(), 200);
    }
    let deleted = events::message("update-buyer", "user_deleted.v1", &json!({ "user_id": USER }));
    assert!(watched.call("update-buyer", deleted).await.is_done());
    let read = events::get("/carts").path_parameter("cart_id", &text(&own, "id")).caller(USER);
    assert_eq!(watched.call("get-cart", read.event()).await.status(), 404);
}

fn text(cart: &Value, name: &str) -> String {
    cart[name].as_str().expect("the cart has it").to_owned()
}

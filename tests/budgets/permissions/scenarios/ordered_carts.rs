//! Orders of carts.

use crate::permissions::*;

/// A cart is ordered, again with the same key and with another one, and after a change.
pub(super) async fn ordered_carts(seen: &Arc<Mutex<Actions>>) {
    let (watched, product) = Watched::with_teapots(seen).await;
    let created = events::post("/carts", &json!({})).caller(USER);
    let cart = watched.call("create-cart", created.event()).await.json();
    let id = cart["id"].as_str().expect("a cart has an id");
    let changes = json!({ "set": [{ "product_id": product, "quantity": 1 }] });
    let changed = events::post("/carts", &changes).caller(USER).path_parameter("cart_id", id);
    let cart = watched.call("change-cart", changed.event()).await.json();
    let order = async |key: &str, version: &Value| {
        let body = json!({
            "cart_id": id, "cart_version": version, "expected_total": cart["totals"]["total"],
        });
        watched.cold("create-order", events::new_order(key, &body)).await.status()
    };
    let version = &cart["version"];
    for (key, version, status) in [
        ("one", &json!(1), 409),
        ("one", version, 201),
        ("one", version, 201),
        ("two", version, 409),
    ] {
        assert_eq!(order(key, version).await, status, "{key} {version}");
    }
}

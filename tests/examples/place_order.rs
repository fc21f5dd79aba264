//! Places an order in the in-memory shop and pays it: `cargo run -p tests --example place_order`.
//!
//! Every function, table stream and queue runs in this process; AWS is not involved.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use tests::{events, shop::Shop};

#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let shop = Shop::new();
    let mut harness = shop.harness();

    // A product with ten pieces in stock. Its change event updates orders' copy of the catalogue.
    let product = shop.product("Teapot", 2999, 10).await;
    harness.drain_queues().await;

    // POST /orders answers before anything else happens: the order is pending.
    let placed = shop.order("my-first-order", &product, 2, Some("tok_ok")).await;
    let order = placed.json()["id"].as_str().expect("the order is placed").to_owned();
    println!("{} {order} {}", placed.status(), placed.json()["status"]);

    // Publishers turn the committed changes into commands, and consumers execute them: the saga
    // reserves the stock, charges the card and confirms the order.
    harness.drain_queues().await;

    let order = shop.read_order(&order).await;
    for entry in order["history"].as_array().expect("an order has a history") {
        println!("  {} {}", entry["at"], entry["event"]);
    }
    println!("order {}, payment {}", order["status"], order["payment_status"]);
    for mail in shop.aws.mails().mails() {
        println!("mail to {}: {}", mail.to.join(", "), mail.subject);
    }

    let stock =
        events::get("/inventory").caller(events::ADMIN).path_parameter("product_id", &product);
    println!("stock {}", shop.call("get-stock", stock.event()).await.json());
}

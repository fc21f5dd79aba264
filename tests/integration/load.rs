//! Many buyers at once.

use std::time::Instant;

use crate::shop::{Shop, until};

const ORDERS: usize = 200;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_by_eight_clients_all_end_and_add_up() {
    let shop = std::sync::Arc::new(Shop::alone().await);
    // One product that lasts and one that does not: some orders must fail, and none may be sold twice.
    let (plenty, scarce) = (shop.product(500, 1000).await, shop.product(500, 20).await);
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (shop, plenty, scarce) = (shop.clone(), plenty.clone(), scarce.clone());
            tokio::spawn(async move {
                let buyer = shop.customer().await;
                let mut orders = Vec::new();
                for number in 0..ORDERS / CLIENTS {
                    let product = if (client + number) % 4 == 0 { &scarce } else { &plenty };
                    orders.push(buyer.order(product, 1, Some("tok_ok")).await);
                }
                let mut ends = Vec::new();
                for order in orders {
                    let look = || buyer.read_order(&order);
                    let end = until(&format!("{order} ends"), look, |order| order["status"] != "pending").await;
                    ends.push((
                        order,
                        end["status"].as_str().unwrap().to_owned(),
                        end["items"][0]["product_id"].as_str().unwrap().to_owned(),
                    ));
                }
                ends
            })
        })
        .collect();
    let mut ends = Vec::new();
    for client in clients {
        ends.extend(client.await.unwrap());
    }
    let elapsed = begun.elapsed();
    assert_eq!(ends.len(), ORDERS);
    let sold = |product: &str| ends.iter().filter(|(_, status, of)| status == "confirmed" && of == product).count();
    assert_eq!(sold(&scarce), 20, "exactly as many as there were");
    assert_eq!(sold(&plenty), 150);
    let left = 1000 - 150;
    until(
        "all stock is committed",
        || async { (shop.stock(&plenty).await, shop.stock(&scarce).await) },
        |stock| *stock == ((left, left, 0), (0, 0, 0)),
    )
    .await;

    let charges: Vec<String> = shop
        .scan("payment-simulator")
        .await
        .into_iter()
        .filter(|item| item["pk"].as_s().is_ok_and(|pk| pk.starts_with("CHARGE#")))
        .map(|item| item["order_id"].as_s().unwrap().clone())
        .collect();
    for (order, status, _) in &ends {
        let times = charges.iter().filter(|charged| *charged == order).count();
        assert_eq!(times, usize::from(status == "confirmed"), "{order} is {status}");
    }
    eprintln!("{ORDERS} orders by {CLIENTS} clients: all ended within {elapsed:?}");
}

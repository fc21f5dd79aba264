//! Many concurrent buyers.

use std::time::Instant;

use crate::shop::{shop_alone_with, until};

const ORDERS: usize = 200;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_orders_settle_and_reconcile() {
    let shop = std::sync::Arc::new(shop_alone_with!(Tables));
    // One product with enough stock and one without: some orders must fail, and none may be
    // oversold.
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
                    let read = || buyer.read_order(&order);
                    let end =
                        until(&format!("{order} ends"), read, |order| order["status"] != "pending")
                            .await;
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
    let sold = |product: &str| {
        ends.iter().filter(|(_, status, of)| status == "confirmed" && of == product).count()
    };
    assert_eq!(sold(&scarce), 20, "the whole stock is sold");
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

/// A limited stock and four times as many concurrent buyers, each with a separate account.
async fn sells_exactly_the_stock(shards: u32) {
    let shop = shop_alone_with!(Tables);
    let (product, buyers) = (shop.product_in_shards(500, 50, shards).await, shop.crowd(200).await);
    let orders = shop.sell_to_all(&buyers, &product, "tok_ok").await;
    let ends = shop.all_with_status(&orders, &["confirmed", "failed"], || async {}).await;
    let sold = ends.iter().filter(|end| *end == "confirmed").count();
    assert_eq!((sold, ends.len() - sold), (50, 150));
    until("all stock is committed", || shop.stock(&product), |stock| *stock == (0, 0, 0)).await;
    let expected: Vec<usize> = ends.iter().map(|end| usize::from(end == "confirmed")).collect();
    assert_eq!(shop.charges(&orders).await, expected);
    for ((buyer, order), _) in
        buyers.iter().zip(&orders).zip(&ends).filter(|(_, end)| *end == "failed")
    {
        let failed = buyer.read_order(order).await;
        assert_eq!(
            (&failed["reason"], &failed["payment_status"]),
            (&"out_of_stock".into(), &"unpaid".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_pieces_are_sold_once_to_two_hundred_buyers() {
    sells_exactly_the_stock(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_pieces_of_sharded_stock_are_sold_once_to_two_hundred_buyers() {
    sells_exactly_the_stock(8).await;
}

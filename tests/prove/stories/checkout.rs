//! The stories of a checkout in a market.

use tests::events;

use super::paths::delivered_from_here;
use crate::stage::{
    Stage,
    markets::{Basket, PLACES, creation, promotion},
};

impl Stage {
    /// Two products of different tax classes, to be shipped to one of [`PLACES`].
    fn basket(&self, place: usize) -> Basket {
        let lines = self.products.iter().map(|product| (product.clone(), 1)).collect();
        Basket { place: PLACES[place], lines, shipping_method: None }
    }

    /// Orders at the price of the preview, with the cheapest shipping method. Returns the total.
    async fn buy(&mut self, mut basket: Basket) -> i64 {
        let preview = self.insist("preview-prices", basket.preview()).await.json();
        let cheapest = &preview["shipping_options"][0]["method_id"];
        basket.shipping_method = cheapest.as_str().map(str::to_owned);
        let preview = self.insist("preview-prices", basket.preview()).await.json();
        let total = preview["totals"]["total"]["amount"].as_i64();
        let Some(total) = total else { self.fail(&format!("no price: {preview:#}")) };
        let order = events::order("order", &basket.order(total, Some("tok_ok")));
        let called = self.insist("create-order", order).await;
        self.ensure(called.status() == 201, || format!("create-order: {:?}", called.answer));
        let id = called.json()["id"].as_str().unwrap_or_default().to_owned();
        self.placed_at(id, events::USER.to_owned(), total);
        total
    }
}

/// Promotions take all that goods and shipping cost. The rules reach orders before the buyer comes.
pub(super) async fn free_by_promotions(stage: &mut Stage) {
    for target in ["order", "shipping"] {
        let request = creation("", target, &promotion(target, 10_000));
        stage.insist("create-promotion", request).await;
    }
    stage.drain().await;
    let basket = stage.basket(0);
    let total = stage.buy(basket).await;
    stage.ensure(total == 0, || format!("the promotions leave {total}"));
    stage.drain().await;
    stage.pay("tok_ok").await;
    delivered_from_here(stage).await;
}

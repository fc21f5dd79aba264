//! Orders of total 0: they have no payment. The catalogue sells nothing for 0 today, so the copy of
//! the product in orders is changed instead.

use super::*;

impl OrdersFixture {
    /// A shop in which spoons cost nothing.
    async fn with_free_spoons() -> Self {
        let fixture = Self::new().await;
        assert!(fixture.replicate(&product(SPOON, 2, 0, true)).await);
        fixture
    }

    /// Places a free order with a card and an address, and returns its id.
    async fn placed_free(&self) -> String {
        let called = self.post("k", &events::order_request(SPOON, 2, Some("tok_ok"))).await;
        assert_eq!(called.status(), 201, "{:?}", called.answer);
        assert_eq!(called.json()["totals"]["total"], json!({ "amount": 0, "currency": "USD" }));
        called.json()["id"].as_str().unwrap().to_owned()
    }

    async fn reserve(&self, order: &str) {
        let reserved = json!({ "version": 1 });
        assert!(self.send_event(order, "stock_reserved.v1", &reserved).await.is_done());
    }

    async fn view(&self, order: &str) -> Value {
        self.read(order, USER, None).await.json()
    }

    /// The names of the commands to payments that were published, each with its amount.
    async fn commands_to_payments(&self) -> Vec<(String, Value)> {
        self.stream().publish().await;
        let queues = ["open-payment", "charge-payment", "cancel-payment", "refund-payment"];
        let waiting = queues.into_iter().flat_map(|queue| self.aws.queues().waiting(queue));
        waiting
            .map(|message| {
                let message = message.json();
                let kind = message["type"].as_str().unwrap().to_owned();
                (kind, message["data"]["amount"]["amount"].clone())
            })
            .collect()
    }
}

#[tokio::test]
async fn free_order_keeps_no_payment_method_and_is_never_payable() {
    let fixture = OrdersFixture::with_free_spoons().await;
    let order = fixture.placed_free().await;
    assert_eq!(fixture.order(&order).await.customer.payment_method, None);
    assert!(!fixture.item(&order).to_string().contains("tok_ok"));
    let placed = fixture.view(&order).await;
    assert_eq!(
        (&placed["status"], &placed["step"], &placed["payable"]),
        (&json!("pending"), &json!("reserving"), &json!(false))
    );

    fixture.reserve(&order).await;
    let confirmed = fixture.view(&order).await;
    assert_eq!(
        (&confirmed["status"], &confirmed["payment_status"], &confirmed["payable"]),
        (&json!("confirmed"), &json!("paid"), &json!(false))
    );
    assert_eq!((&confirmed["payment_id"], &confirmed["step"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn free_order_is_confirmed_shipped_and_delivered_without_payments() {
    let fixture = OrdersFixture::with_free_spoons().await;
    let order = fixture.placed_free().await;
    fixture.reserve(&order).await;
    let committed = json!({ "version": 2 });
    assert!(fixture.send_event(&order, "stock_committed.v1", &committed).await.is_done());
    let settled = fixture.order(&order).await;
    assert!(settled.progress.is_settled() && settled.schedule.next_check_at.is_none());
    for (step, body) in [("ship", parcel()), ("deliver", Value::Null)] {
        assert_eq!(fixture.step(ADMIN, step, &order, &body).await.status(), 200, "{step}");
    }
    assert_eq!(fixture.view(&order).await["status"], "delivered");
    assert_eq!(fixture.commands_to_payments().await, []);
}

#[tokio::test]
async fn free_order_cancelled_after_its_reservation_refunds_nothing() {
    let fixture = OrdersFixture::with_free_spoons().await;
    let order = fixture.placed_free().await;
    fixture.reserve(&order).await;
    assert_eq!(fixture.step(USER, "cancel", &order, &Value::Null).await.status(), 202);
    let cancelling = fixture.order(&order).await.progress;
    assert_eq!(
        (&cancelling.stock, &cancelling.payment),
        (&StockState::Releasing, &PaymentState::Closed)
    );
    let released = json!({ "version": 3 });
    assert!(fixture.send_event(&order, "stock_released.v1", &released).await.is_done());
    let view = fixture.view(&order).await;
    assert_eq!((&view["status"], &view["payment_status"]), (&json!("cancelled"), &json!("unpaid")));
    assert_eq!(fixture.commands_to_payments().await, []);
}

#[tokio::test]
async fn free_order_cancelled_before_its_reservation_closes_its_payment() {
    let fixture = OrdersFixture::with_free_spoons().await;
    let order = fixture.placed_free().await;
    assert_eq!(fixture.step(USER, "cancel", &order, &Value::Null).await.status(), 202);
    let closes = vec![("cancel_payment.v1".to_owned(), json!(0))];
    assert_eq!(fixture.commands_to_payments().await, closes);

    // Payments answers the command, which changes nothing that the buyer sees.
    let before = fixture.view(&order).await;
    let closed = json!({ "version": 1, "captured_total": 0 });
    assert!(fixture.send_event(&order, "payment_closed.v1", &closed).await.is_done());
    assert_eq!(fixture.view(&order).await, before);
}

#[tokio::test]
async fn free_order_without_a_reservation_expires_for_that_reason() {
    let fixture = OrdersFixture::with_free_spoons().await;
    let order = fixture.placed_free().await;
    fixture.clock.advance(PAY_WITHIN);
    fixture.resume().await;
    let progress = fixture.order(&order).await.progress;
    assert_eq!(
        (&progress.goal, progress.reason.as_deref()),
        (&Goal::Cancel, Some("not_reserved_in_time"))
    );
}

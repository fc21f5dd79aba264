//! Outages of the provider: for one request, for a while, or for longer than an order's payment
//! deadline.

use serde_json::Value;
use tests::{events, provider::Network, shop::PAY_WITHIN};

use super::Schedule;

impl Schedule {
    /// Runs an outage of the provider while everything else works. An order is placed, and buyers
    /// may cancel it, pay or let it expire.
    pub(super) async fn outage(&mut self, number: u64) {
        self.network = self.broken_network();
        self.clear_faults();
        self.stage.note(&format!("an outage, the provider's network: {:?}", self.network));
        self.place(number).await;
        for _ in 0..1 + self.below(4) {
            self.stage.drain().await;
            match self.below(4) {
                0 => self.cancel().await,
                1 => self.pay().await,
                2 => self.deliver_late_charges().await,
                _ => {}
            }
            self.stage.drain().await;
            let seconds = [60, 600, PAY_WITHIN.as_secs(), 7200][self.below(4) as usize];
            self.stage.advance_clock(seconds);
            for operation in ["resume-orders", "reconcile-payments"] {
                self.stage.sweep(operation).await;
            }
        }
        self.stage.drain().await;
        // For a day no request is in flight.
        if self.chance(15) {
            self.deliver_late_charges().await;
            self.stage.had_day_outage = true;
            self.stage.advance_clock(25 * 3600);
            self.stage.drain().await;
        }
    }

    /// Changes the state of the provider's network, mostly to `Up`.
    pub(super) fn change_network(&mut self) {
        self.network = if self.chance(65) { Network::Up } else { self.broken_network() };
        self.stage.shop.provider.set_network(self.network);
        self.stage.note(&format!("the provider's network: {:?}", self.network));
    }

    pub(super) fn broken_network(&mut self) -> Network {
        const BROKEN: [Network; 7] = [
            Network::RequestsLost,
            Network::RequestsLost,
            Network::AnswersLost,
            Network::ChargesDelayed,
            Network::ChargesRunning,
            Network::Unauthorized,
            Network::Forbidden,
        ];
        BROKEN[self.below(BROKEN.len() as u64) as usize]
    }

    /// Makes the provider unavailable for about the payment deadline, or longer.
    pub(super) async fn provider_outage(&mut self) {
        const OUTAGES: [Network; 4] = [
            Network::RequestsLost,
            Network::RequestsLost,
            Network::Unauthorized,
            Network::Forbidden,
        ];
        self.network = OUTAGES[self.below(4) as usize];
        self.stage.shop.provider.set_network(self.network);
        self.stage.note(&format!("the provider's network: {:?}", self.network));
        for _ in 0..1 + self.below(3) {
            self.stage.advance_clock(PAY_WITHIN.as_secs() / 2);
            self.sweep().await;
        }
    }

    pub(super) async fn deliver_late_charges(&mut self) {
        let arrived = self.stage.shop.provider.deliver_late_charges().await;
        if arrived > 0 {
            self.stage.note(&format!("{arrived} late charge requests arrive"));
        }
    }

    /// The buyer cancels the latest order.
    async fn cancel(&mut self) {
        let Some(order) = self.stage.orders.last() else { return };
        let (id, request) = (order.id.clone(), events::post("/orders", &Value::Null));
        let request = request.caller(&order.buyer).body("").path_parameter("order_id", &id);
        let called = self.request("cancel-order", request.event()).await;
        self.stage.note(&format!(
            "cancel-order of {id}: {} {}",
            called.status(),
            called.json()["code"]
        ));
    }
}

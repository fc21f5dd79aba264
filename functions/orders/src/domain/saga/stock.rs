//! What inventory says, and what it does to the order.

use super::{Goal, News, Order, PaymentLeg, StockFact, StockLeg};

impl Order {
    pub(super) fn take_reserved(&mut self, fact: StockFact) -> Vec<News> {
        let awaited = self.take_stock_version(fact) && self.goal == Goal::Fulfil && self.stock == StockLeg::Asked;
        if awaited {
            self.stock = StockLeg::Held;
            match self.payment {
                PaymentLeg::None => self.payment = PaymentLeg::Open,
                PaymentLeg::Paid => self.confirm(),
                _ => {}
            }
        }
        told(awaited, "stock_reserved")
    }

    pub(super) fn take_rejected(&mut self, fact: StockFact) -> Vec<News> {
        if !self.take_stock_version(fact) {
            return Vec::new();
        }
        match (&self.goal, &self.stock) {
            (Goal::Fulfil, StockLeg::Asked) => {
                self.abandon(Goal::Fail, "out_of_stock");
                self.stock = StockLeg::Rejected;
            }
            // The release that is owed finds nothing to give back.
            (Goal::Cancel | Goal::Fail, StockLeg::Releasing) => self.stock = StockLeg::Released,
            _ => return Vec::new(),
        }
        vec![News::of("stock_rejected").because(fact.short.map(|product| product.to_string()))]
    }

    pub(super) fn take_committed(&mut self, fact: StockFact) -> Vec<News> {
        let awaited = self.take_stock_version(fact) && self.goal == Goal::Fulfil && self.stock == StockLeg::Committing;
        if awaited {
            self.stock = StockLeg::Committed;
        }
        told(awaited, "stock_committed")
    }

    pub(super) fn take_released(&mut self, fact: StockFact) -> Vec<News> {
        let is_news = self.take_stock_version(fact)
            && match (&self.goal, &self.stock) {
                (Goal::Fulfil, _) => self.alarm("stock_released_unasked"),
                (_, StockLeg::Releasing) => {
                    self.stock = StockLeg::Released;
                    true
                }
                _ => false,
            };
        told(is_news, "stock_released")
    }

    /// Notes how new the fact is; `false` if it is older than what was heard last.
    fn take_stock_version(&mut self, fact: StockFact) -> bool {
        let fresh = fact.version >= self.stock_version;
        self.stock_version = self.stock_version.max(fact.version);
        fresh
    }
}

fn told(is_news: bool, event: &'static str) -> Vec<News> {
    if is_news { vec![News::of(event)] } else { Vec::new() }
}

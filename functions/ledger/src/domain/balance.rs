//! Balances: the sums of lines per account and unit.

use std::collections::BTreeMap;

use shared::ids::{OrderId, ProductId};

use super::{Account, Line, StockBucket, Unit};

/// The inflow and outflow of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Sum of all inflows.
    pub debits: i64,
    /// Sum of all outflows, as a positive number.
    pub credits: i64,
}

impl Turnover {
    pub const fn balance(self) -> i64 {
        self.debits.saturating_sub(self.credits)
    }
}

/// The turnover per account and unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balances(BTreeMap<(Account, Unit), Turnover>);

impl Balances {
    /// Adds lines to the balances.
    pub fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let turnover = self.0.entry((line.account, line.unit)).or_default();
            let side = if line.amount > 0 { &mut turnover.debits } else { &mut turnover.credits };
            *side = side.saturating_add(line.amount.saturating_abs());
        }
    }

    /// The turnover of [`Account::ProviderClearing`] in `unit`.
    pub fn clearing(&self, unit: Unit) -> Turnover {
        self.turnover(Account::ProviderClearing, unit)
    }

    /// The turnover of the customer funds of an order in `unit`.
    pub fn funds(&self, order: OrderId, unit: Unit) -> Turnover {
        self.turnover(Account::CustomerFunds(order), unit)
    }

    /// The balance of an account in `unit`.
    pub fn balance(&self, account: Account, unit: Unit) -> i64 {
        self.turnover(account, unit).balance()
    }

    /// The accounts that entries have moved.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.0.keys().map(|(account, _)| *account)
    }

    /// The balance of a product in one of its stock accounts, in pieces.
    pub fn stock(&self, product: ProductId, bucket: StockBucket) -> i64 {
        self.turnover(Account::Stock(product, bucket), Unit::Pieces(product)).balance()
    }

    /// The products with a stock account.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        let product = |(account, _): &(Account, Unit)| {
            if let Account::Stock(product, _) = account { Some(*product) } else { None }
        };
        self.0.keys().filter_map(product)
    }

    /// The currency of each money account. A currency may occur more than once.
    pub fn currencies(&self) -> impl Iterator<Item = Unit> {
        self.0.keys().map(|(_, unit)| *unit).filter(|unit| matches!(unit, Unit::Money(_)))
    }

    fn turnover(&self, account: Account, unit: Unit) -> Turnover {
        self.0.get(&(account, unit)).copied().unwrap_or_default()
    }
}

/// The balances of one product's stock accounts, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductBalance {
    pub on_hand: i64,
    pub shipped_out: i64,
    pub outside: i64,
}

impl ProductBalance {
    /// The sum of all accounts. It is zero if every entry balances.
    pub const fn sum(self) -> i64 {
        self.on_hand.saturating_add(self.shipped_out).saturating_add(self.outside)
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            on_hand: self.on_hand.saturating_add(other.on_hand),
            shipped_out: self.shipped_out.saturating_add(other.shipped_out),
            outside: self.outside.saturating_add(other.outside),
        }
    }
}

/// The sums of entries by product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProductSums(BTreeMap<ProductId, ProductBalance>);

impl ProductSums {
    /// Adds the lines about goods.
    pub fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let Account::Stock(product, bucket) = line.account else { continue };
            let balance = self.0.entry(product).or_default();
            let moved = match bucket {
                StockBucket::OnHand => ProductBalance { on_hand: line.amount, ..<_>::default() },
                StockBucket::ShippedOut => {
                    ProductBalance { shipped_out: line.amount, ..<_>::default() }
                }
                StockBucket::Outside => ProductBalance { outside: line.amount, ..<_>::default() },
            };
            *balance = balance.plus(moved);
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (product, sum) in other.0 {
            let balance = self.0.entry(product).or_default();
            *balance = balance.plus(sum);
        }
    }

    /// The sum of a product; zero if no entry concerns it.
    pub fn of(&self, product: ProductId) -> ProductBalance {
        self.0.get(&product).copied().unwrap_or_default()
    }

    /// The products with an entry, sorted.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::derive;

    use super::*;

    #[test]
    fn sums_of_products_add_up_and_ignore_money() {
        let (spoon, bowl): (ProductId, ProductId) = (derive(&["spoon"]), derive(&["bowl"]));
        let goods = |product, bucket, amount| Line {
            account: Account::Stock(product, bucket),
            unit: Unit::Pieces(product),
            amount,
        };
        let usd = Unit::parse("USD").unwrap();
        let mut delivered = ProductSums::default();
        delivered.add(&[
            goods(spoon, StockBucket::OnHand, 9),
            goods(spoon, StockBucket::Outside, -9),
            Line { account: Account::ProviderClearing, unit: usd, amount: 5 },
        ]);
        let mut sold = ProductSums::default();
        sold.add(&[
            goods(spoon, StockBucket::ShippedOut, 2),
            goods(spoon, StockBucket::OnHand, -2),
            goods(bowl, StockBucket::OnHand, -1),
        ]);
        delivered.merge(sold);
        let expected = ProductBalance { on_hand: 7, shipped_out: 2, outside: -9 };
        assert_eq!((delivered.of(spoon), expected.sum()), (expected, 0));
        assert_eq!(delivered.of(bowl).sum(), -1, "an unbalanced entry shows in the sum");
        assert_eq!(delivered.of(derive(&["lamp"])), ProductBalance::default());
        assert_eq!(delivered.products().count(), 2);
    }
}

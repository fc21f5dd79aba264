//! Balances: what lines come to, account by account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, ProductId};

use super::{Account, Line, Shelf, Unit};

/// What came into an account and what went out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// All that came in.
    pub came_in: i64,
    /// All that went out, as a number above zero.
    pub went_out: i64,
}

impl Turnover {
    /// What is there.
    pub const fn balance(self) -> i64 {
        self.came_in.saturating_sub(self.went_out)
    }
}

/// What lines come to in each account and unit. Written down it is a list, for a count that another call goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Counted>", into = "Vec<Counted>")]
pub struct Balances(BTreeMap<(Account, Unit), Turnover>);

/// One account, as it is written down.
#[derive(Serialize, Deserialize)]
struct Counted {
    account: Account,
    unit: Unit,
    came_in: i64,
    went_out: i64,
}

impl From<Vec<Counted>> for Balances {
    fn from(all: Vec<Counted>) -> Self {
        let turnover = |one: Counted| ((one.account, one.unit), Turnover { came_in: one.came_in, went_out: one.went_out });
        Self(all.into_iter().map(turnover).collect())
    }
}

impl From<Balances> for Vec<Counted> {
    fn from(balances: Balances) -> Self {
        let counted = |((account, unit), Turnover { came_in, went_out })| Counted { account, unit, came_in, went_out };
        balances.0.into_iter().map(counted).collect()
    }
}

impl Balances {
    /// Counts these too.
    pub fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let turnover = self.0.entry((line.account, line.unit)).or_default();
            let side = if line.amount > 0 { &mut turnover.came_in } else { &mut turnover.went_out };
            *side = side.saturating_add(line.amount.saturating_abs());
        }
    }

    /// Money at the provider, in `unit`.
    pub fn clearing(&self, unit: Unit) -> Turnover {
        self.of(Account::ProviderClearing, unit)
    }

    /// Money that was taken for an order, in `unit`.
    pub fn funds(&self, order: OrderId, unit: Unit) -> Turnover {
        self.of(Account::CustomerFunds(order), unit)
    }

    /// Pieces of a product on one of its shelves.
    pub fn stock(&self, product: ProductId, shelf: Shelf) -> i64 {
        self.of(Account::Stock(product, shelf), Unit::Pieces(product)).balance()
    }

    /// The products that any of it is about.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        let product = |(account, _): &(Account, Unit)| if let Account::Stock(product, _) = account { Some(*product) } else { None };
        self.0.keys().filter_map(product)
    }

    /// The units of money that any of it is in.
    pub fn currencies(&self) -> impl Iterator<Item = Unit> {
        self.0.keys().map(|(_, unit)| *unit).filter(|unit| matches!(unit, Unit::Money(_)))
    }

    /// What all accounts together come to in each unit: nothing, if every entry balances.
    pub fn sums(&self) -> BTreeMap<Unit, i64> {
        let mut sums: BTreeMap<Unit, i64> = BTreeMap::new();
        for ((_, unit), turnover) in &self.0 {
            let sum = sums.entry(*unit).or_default();
            *sum = sum.saturating_add(turnover.balance());
        }
        sums
    }

    fn of(&self, account: Account, unit: Unit) -> Turnover {
        self.0.get(&(account, unit)).copied().unwrap_or_default()
    }
}

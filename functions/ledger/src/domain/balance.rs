//! Balances: what lines come to, account by account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, ProductId};

use super::{Account, Line, StockBucket, Unit};

/// What came into an account and what went out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// All that came in.
    pub debits: i64,
    /// All that went out, as a number above zero.
    pub credits: i64,
}

impl Turnover {
    /// What is there.
    pub const fn balance(self) -> i64 {
        self.debits.saturating_sub(self.credits)
    }
}

/// The balance of lines per account and unit. Serialized as a list, for a count that another call
/// continues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<AccountTurnover>", into = "Vec<AccountTurnover>")]
pub struct Balances(BTreeMap<(Account, Unit), Turnover>);

/// One account, as it is written down.
#[derive(Serialize, Deserialize)]
struct AccountTurnover {
    account: Account,
    unit: Unit,
    debits: i64,
    credits: i64,
}

impl From<Vec<AccountTurnover>> for Balances {
    fn from(all: Vec<AccountTurnover>) -> Self {
        let turnover = |one: AccountTurnover| {
            ((one.account, one.unit), Turnover { debits: one.debits, credits: one.credits })
        };
        Self(all.into_iter().map(turnover).collect())
    }
}

impl From<Balances> for Vec<AccountTurnover> {
    fn from(balances: Balances) -> Self {
        let row = |((account, unit), Turnover { debits, credits })| AccountTurnover {
            account,
            unit,
            debits,
            credits,
        };
        balances.0.into_iter().map(row).collect()
    }
}

impl Balances {
    /// Counts these too.
    pub fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let turnover = self.0.entry((line.account, line.unit)).or_default();
            let side = if line.amount > 0 { &mut turnover.debits } else { &mut turnover.credits };
            *side = side.saturating_add(line.amount.saturating_abs());
        }
    }

    /// Money at the provider, in `unit`.
    pub fn clearing(&self, unit: Unit) -> Turnover {
        self.turnover(Account::ProviderClearing, unit)
    }

    /// Money that was taken for an order, in `unit`.
    pub fn funds(&self, order: OrderId, unit: Unit) -> Turnover {
        self.turnover(Account::CustomerFunds(order), unit)
    }

    /// Pieces of a product in one of its stock accounts.
    pub fn stock(&self, product: ProductId, bucket: StockBucket) -> i64 {
        self.turnover(Account::Stock(product, bucket), Unit::Pieces(product)).balance()
    }

    /// The products that any of it is about.
    pub fn products(&self) -> impl Iterator<Item = ProductId> {
        let product = |(account, _): &(Account, Unit)| {
            if let Account::Stock(product, _) = account { Some(*product) } else { None }
        };
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

    fn turnover(&self, account: Account, unit: Unit) -> Turnover {
        self.0.get(&(account, unit)).copied().unwrap_or_default()
    }
}

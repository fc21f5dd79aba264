//! Balances: the sums of lines per account and unit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
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

/// The turnover per account and unit. Serialized as a list, so that another call can continue the
/// count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<AccountTurnover>", into = "Vec<AccountTurnover>")]
pub struct Balances(BTreeMap<(Account, Unit), Turnover>);

/// The serialized turnover of one account.
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

    /// The sum of all accounts in each unit. It is zero if every entry balances.
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

//! An entry: a balanced movement between accounts. Unbalanced entries cannot be constructed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{OrderId, ProductId},
    prefixed_id,
    validation::Violation,
};

use super::{Account, Unit};

prefixed_id!(
    /// Id of an entry, derived from the changed record and that record's version.
    EntryId,
    "ent"
);

/// The most lines of one entry: two for each product of an order, with some margin. The item of
/// such an entry has 4 KB, far below the limit of 400 KB.
pub const MAX_LINES: usize = 100;

/// The largest amount of one line, in minor units or pieces.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// A movement into an account (positive amount) or out of it (negative amount).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    pub account: Account,
    pub unit: Unit,
    /// Minor units or pieces.
    pub amount: i64,
}

/// The kind of an entry: `capture`, `hold`, … Publishers choose it; the ledger does not interpret
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Kind(String);

impl Kind {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Kind {
    type Error = Violation;

    fn try_from(name: String) -> Result<Self, Violation> {
        const LONGEST: usize = 40;
        let fits = (1..=LONGEST).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let detail = || {
            format!("The kind of an entry is 1 to {LONGEST} lower-case letters and underscores.")
        };
        if fits { Ok(Self(name)) } else { Err(Violation::new("invalid_kind", detail())) }
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.0
    }
}

/// A movement, its time and its owner. The lines balance; see [`Entry::balanced`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    entry_id: EntryId,
    occurred_at: Timestamp,
    kind: Kind,
    owner: Owner,
    lines: Vec<Line>,
}

/// The order or product whose record has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Order(OrderId),
    /// A product whose stock was adjusted.
    Product(ProductId),
}

/// Why lines do not form an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    #[error("an entry has at least two lines")]
    NoLines,
    #[error("an entry has {lines} lines, more than {MAX_LINES}")]
    TooManyLines { lines: usize },
    /// The amount of a line is zero or exceeds [`MAX_AMOUNT`].
    #[error("the amount of a line is {amount}: zero, or out of range")]
    InvalidAmount { amount: i64 },
    /// Money in a stock account, goods in a money account, or a product in the account of another
    /// product.
    #[error("{account} does not accept the unit {unit}")]
    UnitMismatch { account: Account, unit: Unit },
    /// The funds of one order in the entry of another order.
    #[error("the entry belongs to another order than its account {account}")]
    OrderMismatch { account: Account },
    /// An entry without an order is not about exactly one product.
    #[error("an entry belongs to an order, or moves one product only")]
    NoOwner,
    #[error("two lines of the entry concern {account}")]
    RepeatedAccount { account: Account },
    /// The lines in one unit do not sum to zero.
    #[error("the lines in {unit} sum to {sum}, not to 0")]
    Unbalanced {
        unit: Unit,
        /// The difference from zero.
        sum: i128,
    },
}

impl Entry {
    /// Builds an entry from lines that sum to zero in every unit. This is the only constructor.
    ///
    /// The lines are sorted, so that the same movements give equal entries.
    ///
    /// # Errors
    /// If the lines do not form an entry.
    pub fn balanced(
        entry_id: EntryId,
        occurred_at: Timestamp,
        kind: Kind,
        order_id: Option<OrderId>,
        mut lines: Vec<Line>,
    ) -> Result<Self, InvalidEntry> {
        if lines.is_empty() {
            return Err(InvalidEntry::NoLines);
        }
        if lines.len() > MAX_LINES {
            return Err(InvalidEntry::TooManyLines { lines: lines.len() });
        }
        for Line { account, unit, amount } in lines.iter().copied() {
            if amount == 0 || !(-MAX_AMOUNT..=MAX_AMOUNT).contains(&amount) {
                return Err(InvalidEntry::InvalidAmount { amount });
            }
            if !account.accepts(unit) {
                return Err(InvalidEntry::UnitMismatch { account, unit });
            }
            if matches!(account, Account::CustomerFunds(order) if order_id != Some(order)) {
                return Err(InvalidEntry::OrderMismatch { account });
            }
        }
        let sums = sums_by_unit(&lines);
        if let Some((unit, sum)) = sums.iter().find(|(_, sum)| **sum != 0) {
            return Err(InvalidEntry::Unbalanced { unit: *unit, sum: *sum });
        }
        let mut seen = BTreeSet::new();
        if let Some(line) = lines.iter().find(|line| !seen.insert((line.account, line.unit))) {
            return Err(InvalidEntry::RepeatedAccount { account: line.account });
        }
        let owner = match (order_id, &*sums.into_keys().collect::<Vec<_>>()) {
            (Some(order), _) => Owner::Order(order),
            (None, [Unit::Pieces(product)]) => Owner::Product(*product),
            (None, _) => return Err(InvalidEntry::NoOwner),
        };
        lines.sort_unstable();
        Ok(Self { entry_id, occurred_at, kind, owner, lines })
    }

    pub fn id(&self) -> EntryId {
        self.entry_id
    }

    /// The time of the recorded change.
    pub fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn owner(&self) -> Owner {
        self.owner
    }

    pub fn order_id(&self) -> Option<OrderId> {
        match self.owner {
            Owner::Order(order) => Some(order),
            Owner::Product(_) => None,
        }
    }

    /// The lines, sorted.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// The sum of the lines in each unit.
pub fn sums_by_unit(lines: &[Line]) -> BTreeMap<Unit, i128> {
    let mut sums = BTreeMap::new();
    for line in lines {
        *sums.entry(line.unit).or_default() += i128::from(line.amount);
    }
    sums
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{prelude::*, sample::select};
    use shared::ids::derive;

    use super::*;
    use crate::domain::{Balances, StockBucket};

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);

    pub(crate) fn order() -> OrderId {
        derive(&["order"])
    }

    fn product(name: &str) -> ProductId {
        derive(&[name])
    }

    fn usd() -> Unit {
        Unit::parse("USD").unwrap()
    }

    fn money(account: Account, amount: i64) -> Line {
        Line { account, unit: usd(), amount }
    }

    fn goods(name: &str, bucket: StockBucket, amount: i64) -> Line {
        Line {
            account: Account::Stock(product(name), bucket),
            unit: Unit::Pieces(product(name)),
            amount,
        }
    }

    fn entry(lines: Vec<Line>) -> Result<Entry, InvalidEntry> {
        Entry::balanced(
            derive(&["entry"]),
            NOW,
            "capture".to_owned().try_into().unwrap(),
            Some(order()),
            lines,
        )
    }

    #[test]
    fn balanced_lines_make_an_entry() {
        let capture = entry(vec![
            money(Account::ProviderClearing, 500),
            money(Account::CustomerFunds(order()), -500),
        ])
        .unwrap();
        let reordered = entry(vec![
            money(Account::CustomerFunds(order()), -500),
            money(Account::ProviderClearing, 500),
        ])
        .unwrap();
        assert_eq!(capture, reordered, "the order of lines is irrelevant");
        let commit = entry(vec![
            goods("spoon", StockBucket::ShippedOut, 2),
            goods("spoon", StockBucket::OnHand, -2),
            goods("bowl", StockBucket::ShippedOut, 3),
            goods("bowl", StockBucket::OnHand, -3),
        ]);
        assert_eq!(commit.unwrap().owner(), Owner::Order(order()));
    }

    #[test]
    fn entry_without_an_order_is_about_one_product() {
        let moved =
            |name| [goods(name, StockBucket::OnHand, 4), goods(name, StockBucket::Outside, -4)];
        let kind = || Kind::try_from("adjustment".to_owned()).unwrap();
        let adjusted = |lines| Entry::balanced(derive(&["entry"]), NOW, kind(), None, lines);
        let spoons = adjusted(moved("spoon").to_vec()).unwrap();
        assert_eq!((spoons.owner(), spoons.order_id()), (Owner::Product(product("spoon")), None));
        let both = [moved("spoon"), moved("bowl")].concat();
        assert_eq!(adjusted(both.clone()), Err(InvalidEntry::NoOwner));
        assert!(entry(both).is_ok(), "an order has several products");
        let clearing = [5, -5].map(|amount| money(Account::ProviderClearing, amount));
        assert_eq!(
            adjusted(clearing.to_vec()),
            Err(InvalidEntry::RepeatedAccount { account: Account::ProviderClearing })
        );
    }

    #[test]
    fn unbalanced_lines_are_rejected() {
        let clearing = Account::ProviderClearing;
        let funds = Account::CustomerFunds(order());
        let foreign = Account::CustomerFunds(derive(&["another order"]));
        assert_eq!(entry(vec![]), Err(InvalidEntry::NoLines));
        assert_eq!(
            entry(vec![money(clearing, 500)]),
            Err(InvalidEntry::Unbalanced { unit: usd(), sum: 500 })
        );
        assert_eq!(
            entry(vec![money(clearing, 500), money(funds, -499)]),
            Err(InvalidEntry::Unbalanced { unit: usd(), sum: 1 })
        );
        assert_eq!(
            entry(vec![money(clearing, 0), money(funds, 0)]),
            Err(InvalidEntry::InvalidAmount { amount: 0 })
        );
        assert_eq!(
            entry(vec![money(clearing, i64::MIN), money(funds, i64::MAX)]),
            Err(InvalidEntry::InvalidAmount { amount: i64::MIN })
        );
        assert_eq!(
            entry(vec![money(clearing, 5), money(foreign, -5)]),
            Err(InvalidEntry::OrderMismatch { account: foreign })
        );
        // Two dollars against two spoons: different units do not balance.
        let swapped = entry(vec![money(clearing, 2), goods("spoon", StockBucket::OnHand, -2)]);
        assert!(matches!(swapped, Err(InvalidEntry::Unbalanced { .. })), "{swapped:?}");
        let euro = Line { unit: Unit::parse("EUR").unwrap(), ..money(funds, -5) };
        assert!(matches!(
            entry(vec![money(clearing, 5), euro]),
            Err(InvalidEntry::Unbalanced { .. })
        ));
        let mismatched = Line { unit: usd(), ..goods("spoon", StockBucket::OnHand, 5) };
        assert_eq!(
            entry(vec![money(clearing, -5), mismatched]),
            Err(InvalidEntry::UnitMismatch { account: mismatched.account, unit: usd() })
        );
        let long: Vec<Line> =
            (0..=MAX_LINES / 2).flat_map(|_| [money(clearing, 1), money(funds, -1)]).collect();
        assert_eq!(entry(long), Err(InvalidEntry::TooManyLines { lines: MAX_LINES + 2 }));
    }

    #[test]
    fn kind_is_a_short_lower_case_name() {
        for good in ["capture", "duplicate_capture_refund", "x"] {
            assert_eq!(Kind::try_from(good.to_owned()).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "Capture", "a-b", "a b", "käse", &"x".repeat(41)] {
            assert!(Kind::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    /// Arbitrary lines, balanced or not.
    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let bucket =
            select(vec![StockBucket::OnHand, StockBucket::ShippedOut, StockBucket::Outside]);
        let amount = prop_oneof![-3_i64..=3, any::<i64>(), Just(MAX_AMOUNT), Just(-MAX_AMOUNT)];
        let of_money = (
            select(vec![Account::ProviderClearing, Account::CustomerFunds(order())]),
            amount.clone(),
        )
            .prop_map(|(account, amount)| money(account, amount));
        let of_goods = (select(vec!["spoon", "bowl"]), bucket, amount)
            .prop_map(|(name, bucket, amount)| goods(name, bucket, amount));
        prop::collection::vec(prop_oneof![of_money, of_goods], 0..8)
    }

    /// These lines, added up by account, with one account for each unit that balances it.
    fn balanced(lines: Vec<Line>) -> Vec<Line> {
        let mut amounts: BTreeMap<(Account, Unit), i64> = BTreeMap::new();
        for line in lines.into_iter().filter(|line| line.amount.unsigned_abs() <= 1000) {
            let balancing = match line.unit {
                Unit::Money(_) => Account::ProviderClearing,
                Unit::Pieces(product) => Account::Stock(product, StockBucket::Outside),
            };
            *amounts.entry((line.account, line.unit)).or_default() += line.amount;
            *amounts.entry((balancing, line.unit)).or_default() -= line.amount;
        }
        let line = |((account, unit), amount)| Line { account, unit, amount };
        amounts.into_iter().map(line).filter(|line| line.amount != 0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn only_balanced_lines_make_an_entry(lines in lines()) {
            let even = sums_by_unit(&lines).values().all(|sum| *sum == 0);
            let possible = lines.iter().all(|line| line.amount != 0 && (-MAX_AMOUNT..=MAX_AMOUNT).contains(&line.amount));
            let accounts: BTreeSet<_> = lines.iter().map(|line| (line.account, line.unit)).collect();
            let made = entry(lines.clone());
            prop_assert_eq!(made.is_ok(), even && possible && !lines.is_empty() && accounts.len() == lines.len());
            if let Ok(made) = made {
                prop_assert!(sums_by_unit(made.lines()).values().all(|sum| *sum == 0));
            }
        }

        #[test]
        fn balances_of_any_entries_sum_to_zero(all in prop::collection::vec(lines(), 1..20)) {
            let all = all.into_iter().map(balanced).filter(|lines| !lines.is_empty());
            let entries: Vec<Entry> = all.map(|lines| entry(lines).unwrap()).collect();
            let mut balances = Balances::default();
            for entry in &entries {
                balances.add(entry.lines());
                prop_assert_eq!(balances.clearing(usd()).balance(), -balances.funds(order(), usd()).balance());
                for name in ["spoon", "bowl"] {
                    let of = |bucket| balances.stock(product(name), bucket);
                    let sum = of(StockBucket::OnHand) + of(StockBucket::ShippedOut) + of(StockBucket::Outside);
                    prop_assert_eq!(sum, 0, "{}", name);
                }
            }
            // Balances do not depend on the order of entries.
            let mut reversed = Balances::default();
            entries.iter().rev().for_each(|entry| reversed.add(entry.lines()));
            prop_assert_eq!(balances, reversed);
        }
    }
}

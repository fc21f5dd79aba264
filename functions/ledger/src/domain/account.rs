//! Accounts, which are locations of money and goods, and the units in which they are counted.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};
use shared::{
    ids::{OrderId, PrefixedId, ProductId},
    money::Currency,
    validation::Violation,
};

/// An account. Inflows are positive, outflows negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Account {
    /// `provider_clearing`: captured by the provider for the shop and not refunded.
    ProviderClearing,
    /// `customer_funds:<order>`: captured for an order. This is a liability to the buyer, so its
    /// balance is negative.
    CustomerFunds(OrderId),
    /// `revenue:goods`: revenue from goods, without tax. Revenue is booked as an outflow, so the
    /// balance is negative. This also applies to `revenue:shipping` and to tax.
    RevenueGoods,
    /// `revenue:shipping`: revenue from shipping, without tax.
    RevenueShipping,
    /// `tax:<jurisdiction>`: tax that the shop has collected.
    Tax(Jurisdiction),
    /// `stock:<product>:<bucket>`: goods.
    Stock(ProductId, StockBucket),
}

/// The country or region that levies a tax, in ISO 3166: `DE`, or `US-CA` for a regional tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction {
    country: [u8; 2],
    /// Padded with zeros; only zeros for a whole country. So jurisdictions sort like their names.
    region: [u8; 3],
}

impl Jurisdiction {
    /// Parses `DE` or `US-CA`.
    pub fn parse(name: &str) -> Option<Self> {
        let (country, region) = match name.split_once('-') {
            Some((_, "")) => return None,
            Some((country, region)) => (country, region),
            None => (name, ""),
        };
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !country.bytes().all(|byte| byte.is_ascii_uppercase()) || !region.bytes().all(is_code) {
            return None;
        }
        let mut padded = [0; 3];
        padded.get_mut(..region.len())?.copy_from_slice(region.as_bytes());
        Some(Self { country: country.as_bytes().try_into().ok()?, region: padded })
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = self.region.iter().filter(|byte| **byte != 0);
        let hyphen = (self.region[0] != 0).then_some(&b'-');
        self.country
            .iter()
            .chain(hyphen)
            .chain(region)
            .try_for_each(|byte| write!(formatter, "{}", char::from(*byte)))
    }
}

/// The location of goods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StockBucket {
    /// In stock, whether available or held for orders. Reservations move no goods.
    OnHand,
    ShippedOut,
    /// The source of deliveries and the target of write-offs. Its balance is the negative sum of
    /// all goods that are or were in stock.
    Outside,
}

impl StockBucket {
    const ALL: [Self; 3] = [Self::OnHand, Self::ShippedOut, Self::Outside];

    /// The name within an account name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnHand => "on_hand",
            Self::ShippedOut => "shipped_out",
            Self::Outside => "outside",
        }
    }

    /// The bucket with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl Account {
    /// Parses the name of an account.
    ///
    /// # Errors
    /// If no account has this name.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        let stock = |rest: &str| {
            let (product, bucket) = rest.split_once(':')?;
            Some(Self::Stock(ProductId::parse(product)?, StockBucket::named(bucket)?))
        };
        let account = match name.split_once(':') {
            None if name == "provider_clearing" => Some(Self::ProviderClearing),
            Some(("customer_funds", order)) => OrderId::parse(order).map(Self::CustomerFunds),
            Some(("revenue", "goods")) => Some(Self::RevenueGoods),
            Some(("revenue", "shipping")) => Some(Self::RevenueShipping),
            Some(("tax", name)) => Jurisdiction::parse(name).map(Self::Tax),
            Some(("stock", rest)) => stock(rest),
            _ => None,
        };
        account.ok_or_else(|| {
            let detail = "An account is provider_clearing, customer_funds:<order>, revenue:<goods|shipping>, tax:<jurisdiction> or stock:<product>:<on_hand|shipped_out|outside>.";
            Violation::new("unknown_account", detail)
        })
    }

    /// Whether this account can hold amounts in `unit`.
    pub fn accepts(self, unit: Unit) -> bool {
        match (self, unit) {
            (Self::Stock(product, _), Unit::Pieces(counted)) => product == counted,
            (Self::Stock(..), Unit::Money(_)) | (_, Unit::Pieces(_)) => false,
            (
                Self::ProviderClearing
                | Self::CustomerFunds(_)
                | Self::RevenueGoods
                | Self::RevenueShipping
                | Self::Tax(_),
                Unit::Money(_),
            ) => true,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProviderClearing => formatter.write_str("provider_clearing"),
            Self::CustomerFunds(order) => write!(formatter, "customer_funds:{order}"),
            Self::RevenueGoods => formatter.write_str("revenue:goods"),
            Self::RevenueShipping => formatter.write_str("revenue:shipping"),
            Self::Tax(jurisdiction) => write!(formatter, "tax:{jurisdiction}"),
            Self::Stock(product, bucket) => write!(formatter, "stock:{product}:{}", bucket.name()),
        }
    }
}

impl TryFrom<String> for Account {
    type Error = Violation;

    fn try_from(name: String) -> Result<Self, Violation> {
        Self::parse(&name)
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

/// The unit: `USD` in minor units, `pcs:<product>` in pieces. Amounts of different units never
/// balance each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Unit {
    Money(Currency),
    Pieces(ProductId),
}

impl Unit {
    /// Parses the name of a unit.
    ///
    /// # Errors
    /// If no unit has this name.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        let unknown = || {
            Violation::new("unknown_unit", "A unit is a currency such as USD, or pcs:<product>.")
        };
        match name.strip_prefix("pcs:") {
            Some(product) => ProductId::parse(product).map(Self::Pieces).ok_or_else(unknown),
            None => Currency::parse(name).map(Self::Money).map_err(|_| unknown()),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Money(currency) => formatter.write_str(currency.code()),
            Self::Pieces(product) => write!(formatter, "pcs:{product}"),
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = Violation;

    fn try_from(name: String) -> Result<Self, Violation> {
        Self::parse(&name)
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.to_string()
    }
}

/// Orders money by currency code, then goods by product.
impl Ord for Unit {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Money(one), Self::Money(other)) => one.code().cmp(other.code()),
            (Self::Pieces(one), Self::Pieces(other)) => one.cmp(other),
            (Self::Money(_), Self::Pieces(_)) => Ordering::Less,
            (Self::Pieces(_), Self::Money(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Unit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "ord_0199c2a8-0000-7000-8000-0000000000f1";
    const SPOON: &str = "prd_0199c2a8-0000-7000-8000-00000000000a";
    const BOWL: &str = "prd_0199c2a8-0000-7000-8000-00000000000b";

    #[test]
    fn accounts_and_units_round_trip_through_text() {
        let stock = StockBucket::ALL.map(|bucket| format!("stock:{SPOON}:{}", bucket.name()));
        let of_sales = ["revenue:goods", "revenue:shipping", "tax:DE", "tax:US-CA", "tax:GB-1A2"];
        for name in ["provider_clearing".to_owned(), format!("customer_funds:{ORDER}")]
            .into_iter()
            .chain(of_sales.map(str::to_owned))
            .chain(stock)
        {
            assert_eq!(Account::parse(&name).map(|account| account.to_string()), Ok(name));
        }
        for name in ["USD".to_owned(), "JPY".to_owned(), format!("pcs:{SPOON}")] {
            assert_eq!(Unit::parse(&name).map(|unit| unit.to_string()), Ok(name));
        }
    }

    #[test]
    fn unknown_accounts_and_units_are_rejected() {
        let unknown = [
            String::new(),
            "cash".to_owned(),
            "provider_clearing:x".to_owned(),
            "customer_funds".to_owned(),
            format!("customer_funds:{SPOON}"),
            format!("customer_funds:{ORDER}:x"),
            format!("stock:{SPOON}"),
            format!("stock:{SPOON}:held"),
            format!("stock:{SPOON}:on_hand:x"),
            format!("Stock:{SPOON}:on_hand"),
        ];
        let of_sales = [
            "revenue",
            "revenue:gifts",
            "tax",
            "tax:",
            "tax:D",
            "tax:DEU",
            "tax:de",
            "tax:1E",
            "tax:DE-",
            "tax:DE-bw",
            "tax:US-CALI",
            "tax:US-C-A",
            "tax:Ü",
        ];
        for name in unknown.into_iter().chain(of_sales.map(str::to_owned)) {
            assert_eq!(
                Account::parse(&name).map_err(|violation| violation.code),
                Err("unknown_account".to_owned()),
                "{name}"
            );
        }
        for name in ["", "usd", "XXX", "pcs", "pcs:", "pcs:spoon"] {
            assert_eq!(
                Unit::parse(name).map_err(|violation| violation.code),
                Err("unknown_unit".to_owned()),
                "{name}"
            );
        }
    }

    /// The order of the accounts of a sale decides which one gets the remaining unit.
    #[test]
    fn accounts_of_a_sale_are_sorted_like_the_parts_of_an_order() {
        let names = ["revenue:goods", "revenue:shipping", "tax:DE", "tax:US", "tax:US-CA"];
        let accounts = names.map(|name| Account::parse(name).unwrap());
        assert!(accounts.is_sorted(), "{accounts:?}");
    }

    #[test]
    fn account_accepts_only_its_own_unit() {
        let (usd, spoons) =
            (Unit::parse("USD").unwrap(), Unit::parse(&format!("pcs:{SPOON}")).unwrap());
        for (account, money, pieces) in [
            ("provider_clearing".to_owned(), true, false),
            (format!("customer_funds:{ORDER}"), true, false),
            ("revenue:goods".to_owned(), true, false),
            ("revenue:shipping".to_owned(), true, false),
            ("tax:DE".to_owned(), true, false),
            (format!("stock:{SPOON}:on_hand"), false, true),
            (format!("stock:{BOWL}:on_hand"), false, false),
        ] {
            let account = Account::parse(&account).unwrap();
            assert_eq!(
                (account.accepts(usd), account.accepts(spoons)),
                (money, pieces),
                "{account}"
            );
        }
    }
}

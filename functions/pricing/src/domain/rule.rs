//! The rules of a market: shipping methods, tax rates and promotions.

use serde::{Deserialize, Serialize};
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{PromotionId, ShippingMethodId},
    market::TaxClass,
    money::Money,
};

use super::values::{
    Amounts, BasisPoints, CoveredCategories, CoveredProducts, Grams, Priority, PromotionMarkets,
    PromotionName, Rates, RegionCode, ShippingMethodName,
};

shared::prefixed_id!(
    /// A tax rate of a market.
    TaxRateId,
    "tax"
);

/// A rule with its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule<I, D> {
    /// Derived from the request that created the rule.
    pub id: I,
    /// Increases with every change.
    pub version: u64,
    pub details: D,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub type ShippingMethod = Rule<ShippingMethodId, ShippingMethodDetails>;
pub type TaxRate = Rule<TaxRateId, TaxRateDetails>;
pub type Promotion = Rule<PromotionId, PromotionDetails>;

impl<I: Copy, D: Clone + PartialEq> Rule<I, D> {
    pub fn create(id: I, details: D, now: Timestamp) -> Self {
        Self { id, version: 1, details, created_at: now, updated_at: now }
    }

    /// The next version, with other details.
    #[must_use]
    pub fn updated(&self, details: D, now: Timestamp) -> Self {
        Self { version: self.version + 1, details, updated_at: now, ..self.clone() }
    }

    /// Whether this version is the result of changing version `seen` to `details`. If so, a
    /// repeated request is already applied.
    pub fn is_result_of(&self, seen: u64, details: &D) -> bool {
        seen.checked_add(1) == Some(self.version) && self.details == *details
    }
}

/// A way to deliver the goods of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingMethodDetails {
    pub name: ShippingMethodName,
    pub price: Money,
    /// The subtotal, after all promotions of goods, from which shipping is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<Money>,
    /// `None` for any weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_weight_g: Option<Grams>,
    /// `None`: shipping is taxed at the rates of the goods, in proportion to their amounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<TaxClass>,
}

shared::stored_enum!(
    /// Why an amount has its tax rates.
    Treatment {
        Standard = "standard",
        Reduced = "reduced",
        Zero = "zero",
        Exempt = "exempt",
        Export = "export",
        ReverseCharge = "reverse_charge",
    }
);

shared::describe!(
    Treatment as "TaxTreatment",
    one_of(
        "Why an amount has its tax rate. Only `standard` and `reduced` charge tax.",
        &["standard", "reduced", "zero", "exempt", "export", "reverse_charge"]
    )
    .problem_codes(&["unknown_value"])
);

/// The tax of one class of goods at one place, from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxRateDetails {
    pub country: CountryCode,
    /// `None` for the whole country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    pub tax_class: TaxClass,
    pub treatment: Treatment,
    #[serde(default)]
    pub rates: Rates,
    pub valid_from: Timestamp,
}

impl TaxRateDetails {
    /// Whether both tax the same goods at the same place from the same moment.
    pub fn is_same_case(&self, other: &Self) -> bool {
        self.country == other.country
            && self.region == other.region
            && self.tax_class == other.tax_class
            && self.valid_from == other.valid_from
    }

    /// Whether the treatment charges tax exactly if there are rates, all above 0 where it does.
    pub fn has_rates_of_its_treatment(&self) -> bool {
        let is_taxed = matches!(self.treatment, Treatment::Standard | Treatment::Reduced);
        let is_above_0 = |rate: &super::values::Rate| rate.ppm.value() > 0;
        if is_taxed {
            !self.rates.is_empty() && self.rates.iter().all(is_above_0)
        } else {
            !self.rates.iter().any(is_above_0)
        }
    }
}

shared::stored_enum!(
    /// What a promotion discounts.
    Target {
        /// Each covered line. A line takes the largest discount of these.
        Line = "line",
        /// The covered lines together.
        Order = "order",
        Shipping = "shipping",
    }
);

shared::describe!(
    Target as "PromotionTarget",
    one_of(
        "What the promotion discounts: each covered line, the covered lines together, or shipping.",
        &["line", "order", "shipping"]
    )
    .problem_codes(&["unknown_value"])
);

/// A discount under conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionDetails {
    pub name: PromotionName,
    pub markets: PromotionMarkets,
    pub target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_bp: Option<BasisPoints>,
    /// Instead of a percentage: an amount per currency.
    #[serde(default)]
    pub fixed: Amounts,
    #[serde(default)]
    pub products: CoveredProducts,
    #[serde(default)]
    pub categories: CoveredCategories,
    /// The minimum subtotal of the covered lines per currency; empty for any.
    #[serde(default)]
    pub min_subtotal: Amounts,
    #[serde(default)]
    pub priority: Priority,
    /// Whether it can be combined with other promotions of its target.
    #[serde(default)]
    pub combinable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// The first moment at which the promotion has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

impl PromotionDetails {
    /// Whether there is exactly one effect: a percentage or amounts.
    pub fn has_one_effect(&self) -> bool {
        self.percent_bp.is_some() == self.fixed.is_empty()
    }

    /// Whether a buyer can get the discount at `now` or later, in any market.
    pub fn can_apply_from(&self, now: Timestamp) -> bool {
        let starts_at = self.starts_at.map_or(now, |starts_at| starts_at.max(now));
        let takes_something =
            self.fixed.is_empty() || self.fixed.iter().any(|money| money.amount > 0);
        takes_something && self.ends_at.is_none_or(|ends_at| starts_at < ends_at)
    }
}

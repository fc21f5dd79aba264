//! The request bodies that create and change markets and rules.
//!
//! A change is a merge patch (RFC 7396): absent fields stay unchanged, and `null` removes a value
//! that can be absent.

use serde::{Deserialize, Deserializer, de::Error};
use shared::{
    address::CountryCode,
    market::{MarketId, TaxClass},
    money::{Currency, Money},
    problem::Problem,
    validation::Violation,
};

use crate::{
    domain::{
        MarketDetails, PromotionDetails, ShippingMethodDetails, Target, TaxRateDetails, Treatment,
        values::{
            Amounts, BasisPoints, Countries, CoveredCategories, CoveredProducts, Grams, MarketName,
            MinorUnits, Moment, Priority, PromotionMarkets, PromotionName, Rates, RegionCode,
            ShippingMethodName,
        },
    },
    error::PricingError,
};

/// A new market.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct MarketInput {
    pub(super) id: MarketId,
    name: MarketName,
    currency: Currency,
    /// Whether prices, discounts and thresholds include tax.
    prices_include_tax: bool,
    /// The least total above 0 that is accepted.
    #[serde(default)]
    minimum_charge: MinorUnits,
    countries: Countries,
}

impl From<MarketInput> for MarketDetails {
    fn from(input: MarketInput) -> Self {
        let MarketInput { id: _, name, currency, prices_include_tax, minimum_charge, countries } =
            input;
        Self { name, currency, prices_include_tax, minimum_charge, countries }
    }
}

/// Changes to a market. Absent fields stay unchanged.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct MarketPatch {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    name: Option<MarketName>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    currency: Option<Currency>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    prices_include_tax: Option<bool>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    minimum_charge: Option<MinorUnits>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    countries: Option<Countries>,
}

impl MarketPatch {
    pub(super) fn apply(&self, details: &MarketDetails) -> MarketDetails {
        let mut details = details.clone();
        set(&mut details.name, &self.name);
        set(&mut details.currency, &self.currency);
        set(&mut details.prices_include_tax, &self.prices_include_tax);
        set(&mut details.minimum_charge, &self.minimum_charge);
        set(&mut details.countries, &self.countries);
        details
    }
}

/// A new shipping method. Its amounts are in the currency of the market.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ShippingMethodInput {
    name: ShippingMethodName,
    price: Money,
    /// The subtotal, after all promotions of goods, from which shipping is free.
    #[serde(default)]
    free_from: Option<Money>,
    /// The largest weight of the goods. Null for any.
    #[serde(default)]
    max_weight_g: Option<Grams>,
    /// Null: shipping is taxed at the rates of the goods, in proportion to their amounts.
    #[serde(default)]
    tax_class: Option<TaxClass>,
}

impl From<ShippingMethodInput> for ShippingMethodDetails {
    fn from(input: ShippingMethodInput) -> Self {
        let ShippingMethodInput { name, price, free_from, max_weight_g, tax_class } = input;
        Self { name, price, free_from, max_weight_g, tax_class }
    }
}

/// Changes to a shipping method. Absent fields stay unchanged.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ShippingMethodPatch {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    name: Option<ShippingMethodName>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    price: Option<Money>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Money>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    free_from: Option<Option<Money>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Grams>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    max_weight_g: Option<Option<Grams>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<TaxClass>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    tax_class: Option<Option<TaxClass>>,
}

impl ShippingMethodPatch {
    pub(super) fn apply(&self, details: &ShippingMethodDetails) -> ShippingMethodDetails {
        let mut details = details.clone();
        set(&mut details.name, &self.name);
        set(&mut details.price, &self.price);
        set(&mut details.free_from, &self.free_from);
        set(&mut details.max_weight_g, &self.max_weight_g);
        set(&mut details.tax_class, &self.tax_class);
        details
    }
}

/// A new tax rate.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TaxRateInput {
    country: CountryCode,
    /// Null for the whole country.
    #[serde(default)]
    region: Option<RegionCode>,
    tax_class: TaxClass,
    #[serde(deserialize_with = "known_treatment")]
    treatment: Treatment,
    #[serde(default)]
    rates: Rates,
    valid_from: Moment,
}

impl TryFrom<TaxRateInput> for TaxRateDetails {
    type Error = PricingError;

    fn try_from(input: TaxRateInput) -> Result<Self, PricingError> {
        let TaxRateInput { country, region, tax_class, treatment, rates, valid_from } = input;
        let valid_from = valid_from.timestamp();
        fitting(Self { country, region, tax_class, treatment, rates, valid_from })
    }
}

/// Changes to a tax rate. Absent fields stay unchanged. Place, tax class and time cannot change.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TaxRatePatch {
    #[cfg_attr(feature = "api-document", schema(value_type = Treatment, required = false))]
    #[serde(default, deserialize_with = "some_known_treatment")]
    treatment: Option<Treatment>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    rates: Option<Rates>,
}

impl TaxRatePatch {
    pub(super) fn apply(&self, details: &TaxRateDetails) -> Result<TaxRateDetails, PricingError> {
        let mut details = details.clone();
        set(&mut details.treatment, &self.treatment);
        set(&mut details.rates, &self.rates);
        fitting(details)
    }
}

/// A new promotion.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct PromotionInput {
    name: PromotionName,
    markets: PromotionMarkets,
    #[serde(deserialize_with = "known_target")]
    target: Target,
    /// The discount as a percentage. Either this or `fixed`.
    #[serde(default)]
    percent_bp: Option<BasisPoints>,
    /// The discount as one amount for the currency of each market.
    #[serde(default)]
    fixed: Amounts,
    #[serde(default)]
    products: CoveredProducts,
    #[serde(default)]
    categories: CoveredCategories,
    /// The minimum subtotal of the covered lines, for the currency of each market.
    #[serde(default)]
    min_subtotal: Amounts,
    #[serde(default)]
    priority: Priority,
    /// Whether it can be combined with other promotions of its target.
    #[serde(default)]
    combinable: bool,
    #[serde(default)]
    starts_at: Option<Moment>,
    /// The first moment at which the promotion has ended.
    #[serde(default)]
    ends_at: Option<Moment>,
}

impl From<PromotionInput> for PromotionDetails {
    fn from(input: PromotionInput) -> Self {
        Self {
            name: input.name,
            markets: input.markets,
            target: input.target,
            percent_bp: input.percent_bp,
            fixed: input.fixed,
            products: input.products,
            categories: input.categories,
            min_subtotal: input.min_subtotal,
            priority: input.priority,
            combinable: input.combinable,
            starts_at: input.starts_at.map(Moment::timestamp),
            ends_at: input.ends_at.map(Moment::timestamp),
        }
    }
}

/// Changes to a promotion. Absent fields stay unchanged.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct PromotionPatch {
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    name: Option<PromotionName>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    markets: Option<PromotionMarkets>,
    #[cfg_attr(feature = "api-document", schema(value_type = Target, required = false))]
    #[serde(default, deserialize_with = "some_known_target")]
    target: Option<Target>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<BasisPoints>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    percent_bp: Option<Option<BasisPoints>>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    fixed: Option<Amounts>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    products: Option<CoveredProducts>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    categories: Option<CoveredCategories>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    min_subtotal: Option<Amounts>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    priority: Option<Priority>,
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    #[serde(default, deserialize_with = "shared::optional::non_null")]
    combinable: Option<bool>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Moment>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    starts_at: Option<Option<Moment>>,
    #[cfg_attr(feature = "api-document", schema(value_type = Option<Moment>))]
    #[serde(default, deserialize_with = "shared::optional::nullable")]
    ends_at: Option<Option<Moment>>,
}

impl PromotionPatch {
    pub(super) fn apply(&self, details: &PromotionDetails) -> PromotionDetails {
        let mut details = details.clone();
        set(&mut details.name, &self.name);
        set(&mut details.markets, &self.markets);
        set(&mut details.target, &self.target);
        set(&mut details.percent_bp, &self.percent_bp);
        set(&mut details.fixed, &self.fixed);
        set(&mut details.products, &self.products);
        set(&mut details.categories, &self.categories);
        set(&mut details.min_subtotal, &self.min_subtotal);
        set(&mut details.priority, &self.priority);
        set(&mut details.combinable, &self.combinable);
        let time = |moment: Option<Moment>| moment.map(Moment::timestamp);
        set(&mut details.starts_at, &self.starts_at.map(time));
        set(&mut details.ends_at, &self.ends_at.map(time));
        details
    }
}

/// Rejects a change without any field.
pub(super) fn something<P: Default + PartialEq>(patch: P) -> Result<P, Problem> {
    if patch == P::default() {
        let nothing = Violation::new("nothing_to_change", "Send at least one field to change.");
        return Err(Problem::invalid_field("", &nothing));
    }
    Ok(patch)
}

fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

fn fitting(details: TaxRateDetails) -> Result<TaxRateDetails, PricingError> {
    if details.has_rates_of_its_treatment() {
        Ok(details)
    } else {
        Err(PricingError::RatesOfTreatment)
    }
}

fn unknown<E: Error>(known: &str) -> E {
    E::custom(Violation::new("unknown_value", format!("Use {known}.")))
}

fn known_treatment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Treatment, D::Error> {
    match Treatment::deserialize(deserializer)? {
        Treatment::Unknown(_) => {
            Err(unknown("standard, reduced, zero, exempt, export or reverse_charge"))
        }
        known => Ok(known),
    }
}

fn some_known_treatment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Treatment>, D::Error> {
    known_treatment(deserializer).map(Some)
}

fn known_target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
    match Target::deserialize(deserializer)? {
        Target::Unknown(_) => Err(unknown("line, order or shipping")),
        known => Ok(known),
    }
}

fn some_known_target<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Target>, D::Error> {
    known_target(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};
    use shared::ids::fingerprint;

    use super::*;
    use crate::domain::tests::{germany, parcel, percent, vat};

    fn promotion(change: impl FnOnce(&mut Value)) -> Result<PromotionDetails, String> {
        let mut body =
            json!({ "name": "Sale", "markets": ["de"], "target": "line", "percent_bp": 2500 });
        change(&mut body);
        let input = from_value::<PromotionInput>(body).map_err(|error| error.to_string())?;
        Ok(input.into())
    }

    #[test]
    fn equivalent_requests_have_the_same_fingerprint() {
        let plain = promotion(|_| {}).unwrap();
        assert_eq!(plain, percent());
        let explicit = promotion(|body| {
            body["fixed"] = json!([]);
            body["priority"] = json!(0);
            body["ends_at"] = Value::Null;
        });
        assert_eq!(fingerprint(&plain), fingerprint(&explicit.unwrap()));
        let other = promotion(|body| body["priority"] = json!(1)).unwrap();
        assert_ne!(fingerprint(&plain), fingerprint(&other));
    }

    #[test]
    fn unknown_names_are_rejected() {
        let rejected = promotion(|body| body["target"] = json!("cart")).unwrap_err();
        assert!(rejected.contains("unknown_value"), "{rejected}");
        let patch = from_value::<TaxRatePatch>(json!({ "treatment": "luxury" })).unwrap_err();
        assert!(patch.to_string().contains("unknown_value"), "{patch}");
    }

    #[test]
    fn absent_fields_stay_unchanged_and_null_removes() {
        let method = parcel().details;
        let apply = |body: Value| from_value::<ShippingMethodPatch>(body).unwrap().apply(&method);
        assert_eq!(apply(json!({})), method);
        let changed = apply(json!({ "free_from": null, "max_weight_g": 500 }));
        let max_weight_g = Some(Grams::try_from(500).unwrap());
        let expected = ShippingMethodDetails { free_from: None, max_weight_g, ..method.clone() };
        assert_eq!(changed, expected);
        assert!(from_value::<ShippingMethodPatch>(json!({ "name": null })).is_err());
        let market = germany().details;
        let renamed: MarketPatch = from_value(json!({ "name": "Alemania" })).unwrap();
        let name = MarketName::parse("Alemania").unwrap();
        assert_eq!(renamed.apply(&market), MarketDetails { name, ..market });
    }

    #[test]
    fn period_of_a_promotion_can_be_changed_and_removed() {
        let apply = |details: &PromotionDetails, body: Value| {
            from_value::<PromotionPatch>(body).unwrap().apply(details)
        };
        let ended = apply(&percent(), json!({ "ends_at": "2027-01-01T00:00:00Z" }));
        assert_eq!(
            ended.ends_at.map(|at| at.to_string()),
            Some("2027-01-01T00:00:00.000Z".to_owned())
        );
        assert_eq!(apply(&ended, json!({ "ends_at": null })), percent());
    }

    #[test]
    fn rates_must_fit_the_treatment() {
        let tax = vat("DE", 190_000).details;
        let apply = |body: Value| from_value::<TaxRatePatch>(body).unwrap().apply(&tax);
        assert!(matches!(
            apply(json!({ "treatment": "zero" })),
            Err(PricingError::RatesOfTreatment)
        ));
        assert!(apply(json!({ "treatment": "zero", "rates": [] })).is_ok());
    }
}

//! The pricing document: the rules of one market for one destination country, as orders reads them.

use serde::{Deserialize, Serialize};
use shared::{
    address::CountryCode,
    clock::Timestamp,
    ids::{ProductId, PromotionId, ShippingMethodId},
    market::{MarketId, TaxClass},
    money::Currency,
    telemetry::Trace,
};

use super::{
    WholeMarket,
    rule::{PromotionDetails, Target, Treatment},
    values::{CoveredCategory, PartsPerMillion, RateName, RegionCode},
};

/// The rules of a market for one country. All amounts are in minor units of the currency, and
/// include tax where the prices do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "api-document", schema(as = PricingDocument))]
pub struct Document {
    pub currency: Currency,
    pub prices_include_tax: bool,
    /// The least total above 0 that is accepted.
    pub minimum_charge: i64,
    /// Whether the market delivers to the country. If not, there are no rules.
    pub served: bool,
    pub taxes: Vec<DocumentTax>,
    pub shipping_methods: Vec<DocumentMethod>,
    pub promotions: Vec<DocumentPromotion>,
}

/// A document with the version of its market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompiledDocument {
    pub market: MarketId,
    pub country: CountryCode,
    /// The version of the market that the document was compiled from.
    pub version: u64,
    pub document: Document,
    pub updated_at: Timestamp,
    /// Trace of the message that requested it.
    pub traceparent: Trace,
    /// The last resync that published the document without a change; zero if none did.
    #[serde(default)]
    pub resync_run: u64,
}

/// The tax rates of one tax class from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct DocumentTax {
    /// Absent for the whole country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    pub tax_class: TaxClass,
    pub treatment: Treatment,
    pub rates: Vec<DocumentRate>,
    pub valid_from: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct DocumentRate {
    pub name: RateName,
    pub ppm: PartsPerMillion,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct DocumentMethod {
    pub id: ShippingMethodId,
    pub name: String,
    pub price: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_weight_g: Option<i64>,
    pub tax: ShippingTax,
}

/// How shipping is taxed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShippingTax {
    /// At the rates of the goods, in proportion to their gross amounts.
    Proportional,
    Class(TaxClass),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
pub struct DocumentPromotion {
    pub id: PromotionId,
    pub name: String,
    pub target: Target,
    pub effect: Effect,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<ProductId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<CoveredCategory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_subtotal: Option<i64>,
    pub priority: i64,
    pub combinable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Basis points: 2500 is 25 %.
    PercentBp(i64),
    /// Minor units.
    Fixed(i64),
}

impl WholeMarket {
    /// The documents of all countries that the market serves or has served.
    pub fn documents(&self) -> impl Iterator<Item = (&CountryCode, Document)> {
        let countries = self.market.served().chain(&self.market.former_countries);
        countries.map(|country| (country, self.document(country)))
    }

    /// The documents of this version of the market, as they are stored.
    pub fn compile(&self, now: Timestamp, trace: &Trace) -> Vec<CompiledDocument> {
        let compiled = |(country, document): (&CountryCode, Document)| CompiledDocument {
            market: self.market.market.clone(),
            country: country.clone(),
            version: self.market.version,
            document,
            updated_at: now,
            traceparent: trace.clone(),
            resync_run: self.market.resync_run,
        };
        self.documents().map(compiled).collect()
    }

    pub fn document(&self, country: &CountryCode) -> Document {
        let details = &self.market.details;
        let served = self.market.served().any(|one| one == country);
        let document = Document {
            currency: details.currency,
            prices_include_tax: details.prices_include_tax,
            minimum_charge: details.minimum_charge.value(),
            served,
            taxes: Vec::new(),
            shipping_methods: Vec::new(),
            promotions: Vec::new(),
        };
        if !served {
            return document;
        }
        Document {
            taxes: self.taxes(country),
            shipping_methods: self.methods(),
            promotions: self.document_promotions(),
            ..document
        }
    }

    fn taxes(&self, country: &CountryCode) -> Vec<DocumentTax> {
        let of_country =
            self.tax_rates.iter().map(|rule| &rule.details).filter(|tax| tax.country == *country);
        let rate =
            |rate: &super::values::Rate| DocumentRate { name: rate.name.clone(), ppm: rate.ppm };
        of_country
            .map(|tax| DocumentTax {
                region: tax.region.clone(),
                tax_class: tax.tax_class.clone(),
                treatment: tax.treatment.clone(),
                rates: tax.rates.iter().map(rate).collect(),
                valid_from: tax.valid_from,
            })
            .collect()
    }

    fn methods(&self) -> Vec<DocumentMethod> {
        let method = |rule: &super::rule::ShippingMethod| {
            let details = &rule.details;
            let tax_class = details.tax_class.clone();
            DocumentMethod {
                id: rule.id,
                name: details.name.to_string(),
                price: details.price.amount,
                free_from: details.free_from.map(|money| money.amount),
                max_weight_g: details.max_weight_g.map(super::values::Grams::value),
                tax: tax_class.map_or(ShippingTax::Proportional, ShippingTax::Class),
            }
        };
        self.shipping_methods.iter().map(method).collect()
    }

    fn document_promotions(&self) -> Vec<DocumentPromotion> {
        let currency = self.market.details.currency;
        let promotion = |rule: &super::rule::Promotion| {
            let details = &rule.details;
            Some(DocumentPromotion {
                id: rule.id,
                name: details.name.to_string(),
                target: details.target.clone(),
                effect: effect(details, currency)?,
                products: details.products.iter().copied().collect(),
                categories: details.categories.iter().cloned().collect(),
                min_subtotal: details.min_subtotal.of(currency),
                priority: details.priority.value(),
                combinable: details.combinable,
                starts_at: details.starts_at,
                ends_at: details.ends_at,
            })
        };
        self.promotions.iter().filter_map(promotion).collect()
    }
}

/// `None` without an effect in this currency. The validation of the market rejects such promotions.
fn effect(details: &PromotionDetails, currency: Currency) -> Option<Effect> {
    match details.percent_bp {
        Some(percent) => Some(Effect::PercentBp(percent.value())),
        None => details.fixed.of(currency).map(Effect::Fixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::{country, later, sale, trace, vat, whole};

    #[test]
    fn served_country_has_its_own_taxes_and_all_other_rules() {
        let mut market = whole();
        market.tax_rates.push(vat("AT", 200_000));
        let document = market.document(&country("DE"));
        assert!(document.served && document.prices_include_tax);
        let rates: Vec<i64> =
            document.taxes.iter().flat_map(|tax| &tax.rates).map(|rate| rate.ppm.value()).collect();
        assert_eq!(rates, [190_000]);
        assert_eq!((document.shipping_methods.len(), document.promotions.len()), (1, 1));
        assert_eq!(document.shipping_methods[0].tax, ShippingTax::Proportional);
        assert_eq!(document.promotions[0].effect, Effect::PercentBp(2500));
    }

    #[test]
    fn compiled_document_has_the_version_of_its_market() {
        let mut market = whole();
        market.market.resync_run = 7;
        market.market = market.market.touched(later(), trace());
        let compiled = market.compile(later(), &trace());
        let [document] = &compiled[..] else { panic!("{compiled:?}") };
        assert_eq!((document.version, document.resync_run), (2, 7));
        assert_eq!(document.document, market.document(&document.country));
    }

    #[test]
    fn amounts_are_those_of_the_currency_of_the_market() {
        let mut market = whole();
        market.promotions = vec![sale(&[("EUR", 500), ("USD", 700)])];
        let document = market.document(&country("DE"));
        assert_eq!(document.promotions[0].effect, Effect::Fixed(500));
        assert_eq!(document.promotions[0].min_subtotal, Some(500));
    }

    #[test]
    fn country_that_is_no_longer_served_has_a_document_without_rules() {
        let mut market = whole();
        market.market = market.market.deleted(later(), trace());
        let documents: Vec<(&str, Document)> =
            market.documents().map(|(country, document)| (country.as_str(), document)).collect();
        let [("DE", document)] = &documents[..] else { panic!("{documents:?}") };
        assert!(!document.served);
        assert!(document.taxes.is_empty() && document.shipping_methods.is_empty());
        assert!(document.promotions.is_empty());
        assert!(!whole().document(&country("FR")).served, "never served");
    }
}

//! Markets and their rules, without I/O.

mod document;
mod market;
mod rule;
mod validation;
pub mod values;

pub use document::{
    CompiledDocument, Document, DocumentMethod, DocumentPromotion, DocumentRate, DocumentTax,
    Effect, ShippingTax,
};
pub use market::{ListedMarket, Market, MarketDetails, MarketStatus};
pub use rule::{
    Promotion, PromotionDetails, Rule, ShippingMethod, ShippingMethodDetails, Target, TaxRate,
    TaxRateDetails, TaxRateId, Treatment,
};
pub use validation::{
    MAX_PROMOTIONS, MAX_SHIPPING_METHODS, MAX_TAX_RATES, PromotionRefusal, Refusal,
};

/// A market with all its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeMarket {
    pub market: Market,
    pub shipping_methods: Vec<ShippingMethod>,
    pub tax_rates: Vec<TaxRate>,
    pub promotions: Vec<Promotion>,
}

/// A rule that belongs to one market.
pub trait MarketRule: Clone {
    type Id: PartialEq;

    fn id(&self) -> &Self::Id;
    fn all(market: &WholeMarket) -> &[Self];
    fn all_mut(market: &mut WholeMarket) -> &mut Vec<Self>;
}

macro_rules! market_rule {
    ($rule:ident($id:ty), $field:ident) => {
        impl MarketRule for $rule {
            type Id = $id;

            fn id(&self) -> &Self::Id {
                &self.id
            }

            fn all(market: &WholeMarket) -> &[Self] {
                &market.$field
            }

            fn all_mut(market: &mut WholeMarket) -> &mut Vec<Self> {
                &mut market.$field
            }
        }
    };
}

market_rule!(ShippingMethod(shared::ids::ShippingMethodId), shipping_methods);
market_rule!(TaxRate(TaxRateId), tax_rates);
market_rule!(Promotion(shared::ids::PromotionId), promotions);

impl WholeMarket {
    pub fn new(market: Market) -> Self {
        let (shipping_methods, tax_rates, promotions) = (Vec::new(), Vec::new(), Vec::new());
        Self { market, shipping_methods, tax_rates, promotions }
    }

    pub fn has_rules(&self) -> bool {
        !(self.shipping_methods.is_empty()
            && self.tax_rates.is_empty()
            && self.promotions.is_empty())
    }

    pub fn rule<R: MarketRule>(&self, id: &R::Id) -> Option<&R> {
        R::all(self).iter().find(|rule| rule.id() == id)
    }

    /// The market with this rule, instead of one with the same id.
    #[must_use]
    pub fn with<R: MarketRule>(self, rule: R) -> Self {
        let mut market = self.without::<R>(rule.id());
        R::all_mut(&mut market).push(rule);
        market
    }

    #[must_use]
    pub fn without<R: MarketRule>(mut self, id: &R::Id) -> Self {
        R::all_mut(&mut self).retain(|rule| rule.id() != id);
        self
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{
        values::{
            Amounts, BasisPoints, Countries, CoveredCategories, CoveredProducts, MarketName,
            MinorUnits, PartsPerMillion, Priority, PromotionMarkets, PromotionName, Rate, RateName,
            Rates, ShippingMethodName,
        },
        *,
    };
    use shared::{
        address::CountryCode,
        clock::Timestamp,
        ids::{Ids, derive},
        market::{MarketId, TaxClass},
        money::{Currency, Money},
        telemetry::Trace,
    };

    const NOW: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);

    pub(crate) fn country(code: &str) -> CountryCode {
        CountryCode::parse(code).unwrap()
    }

    pub(crate) fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    pub(crate) fn trace() -> Trace {
        Trace::start(&Ids::seeded(2))
    }

    pub(crate) fn later() -> Timestamp {
        Timestamp::from_milliseconds(1_795_255_260_000)
    }

    /// A market that delivers to Germany.
    pub(crate) fn germany() -> Market {
        let details = MarketDetails {
            name: MarketName::parse("Germany").unwrap(),
            currency: currency("EUR"),
            prices_include_tax: true,
            minimum_charge: MinorUnits::try_from(50).unwrap(),
            countries: Countries::try_from(vec![country("DE")]).unwrap(),
        };
        Market::create(MarketId::parse("de").unwrap(), details, None, NOW, trace())
    }

    pub(crate) fn vat(code: &str, ppm: i64) -> TaxRate {
        let rate = Rate {
            name: RateName::parse("VAT").unwrap(),
            ppm: PartsPerMillion::try_from(ppm).unwrap(),
        };
        let details = TaxRateDetails {
            country: country(code),
            region: None,
            tax_class: TaxClass::default(),
            treatment: Treatment::Standard,
            rates: Rates::try_from(vec![rate]).unwrap(),
            valid_from: NOW,
        };
        Rule::create(derive(&["vat", code, &ppm.to_string()]), details, NOW)
    }

    pub(crate) fn parcel() -> ShippingMethod {
        let details = ShippingMethodDetails {
            name: ShippingMethodName::parse("Parcel").unwrap(),
            price: Money::new(490, currency("EUR")),
            free_from: Some(Money::new(5000, currency("EUR"))),
            max_weight_g: None,
            tax_class: None,
        };
        Rule::create(derive(&["parcel"]), details, NOW)
    }

    /// 25 % off everything.
    pub(crate) fn percent() -> PromotionDetails {
        PromotionDetails {
            name: PromotionName::parse("Sale").unwrap(),
            markets: PromotionMarkets::try_from(vec![MarketId::parse("de").unwrap()]).unwrap(),
            target: Target::Line,
            percent_bp: Some(BasisPoints::try_from(2500).unwrap()),
            fixed: Amounts::default(),
            products: CoveredProducts::default(),
            categories: CoveredCategories::default(),
            min_subtotal: Amounts::default(),
            priority: Priority::default(),
            combinable: false,
            starts_at: None,
            ends_at: None,
        }
    }

    /// A promotion that takes these amounts, from a subtotal of the same amounts.
    pub(crate) fn sale(amounts: &[(&str, i64)]) -> Promotion {
        let amounts = amounts.iter().map(|(code, amount)| Money::new(*amount, currency(code)));
        let amounts = Amounts::try_from(amounts.collect::<Vec<_>>()).unwrap();
        let details = PromotionDetails {
            percent_bp: None,
            fixed: amounts.clone(),
            min_subtotal: amounts,
            ..percent()
        };
        Rule::create(derive(&["sale"]), details, NOW)
    }

    /// Germany with one rule of each kind.
    pub(crate) fn whole() -> WholeMarket {
        let promotion = Rule::create(derive(&["percent"]), percent(), NOW);
        WholeMarket::new(germany()).with(parcel()).with(vat("DE", 190_000)).with(promotion)
    }

    #[test]
    fn rule_replaces_the_one_with_its_id() {
        let market = whole();
        let mut cheaper = parcel();
        cheaper.details.price = Money::new(100, currency("EUR"));
        let changed = market.clone().with(cheaper.clone());
        assert_eq!(changed.shipping_methods, [cheaper.clone()]);
        assert_eq!(changed.rule::<ShippingMethod>(&cheaper.id), Some(&cheaper));
        let empty = changed.without::<ShippingMethod>(&cheaper.id);
        assert!(empty.shipping_methods.is_empty() && empty.has_rules());
        assert!(!WholeMarket::new(germany()).has_rules());
    }

    #[test]
    fn rates_fit_their_treatment() {
        let mut tax = vat("DE", 190_000).details;
        let untaxed = vat("DE", 0).details.rates;
        for (treatment, rates, fits) in [
            (Treatment::Standard, tax.rates.clone(), true),
            (Treatment::Standard, untaxed.clone(), false),
            (Treatment::Reduced, Rates::default(), false),
            (Treatment::Zero, untaxed, true),
            (Treatment::Exempt, Rates::default(), true),
            (Treatment::Export, tax.rates.clone(), false),
        ] {
            (tax.treatment, tax.rates) = (treatment, rates);
            assert_eq!(tax.has_rates_of_its_treatment(), fits, "{tax:?}");
        }
    }

    #[test]
    fn each_change_of_a_rule_increments_its_version() {
        let first = parcel();
        let mut details = first.details.clone();
        details.max_weight_g = Some(values::Grams::try_from(1000).unwrap());
        let second = first.updated(details.clone(), later());
        assert_eq!((second.version, second.created_at), (2, first.created_at));
        assert!(second.is_result_of(1, &details) && !second.is_result_of(2, &details));
        assert!(!second.is_result_of(1, &first.details));
    }
}

//! Random carts with random rules.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::domain::pricing::rules::{
    Effect, Promotion, Rules, ShippingMethod, ShippingTax, Target, TaxRate, TaxRule, Treatment,
};

const CLASSES: [&str; 3] = ["standard", "reduced", "luxury"];
const CATEGORIES: [&str; 2] = ["lamps", "books"];

/// A cart, the rules that price it, and a rotation that changes the order of its lines.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(super) pricing: Pricing,
    pub(crate) lines: Vec<Line>,
    pub(super) destination: Destination,
    pub(super) rotation: usize,
}

impl Sample {
    pub(crate) fn request<'a>(&'a self, lines: &'a [Line]) -> PriceRequest<'a> {
        PriceRequest {
            pricing: &self.pricing,
            lines,
            destination: &self.destination,
            shipping_method: Some(id(1)),
            now: NOW,
        }
    }
}

pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    let rules = (any::<bool>(), any::<bool>(), 0..100_u64, [rule(), rule(), rule()], method());
    (rules, vec(promotion(), 0..5), vec(cart_line(), 0..7), any::<usize>()).prop_map(
        |((is_gross, is_regional, minimum_charge, rules, method), promotions, lines, rotation)| {
            let region = is_regional.then(|| "CA".to_owned());
            let taxes = CLASSES.iter().zip(rules).map(|(class, (treatment, rates))| TaxRule {
                region: region.clone(),
                tax_class: TaxClass::parse(class).unwrap(),
                treatment,
                rates,
                valid_from: Timestamp::from_milliseconds(0),
            });
            let numbered = promotions.into_iter().enumerate();
            let promotions =
                numbered.map(|(number, promotion)| Promotion { id: id(number), ..promotion });
            let document = Rules {
                currency: Currency::parse("USD").unwrap(),
                prices_include_tax: is_gross,
                minimum_charge,
                served: true,
                taxes: taxes.collect(),
                shipping_methods: vec![method],
                promotions: promotions.collect(),
            };
            let numbered = lines.into_iter().enumerate();
            let lines = numbered.map(|(number, line)| Line { line_id: id(number), ..line });
            Sample {
                pricing: Pricing {
                    market: MarketId::parse("us").unwrap(),
                    country: CountryCode::parse("US").unwrap(),
                    version: 1,
                    document,
                },
                lines: lines.collect(),
                destination: to("US", Some("CA")),
                rotation,
            }
        },
    )
}

/// A treatment with one to three rates of different names. Some rates are equal in all classes.
fn rule() -> impl Strategy<Value = (Treatment, Vec<TaxRate>)> {
    let treatment = select(vec![
        Treatment::Standard,
        Treatment::Standard,
        Treatment::Reduced,
        Treatment::Zero,
        Treatment::Export,
    ]);
    let ppm = prop_oneof![
        select(vec![0, 70_000, 190_000, 72_500, 120_000, 78_000, 22_000]),
        0..1_200_000_u32,
    ];
    (treatment, vec(ppm, 1..4)).prop_map(|(treatment, rates)| {
        let named = rates.into_iter().zip(["State", "County", "City"]);
        let rate = |(ppm, name): (u32, &str)| TaxRate { name: name.to_owned(), ppm };
        (treatment, named.map(rate).collect())
    })
}

fn method() -> impl Strategy<Value = ShippingMethod> {
    let tax = prop_oneof![
        Just(ShippingTax::Proportional),
        select(CLASSES.to_vec())
            .prop_map(|class| ShippingTax::Class(TaxClass::parse(class).unwrap())),
    ];
    let price = prop_oneof![1 => Just(0), 4 => 1..5000_u32];
    (price, option::of(0..50_000_u64), tax).prop_map(|(price, free_from, tax)| ShippingMethod {
        id: id(1),
        name: "Parcel".to_owned(),
        price,
        free_from,
        max_weight_g: Some(31_500),
        tax,
    })
}

fn promotion() -> impl Strategy<Value = Promotion> {
    let target = select(vec![Target::Line, Target::Order, Target::Order, Target::Shipping]);
    let effect = prop_oneof![
        4 => (0..10_000_u32).prop_map(Effect::PercentBp),
        1 => Just(Effect::PercentBp(10_000)),
        3 => (0..20_000_u64).prop_map(Effect::Fixed),
    ];
    let products = prop_oneof![2 => Just(Vec::new()), 1 => vec((0..6_usize).prop_map(id), 1..3)];
    let categories = prop_oneof![
        3 => Just(Vec::new()),
        1 => select(CATEGORIES.to_vec()).prop_map(|category| vec![category.to_owned()]),
    ];
    let conditions = (products, categories, option::of(0..20_000_u64));
    (target, effect, conditions, 0..3_i64, any::<bool>()).prop_map(
        |(target, effect, (products, categories, min_subtotal), priority, combinable)| Promotion {
            id: id(0),
            name: String::new(),
            target,
            effect,
            products,
            categories,
            min_subtotal,
            priority,
            combinable,
            starts_at: None,
            ends_at: None,
        },
    )
}

fn cart_line() -> impl Strategy<Value = Line> {
    let quantity = prop_oneof![4 => 1..5_u32, 1 => 1..=999_u32];
    let amount = prop_oneof![
        2 => 0..200_i64,
        1 => Just(0),
        6 => 0..20_000_i64,
        1 => 0..=MAX_AMOUNT,
    ];
    let kind = (select(CLASSES.to_vec()), option::of(select(CATEGORIES.to_vec())), any::<bool>());
    (0..6_usize, quantity, amount, 0..3000_u32, kind).prop_map(
        |(product, quantity, amount, weight_g, (class, category, requires_shipping))| {
            let amount = Money::new(amount, Currency::parse("USD").unwrap());
            let product = Product {
                product_id: id(product),
                unit_price: Some(UnitPrice { amount, compare_at: None }),
                tax_class: TaxClass::parse(class).unwrap(),
                weight_g,
                requires_shipping,
                category: category.map(str::to_owned),
            };
            Line { line_id: id(0), quantity, product }
        },
    )
}

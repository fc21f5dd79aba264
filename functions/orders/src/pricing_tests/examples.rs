//! The worked examples in `PRICES.md`: the tables are the input of the test.

use std::collections::BTreeMap;

use super::*;

const DOCUMENT: &str = include_str!("../../PRICES.md");

/// A row, by the names of its columns.
type Row = BTreeMap<&'static str, &'static str>;

/// The tables of the document, by the name of their first column.
fn tables() -> BTreeMap<&'static str, Vec<Row>> {
    let mut tables: BTreeMap<_, Vec<Row>> = BTreeMap::new();
    let mut header: Option<Vec<&str>> = None;
    for line in DOCUMENT.lines() {
        let Some(line) = line.strip_prefix('|') else {
            header = None;
            continue;
        };
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        match &header {
            None => header = Some(cells),
            Some(_) if line.starts_with("---") => {}
            Some(names) => {
                let name = if names.contains(&"class") { "class" } else { names[0] };
                let row = names.iter().copied().zip(cells).collect();
                tables.entry(name).or_default().push(row);
            }
        }
    }
    tables
}

/// The text of a cell; `None` for `-`.
fn given<'a>(row: &BTreeMap<&str, &'a str>, column: &str) -> Option<&'a str> {
    Some(row[column]).filter(|cell| *cell != "-")
}

/// Reads an amount in major units.
fn minor_units(text: &str, currency: Currency) -> i64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let amount = digits.parse().unwrap();
    assert_eq!(major_units(amount, currency), text);
    amount
}

fn major_units(amount: i64, currency: Currency) -> String {
    let text = Money::new(amount, currency).to_string();
    text.split(' ').next().unwrap().to_owned()
}

/// Reads a percentage in units of which `whole` are 100 %.
fn percentage(text: &str, whole: u32) -> u32 {
    let text = text.strip_suffix(" %").unwrap();
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    let padded: u32 = format!("{integer}{fraction:0<6}").parse().unwrap();
    let unit = 100_000_000 / whole;
    assert_eq!(padded % unit, 0, "{text}");
    padded / unit
}

fn tax_rule(row: &Row) -> Value {
    let rate = |text: &str| {
        let (name, percent) = text.trim().split_once(' ').unwrap();
        json!({ "name": name, "ppm": percentage(percent, 1_000_000) })
    };
    let rates = given(row, "rates").into_iter().flat_map(|rates| rates.split(',')).map(rate);
    json!({
        "region": given(row, "region"),
        "tax_class": row["class"],
        "treatment": row["treatment"],
        "rates": rates.collect::<Vec<_>>(),
        "valid_from": LONG_AGO,
    })
}

fn shipping_method(number: usize, row: &Row, currency: Currency) -> Value {
    let grams = |text: &str| text.strip_suffix(" g").unwrap().parse::<u64>().unwrap();
    let class = row["tax"].strip_prefix("class ");
    let tax = class.map_or_else(|| json!(row["tax"]), |class| json!({ "class": class }));
    json!({
        "id": id::<ShippingMethodId>(number),
        "name": row["method"],
        "price": minor_units(row["price"], currency),
        "free_from": given(row, "free from").map(|text| minor_units(text, currency)),
        "max_weight_g": given(row, "up to").map(grams),
        "tax": tax,
    })
}

fn promotion(number: usize, row: &Row, currency: Currency) -> Value {
    let effect = if row["effect"].ends_with('%') {
        json!({ "percent_bp": percentage(row["effect"], 10_000) })
    } else {
        json!({ "fixed": minor_units(row["effect"], currency) })
    };
    let products = row["covers"].strip_prefix("product ").map(product_id);
    let categories = row["covers"].strip_prefix("category ");
    json!({
        "id": id::<PromotionId>(number),
        "name": row["promotion"],
        "target": row["target"],
        "effect": effect,
        "products": products.into_iter().collect::<Vec<_>>(),
        "categories": categories.into_iter().collect::<Vec<_>>(),
        "min_subtotal": given(row, "minimum").map(|text| minor_units(text, currency)),
        "priority": row["priority"].parse::<i64>().unwrap(),
        "combinable": row["combinable"] == "yes",
    })
}

/// Ids of products sort like their letters.
fn product_id(letter: &str) -> ProductId {
    id(usize::from(letter.as_bytes()[0]))
}

fn cart_line(text: &str, currency: Currency) -> Line {
    let (letter, rest) = text.trim().split_once(": ").unwrap();
    let words: Vec<&str> = rest.split(' ').collect();
    let [quantity, "x", unit_price, marks @ ..] = &words[..] else { panic!("{text}") };
    let amount = Money::new(minor_units(unit_price, currency), currency);
    let mut product = Product {
        product_id: product_id(letter),
        unit_price: Some(UnitPrice { amount, compare_at: None }),
        tax_class: TaxClass::default(),
        weight_g: 0,
        requires_shipping: true,
        category: None,
    };
    for mark in marks {
        let grams = mark.strip_suffix('g').and_then(|grams| grams.parse().ok());
        match (mark.strip_prefix('@'), grams) {
            (Some(category), _) => product.category = Some(category.to_owned()),
            (None, Some(grams)) => product.weight_g = grams,
            (None, None) if *mark == "digital" => product.requires_shipping = false,
            (None, None) => product.tax_class = TaxClass::parse(mark).unwrap(),
        }
    }
    let line_id = line_id("example", product.product_id);
    Line { line_id, quantity: quantity.parse().unwrap(), product }
}

fn rules_of(example: &Row, tables: &BTreeMap<&str, Vec<Row>>) -> Pricing {
    let market = tables["market"].iter().find(|row| row["market"] == example["market"]).unwrap();
    let currency = Currency::parse(market["currency"]).unwrap();
    let of_market = |row: &&Row| row["market"] == example["market"];
    let taxes = tables["class"].iter().filter(of_market).map(tax_rule);
    let methods = tables["method"].iter().enumerate();
    let methods = methods.filter(|(_, row)| of_market(row));
    let methods = methods.map(|(number, row)| shipping_method(number, row, currency));
    let named: Vec<&str> = example["promotions"].split(", ").collect();
    let promotions = tables["promotion"].iter().enumerate();
    let promotions = promotions.filter(|(_, row)| named.contains(&row["promotion"]));
    let promotions: Vec<Value> =
        promotions.map(|(number, row)| promotion(number, row, currency)).collect();
    assert!(named == ["-"] || promotions.len() == named.len(), "{named:?}");
    let pricing = json!({
        "market": market["market"], "country": market["country"], "version": 1,
        "document": {
            "currency": currency, "prices_include_tax": market["prices"] == "gross", "served": true,
            "minimum_charge": minor_units(market["minimum"], currency),
            "taxes": taxes.collect::<Vec<_>>(),
            "shipping_methods": methods.collect::<Vec<_>>(),
            "promotions": promotions,
        },
    });
    serde_json::from_value(pricing).unwrap()
}

/// The last five cells of an example.
fn result_of(example: &Row, tables: &BTreeMap<&str, Vec<Row>>) -> [String; 5] {
    let pricing = rules_of(example, tables);
    let currency = pricing.document.currency;
    let lines: Vec<Line> =
        example["lines"].split(';').map(|text| cart_line(text, currency)).collect();
    let mut methods = pricing.document.shipping_methods.iter();
    let shipping_method = given(example, "method")
        .map(|name| methods.find(|method| method.name == name).expect("a method of the market").id);
    let destination = Destination {
        country: pricing.country.clone(),
        region: given(example, "region").map(str::to_owned),
    };
    let request = PriceRequest {
        pricing: &pricing,
        lines: &lines,
        destination: &destination,
        shipping_method,
        now: NOW,
    };
    let none = || "-".to_owned();
    let Priced { price, totals } = match price(&request) {
        Ok(priced) => priced,
        Err(refusals) => {
            let codes = refusals.iter().map(|refusal| serde_json::to_value(refusal).unwrap());
            let codes: Vec<String> =
                codes.map(|refusal| refusal["code"].as_str().unwrap().to_owned()).collect();
            return [none(), none(), none(), none(), codes.join("; ")];
        }
    };
    let text = |amount| major_units(amount, currency);
    let rows = price.tax_summary.iter().map(|row| {
        let treatment = match row.treatment.name() {
            "standard" | "reduced" => String::new(),
            other => format!(" ({other})"),
        };
        let percent = f64::from(row.ppm) / 10_000.0;
        let amount = text(row.amount);
        format!("{} {} {percent} %{treatment}: {amount}", row.jurisdiction, row.name)
    });
    [
        price.lines.iter().map(|line| text(line.gross)).collect::<Vec<_>>().join("; "),
        price.shipping.as_ref().map_or_else(none, |shipping| text(shipping.gross)),
        text(price.discount_total),
        rows.collect::<Vec<_>>().join("; "),
        text(totals.total.amount),
    ]
}

#[test]
fn worked_examples_have_the_documented_prices() {
    let tables = tables();
    let examples = &tables["no."];
    assert!(examples.len() >= 25, "{} examples", examples.len());
    let columns = ["line totals", "shipping", "discount", "tax", "total"];
    let mut wrong = Vec::new();
    for example in examples {
        let result = result_of(example, &tables);
        if columns.map(|column| example[column]) != result.each_ref().map(String::as_str) {
            wrong.push(format!("{}: {}: {}", example["no."], example["case"], result.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

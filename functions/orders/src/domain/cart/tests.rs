//! Changes, merges and prices of carts.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::{
    ids::{self, Ids},
    money::Currency,
};

use super::*;
use crate::domain::{
    pricing::{Pricing, Refusal},
    tests::placed,
};

const NOW: Timestamp = Timestamp::from_milliseconds(1_795_255_200_000);

fn later(stamp: Duration) -> Stamp {
    Stamp { now: NOW.plus(stamp), write_id: Uuid::new_v8([7; 16]) }
}

fn stamp() -> Stamp {
    later(Duration::ZERO)
}

/// A product at 10.00 in its currency.
fn product(name: &str, currency: &str) -> Product {
    serde_json::from_value(json!({
        "product_id": id(name), "version": 1, "sku": name, "name": name, "active": true,
        "price": { "amount": 1000, "currency": currency },
    }))
    .unwrap()
}

fn id(name: &str) -> ProductId {
    ids::derive(&[name])
}

fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::parse("EUR").unwrap())
}

/// A lamp and a pen, and a file that is not shipped and of which an order has at most one.
fn products() -> Vec<Product> {
    let file =
        Product { max_per_order: Some(1), requires_shipping: false, ..product("file", "EUR") };
    vec![product("lamp", "EUR"), product("pen", "EUR"), file]
}

fn limits(products: &[Product]) -> QuantityLimits<'_> {
    QuantityLimits { products, max_per_order: 5 }
}

fn content(lines: &[(&str, u32)]) -> CartContent {
    let line = |(name, quantity): &(&str, u32)| CartLine {
        product_id: id(name),
        quantity: *quantity,
        seen_price: Some(euros(1000)),
    };
    let mut lines: Vec<CartLine> = lines.iter().map(line).collect();
    lines.sort_by_key(|line| line.product_id);
    CartContent { lines, ..CartContent::default() }
}

fn cart(lines: &[(&str, u32)]) -> Cart {
    of_content(content(lines))
}

fn of_content(content: CartContent) -> Cart {
    let owner = CartOwner::User(ids::derive(&["ada"]));
    Cart::create(ids::derive(&["cart"]), owner, content, stamp())
}

fn guest(content: CartContent) -> Cart {
    let owner = CartOwner::Guest { secret_hash: "hash".to_owned() };
    Cart::create(ids::derive(&["guest"]), owner, content, stamp())
}

fn change(change: Value) -> CartChange {
    serde_json::from_value(change).unwrap()
}

fn changed(cart: &Cart, body: Value) -> Result<Option<Cart>, CartError> {
    let change = change(body);
    change.check()?;
    cart.change(&change, limits(&products()), later(Duration::from_secs(1)))
}

fn quantities(cart: &Cart) -> Vec<(ProductId, u32)> {
    cart.content.lines.iter().map(|line| (line.product_id, line.quantity)).collect()
}

fn line(name: &str, quantity: u32) -> Value {
    json!({ "product_id": id(name), "quantity": quantity })
}

fn address(country: &str) -> Address {
    let address = json!({ "name": "Ada", "line1": "1 Street", "city": "Town", "postal_code": "1", "country": country });
    serde_json::from_value(address).unwrap()
}

fn country(code: &str) -> CountryCode {
    CountryCode::parse(code).unwrap()
}

fn market(id: &str) -> MarketId {
    MarketId::parse(id).unwrap()
}

/// Rules of the market `de` for a country, with a method for 5.00 and a tax of 19 %.
fn rules(to: &str, more: Value) -> Arc<Pricing> {
    let mut document = json!({
        "currency": "EUR", "prices_include_tax": true, "served": true,
        "taxes": [{
            "tax_class": "standard", "treatment": "standard", "rates": [{ "name": "VAT", "ppm": 190_000 }],
            "valid_from": "2020-01-01T00:00:00.000Z",
        }],
        "shipping_methods": [{ "id": method(), "name": "Parcel", "price": 500, "tax": "proportional" }],
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let pricing = json!({ "market": "de", "country": to, "version": 7, "document": document });
    Arc::new(serde_json::from_value(pricing).unwrap())
}

fn method() -> ShippingMethodId {
    ids::derive(&["parcel"])
}

#[test]
fn change_sets_adds_and_removes_lines_and_is_the_next_version() {
    let before = cart(&[("lamp", 2), ("pen", 1)]);
    let body = json!({ "set": [line("lamp", 0), line("file", 1)], "add": [line("pen", 4)] });
    let after = changed(&before, body).unwrap().unwrap();
    assert_eq!(quantities(&after), quantities(&cart(&[("file", 1), ("pen", 5)])));
    assert_eq!((after.version, after.updated_at), (2, NOW.plus(Duration::from_secs(1))));
    assert_eq!((after.created_at, after.cart_id), (before.created_at, before.cart_id));
    assert!(after.content.lines.is_sorted_by_key(|line| line.product_id));
}

#[test]
fn change_beyond_a_limit_names_its_place() {
    let before = cart(&[("lamp", 2)]);
    let error = |body| changed(&before, body).unwrap_err();
    let too_many =
        |list, position, maximum| CartError::TooManyOfProduct { list, position, maximum };
    assert_eq!(error(json!({ "add": [line("pen", 1), line("lamp", 4)] })), too_many("add", 1, 5));
    assert_eq!(error(json!({ "set": [line("file", 2)] })), too_many("set", 0, 1));
    let unknown = |list, position| CartError::UnknownProduct { list, position };
    assert_eq!(error(json!({ "set": [line("cup", 1)] })), unknown("set", 0));
    let repeated = |list, position| CartError::RepeatedProduct { list, position };
    assert_eq!(
        error(json!({ "set": [line("pen", 1)], "add": [line("pen", 1)] })),
        repeated("add", 0)
    );
    assert_eq!(error(json!({ "set": [line("pen", 1), line("pen", 0)] })), repeated("set", 1));
    for nothing in [json!({}), json!({ "mutation_id": "m" })] {
        assert_eq!(error(nothing), CartError::NothingToChange);
    }
    // A product that is no longer sold can be removed, but not changed.
    let mut products = products();
    products[0].active = false;
    let change_of = |body| before.change(&change(body), limits(&products), stamp());
    assert_eq!(change_of(json!({ "set": [line("lamp", 1)] })), Err(unknown("set", 0)));
    assert!(change_of(json!({ "set": [line("lamp", 0)] })).is_ok());
    assert!(change_of(json!({ "add": [line("pen", 1)] })).is_ok());
}

#[test]
fn cart_has_at_most_40_lines() {
    let names: Vec<String> = (0..41).map(|number| format!("product {number}")).collect();
    let products: Vec<Product> = names.iter().map(|name| product(name, "EUR")).collect();
    let set = |names: &[String]| {
        let lines: Value = names.iter().map(|name| line(name, 1)).collect();
        change(json!({ "set": lines }))
    };
    let full = cart(&[]).change(&set(&names[..40]), limits(&products), stamp()).unwrap().unwrap();
    assert_eq!(full.content.lines.len(), MAX_LINES);
    let more = full.change(&set(&names[40..]), limits(&products), stamp());
    assert_eq!(more, Err(CartError::TooManyLines));
    let lines = vec![line("pen", 1); 41];
    assert!(serde_json::from_value::<CartChange>(json!({ "set": lines })).is_err());
}

#[test]
fn repeat_of_the_last_sixteen_mutations_changes_nothing() {
    let named = |cart: &Cart, id: &str| {
        changed(cart, json!({ "add": [line("pen", 1)], "mutation_id": id }))
    };
    let first = named(&cart(&[]), "first").unwrap().unwrap();
    assert_eq!(named(&first, "first"), Ok(None));
    let mut cart = first;
    for number in 0..16 {
        let change = change(json!({ "note": "x", "mutation_id": format!("m-{number}") }));
        cart = cart.change(&change, limits(&products()), stamp()).unwrap().unwrap();
    }
    assert_eq!(cart.mutations.len(), KEPT_MUTATIONS);
    assert!(named(&cart, "m-0").unwrap().is_none());
    assert!(named(&cart, "first").unwrap().is_some());
}

#[test]
fn null_clears_a_field_and_absence_keeps_it() {
    let full = json!({
        "email": "ada@example.com", "shipping_address": address("DE"), "billing_address": address("AT"),
        "tax_id": "DE 123456789", "shipping_method": method(), "market": "de", "country": "DE", "region": "BY", "locale": "de",
        "note": "Ring.", "attributes": [{ "name": "gift", "value": "yes" }],
    });
    let before = changed(&cart(&[("pen", 1)]), full.clone()).unwrap().unwrap();
    let kept = changed(&before, json!({ "add": [line("pen", 1)] })).unwrap().unwrap();
    assert_eq!(
        CartContent { lines: Vec::new(), ..kept.content },
        CartContent { lines: Vec::new(), ..before.content.clone() }
    );
    for name in full.as_object().unwrap().keys() {
        let cleared = changed(&before, json!({ name: null })).unwrap().unwrap().content;
        assert_ne!(cleared, before.content, "{name}");
    }
    let nulls: serde_json::Map<String, Value> =
        full.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    let cleared = changed(&before, Value::Object(nulls)).unwrap().unwrap().content;
    let lines = cleared.lines.clone();
    assert_eq!(cleared, CartContent { lines, ..CartContent::default() });
    // A price of another market is not a change of the price.
    assert_eq!(cleared.lines[0].seen_price, None);
}

#[test]
fn cart_lives_two_days_until_it_has_a_line() {
    let empty = cart(&[]);
    assert_eq!(empty.expires_at, NOW.plus(EMPTY_LIFETIME));
    assert!(!empty.is_expired(NOW.plus(EMPTY_LIFETIME - Duration::from_millis(1))));
    assert!(empty.is_expired(NOW.plus(EMPTY_LIFETIME)));
    assert_eq!(cart(&[("pen", 1)]).expires_at, NOW.plus(LIFETIME));
    let at = Duration::from_secs(1);
    let noted = changed(&empty, json!({ "note": "x" })).unwrap().unwrap();
    assert_eq!(noted.expires_at, NOW.plus(at).plus(EMPTY_LIFETIME));
    let filled = changed(&empty, json!({ "add": [line("pen", 1)] })).unwrap().unwrap();
    let emptied = changed(&filled, json!({ "set": [line("pen", 0)] })).unwrap().unwrap();
    assert_eq!(emptied.expires_at, NOW.plus(at).plus(LIFETIME));
}

#[test]
fn only_the_owner_of_an_open_cart_has_access() {
    let ids = Ids::seeded(1);
    let token = CartToken::create(ids::derive(&["guest"]), &ids);
    let owner = CartOwner::Guest { secret_hash: token.secret_hash() };
    let guest = Cart { owner, ..guest(content(&[])) };
    let of_guest = Credentials { user_id: None, token: Some(token) };
    let of_user = Credentials { user_id: Some(ids::derive(&["ada"])), token: None };
    let own = cart(&[]);
    for (cart, credentials, is_owner) in [
        (&guest, &of_guest, true),
        (&own, &of_user, true),
        (&guest, &of_user, false),
        (&own, &of_guest, false),
    ] {
        let authorized = cart.clone().authorize(credentials, NOW);
        assert_eq!(authorized.is_ok(), is_owner, "{credentials:?}");
    }
    // The token of another cart with the same secret.
    let moved = Cart { cart_id: ids::derive(&["other"]), ..guest.clone() };
    assert_eq!(moved.authorize(&of_guest, NOW), Err(CartError::NotFound));
    assert_eq!(own.clone().authorize(&of_user, own.expires_at), Err(CartError::NotFound));
    let merged = guest.closed(CartState::Merged { into: own.cart_id }, stamp());
    assert_eq!(merged.authorize(&of_guest, NOW), Err(CartError::NotFound));
    let order_id = ids::derive(&["order"]);
    let ordered = own.closed(CartState::Ordered { order_id }, stamp());
    assert_eq!(ordered.clone().authorize(&of_user, NOW), Err(CartError::Ordered { order_id }));
    assert_eq!(ordered.authorize(&of_guest, NOW), Err(CartError::NotFound));
}

#[test]
fn closed_cart_has_no_content() {
    let noted = json!({ "note": "Ring.", "mutation_id": "m" });
    let before = changed(&cart(&[("pen", 1)]), noted).unwrap().unwrap();
    let order_id = ids::derive(&["order"]);
    let closed = before.closed(CartState::Ordered { order_id }, later(Duration::from_secs(9)));
    assert_eq!((&closed.content, &closed.mutations), (&CartContent::default(), &Vec::new()));
    assert_eq!((closed.version, &closed.owner), (before.version + 1, &before.owner));
    assert_eq!(closed.expires_at, NOW.plus(Duration::from_secs(9)).plus(LIFETIME));
}

#[test]
fn merge_adds_up_to_the_limits() {
    let products = products();
    let own = cart(&[("lamp", 4), ("file", 1)]);
    let guest = guest(content(&[("lamp", 2), ("pen", 5), ("file", 1)]));
    let Merge::Merged(merged) = own.merge(&guest, limits(&products), stamp()) else {
        panic!("both carts have no market")
    };
    let Merged { cart: merged, guest: closed, warnings } = *merged;
    assert_eq!(quantities(&merged), quantities(&cart(&[("lamp", 5), ("pen", 5), ("file", 1)])));
    let mut cut: Vec<_> = ["lamp", "file"].map(|name| own.line_id(id(name))).into();
    cut.sort_unstable();
    let mut warned: Vec<_> = warnings.iter().filter_map(|warning| warning.line_id).collect();
    warned.sort_unstable();
    assert_eq!(warned, cut);
    assert!(warnings.iter().all(|warning| warning.code == WarningCode::QuantityCut));
    assert_eq!((merged.version, closed.version), (2, 2));
    assert_eq!(closed.state, CartState::Merged { into: own.cart_id });
    assert_eq!(own.merge(&closed, limits(&products), stamp()), Merge::Done);
    assert_eq!(own.content_of_merge(&closed), own.content);
}

#[test]
fn own_line_above_a_lower_limit_keeps_its_pieces() {
    let products = products();
    let own = cart(&[("file", 3)]);
    let (lines, warnings) =
        own.with_lines(&content(&[("file", 1)]).lines, |a, b| a + b, limits(&products));
    assert_eq!((lines[0].quantity, warnings.len()), (3, 1));
}

#[test]
fn carts_for_different_markets_are_not_merged_unless_one_is_empty() {
    let products = products();
    let of_market = |id: &str, lines| CartContent { market: Some(market(id)), ..content(lines) };
    let full = of_content(of_market("de", &[("lamp", 1)]));
    let merge =
        |own: &Cart, other: CartContent| own.merge(&guest(other), limits(&products), stamp());
    assert_eq!(merge(&full, of_market("fr", &[("pen", 1)])), Merge::OtherMarket);
    assert_eq!(merge(&full, content(&[("pen", 1)])), Merge::OtherMarket);
    assert!(matches!(merge(&full, of_market("de", &[("pen", 1)])), Merge::Merged(_)));
    assert!(matches!(merge(&full, of_market("fr", &[])), Merge::Merged(_)));
    let empty = of_content(CartContent { country: Some(country("FR")), ..of_market("fr", &[]) });
    let Merge::Merged(merged) = merge(&empty, of_market("de", &[("pen", 1)])) else {
        panic!("the user's cart has no lines")
    };
    let content = merged.cart.content;
    assert_eq!((content.market, content.country), (Some(market("de")), Some(country("FR"))));
    assert_eq!(content.lines.len(), 1);
}

#[test]
fn lines_of_an_order_are_added_once() {
    let order = CartContent::of_order(&placed());
    let spoon = order.lines[0].product_id;
    assert_eq!((order.lines.len(), order.lines[0].quantity), (1, 2));
    assert!(order.shipping_address.is_some());
    let none: &[Product] = &[];
    let (next, warnings) = cart(&[("pen", 1)]).with_order(&order, limits(none), stamp()).unwrap();
    assert_eq!((next.content.lines.len(), warnings.len()), (2, 0));
    let seen = next.content.lines.iter().find(|line| line.product_id == spoon).unwrap().seen_price;
    assert_eq!(seen, order.lines[0].seen_price);
    assert_eq!(next.with_order(&order, limits(none), stamp()), None);
    // More than the order are left.
    let mut more = next;
    for line in &mut more.content.lines {
        line.quantity = 3;
    }
    assert_eq!(more.with_order(&order, limits(none), stamp()), None);
}

#[test]
fn destination_is_the_address_before_the_country() {
    let base = CartContent {
        country: Some(country("FR")),
        region: Some(AddressLine::parse("BY").unwrap()),
        ..CartContent::default()
    };
    let of = |content: &CartContent, requires_shipping| {
        let destination = content.destination(requires_shipping)?;
        Some((destination.country.to_string(), destination.region))
    };
    let place =
        |code: &str, region: Option<&str>| Some((code.to_owned(), region.map(str::to_owned)));
    assert_eq!(of(&CartContent::default(), true), None);
    assert_eq!(of(&base, true), place("FR", Some("BY")));
    let billed = CartContent { billing_address: Some(address("AT")), ..base };
    assert_eq!(of(&billed, true), place("FR", Some("BY")));
    assert_eq!(of(&billed, false), place("AT", None));
    let is_named = [true, false]
        .map(|requires_shipping| billed.destination_address(requires_shipping).is_some());
    assert_eq!(is_named, [false, true]);
    let shipped = CartContent { shipping_address: Some(address("DE")), ..billed.clone() };
    assert_eq!(of(&shipped, true), place("DE", None));
    assert_eq!(of(&shipped, false), place("AT", None));
    let not_billed = CartContent { billing_address: None, ..shipped.clone() };
    assert_eq!(of(&not_billed, false), place("DE", None));

    let rules = |content: &CartContent| -> Vec<String> {
        content.rules().iter().map(|(_, country)| country.to_string()).collect()
    };
    let in_market = |content: CartContent| CartContent { market: Some(market("de")), ..content };
    assert_eq!(rules(&billed), Vec::<String>::new());
    assert_eq!(rules(&in_market(not_billed)), ["DE"]);
    assert_eq!(rules(&in_market(shipped)), ["DE", "AT"]);
    assert_eq!(rules(&in_market(billed.clone())), ["AT", "FR"]);
    let same = CartContent { country: Some(country("AT")), ..billed };
    assert_eq!(rules(&in_market(same)), ["AT"]);
}

fn quote_of(content: CartContent, rules: &[Arc<Pricing>]) -> (Cart, CartQuote) {
    let cart = of_content(content);
    let quote = cart.quote(limits(&products()), rules, NOW);
    (cart, quote)
}

#[test]
fn catalogue_prices_need_one_currency_and_no_method() {
    let (_, quote) = quote_of(content(&[]), &[]);
    assert_eq!((quote.totals, quote.refusals), (None, vec![CartRefusal::Empty]));
    let (cart, quote) = quote_of(content(&[("lamp", 2), ("pen", 1)]), &[]);
    assert_eq!(quote.totals.map(|totals| totals.total), Some(euros(3000)));
    assert_eq!((&quote.refusals, &quote.warnings), (&Vec::new(), &Vec::new()));
    assert_eq!(quote.shipping_options, Err(vec![CartRefusal::MarketRequired]));
    let lamp = quote.lines.iter().find(|line| line.product_id == id("lamp")).unwrap();
    assert_eq!(lamp.price.map(|price| price.line_total), Some(euros(2000)));

    let mixed = [product("lamp", "EUR"), product("pen", "USD")];
    let quote = cart.quote(limits(&mixed), &[], NOW);
    let refusal = |refusal| vec![CartRefusal::Price { refusal, currency: None }];
    assert_eq!((quote.totals, quote.refusals), (None, refusal(Refusal::CurrencyMismatch)));
    let dear = Product { price: euros(99_999_999), ..product("lamp", "EUR") };
    let quote = cart.quote(limits(&[dear, product("pen", "EUR")]), &[], NOW);
    assert_eq!((quote.totals, quote.refusals), (None, refusal(Refusal::AmountTooLarge)));

    let method = CartContent { shipping_method: Some(method()), ..content(&[("lamp", 1)]) };
    let (_, quote) = quote_of(method, &[]);
    assert_eq!(quote.refusals, [CartRefusal::MarketRequired]);
    assert!(quote.totals.is_some());
}

#[test]
fn refused_lines_have_no_price_or_too_many_pieces() {
    let (cart, quote) = quote_of(content(&[("lamp", 6), ("cup", 1)]), &[]);
    let unknown = CartRefusal::UnknownProduct { product_id: id("cup") };
    let too_many = CartRefusal::TooManyOfProduct { product_id: id("lamp") };
    assert_eq!(quote.refusals.len(), 2);
    assert!(quote.refusals.contains(&unknown) && quote.refusals.contains(&too_many));
    let not_sold = Warning::of_line(WarningCode::NotSoldHere, cart.line_id(id("cup")));
    assert_eq!(quote.warnings, [not_sold]);
    assert_eq!(quote.totals.map(|totals| totals.total), Some(euros(6000)));
    let cup = quote.lines.iter().find(|line| line.product_id == id("cup")).unwrap();
    assert_eq!((&cup.price, &cup.product), (&None, &None));
}

#[test]
fn market_needs_a_destination_rules_and_an_address() {
    let in_market = |more: CartContent| CartContent { market: Some(market("de")), ..more };
    let rules = [rules("DE", json!({}))];
    let refusals = |content: CartContent| quote_of(in_market(content), &rules).1.refusals;
    let lamp = || content(&[("lamp", 1)]);
    let method_required = CartRefusal::Price {
        refusal: Refusal::ShippingMethodRequired,
        currency: Some(euros(0).currency),
    };
    assert_eq!(refusals(lamp()), [CartRefusal::AddressRequired]);
    let unknown = CartContent { country: Some(country("FR")), ..lamp() };
    assert_eq!(refusals(unknown), [CartRefusal::UnknownMarket]);
    let of_country = CartContent { country: Some(country("DE")), ..lamp() };
    assert_eq!(refusals(of_country), [CartRefusal::AddressRequired, method_required.clone()]);
    let addressed = CartContent { shipping_address: Some(address("DE")), ..lamp() };
    assert_eq!(refusals(addressed.clone()), [method_required]);
    let ready = CartContent { shipping_method: Some(method()), ..addressed };
    assert_eq!(refusals(ready.clone()), []);
    let (_, quote) = quote_of(in_market(ready), &rules);
    assert_eq!(quote.totals.map(|totals| totals.total), Some(euros(1500)));
    assert_eq!((quote.pricing_version, quote.price.is_some()), (Some(7), true));
    assert_eq!(quote.shipping_options.unwrap().len(), 1);
    // Nothing is shipped, so the billing address decides.
    let file = CartContent { billing_address: Some(address("DE")), ..content(&[("file", 1)]) };
    let (_, quote) = quote_of(in_market(file), &rules);
    assert_eq!((quote.refusals, quote.shipping_options), (Vec::new(), Ok(Vec::new())));
}

#[test]
fn refusals_of_the_rules_are_warnings_too() {
    let ready = CartContent {
        market: Some(market("de")),
        shipping_address: Some(address("DE")),
        shipping_method: Some(ids::derive(&["another method"])),
        ..content(&[("lamp", 1)])
    };
    let (_, quote) = quote_of(ready.clone(), &[rules("DE", json!({}))]);
    assert_eq!(quote.warnings, [Warning::of_cart(WarningCode::ShippingUnavailable)]);
    let ready = CartContent { shipping_method: Some(method()), ..ready };
    let (_, quote) = quote_of(ready, &[rules("DE", json!({ "minimum_charge": 5000 }))]);
    assert_eq!(quote.warnings, [Warning::of_cart(WarningCode::BelowMinimum)]);
}

#[test]
fn new_price_is_a_warning_until_it_is_seen() {
    let cart = cart(&[("lamp", 1), ("pen", 1)]);
    let dearer = [Product { price: euros(1200), ..product("lamp", "EUR") }, product("pen", "EUR")];
    let quote = cart.quote(limits(&dearer), &[], NOW);
    let changed = Warning::of_line(WarningCode::PriceChanged, cart.line_id(id("lamp")));
    assert_eq!(quote.warnings, [changed]);
    let seen = cart.with_seen_prices(&quote);
    assert_eq!(seen.quote(limits(&dearer), &[], NOW).warnings, []);
    // Without a price, the last one stays.
    let quote = seen.quote(limits(&[]), &[], NOW);
    assert_eq!(seen.clone().with_seen_prices(&quote), seen);
}

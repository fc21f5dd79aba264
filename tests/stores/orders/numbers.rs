//! The search for an order by its number: only for admins, with an index whose entries are written
//! once.

use orders::domain::number::order_number;

use super::*;

/// The number of an order as views show it.
fn number_of(order: &str) -> String {
    order_number(OrderId::parse(order).unwrap())
}

fn ids(page: &Called) -> Vec<String> {
    let items = page.json()["items"].as_array().unwrap().clone();
    items.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn admin_finds_an_order_by_any_spelling_of_its_number() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    fixture.placed("another").await;
    let number = number_of(&order);
    let listed = fixture.page("status=pending", ADMIN).await.json()["items"].clone();
    let listed = listed.as_array().unwrap().clone();
    let listed = listed.iter().find(|item| item["id"] == order.as_str()).unwrap();
    let plain = number.replace('-', "");
    let confused = number.replace('0', "o").replace('1', "L");
    for typed in [number.clone(), plain, number.to_lowercase(), confused] {
        let page = fixture.page(&format!("number={typed}"), ADMIN).await;
        assert_eq!((page.status(), page.operations()), (200, vec!["Query", "BatchGetItem"]));
        assert_eq!(page.json(), json!({ "items": [listed], "next_cursor": null }), "{typed}");
    }
}

#[tokio::test]
async fn unknown_number_is_an_empty_page_and_a_malformed_one_is_422() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let unknown = fixture.page("number=0000-0000-0000", ADMIN).await;
    assert_eq!((unknown.status(), unknown.operations()), (200, vec!["Query"]));
    assert_eq!(unknown.json(), json!({ "items": [], "next_cursor": null }));
    for malformed in ["number=", "number=7K3M", "number=7K3M-Q8ZT-0V2U", "number=7K3M-Q8ZT-0V2R1"] {
        for reader in [USER, ADMIN] {
            let refused = fixture.page(malformed, reader).await;
            assert_eq!(
                (refused.status(), refused.code().as_str(), refused.operations().len()),
                (422, "invalid_order_number", 0),
                "{malformed}"
            );
            assert_eq!(refused.json()["errors"][0]["pointer"], "?number");
        }
    }
    let refused = fixture.page(&format!("number={}", number_of(&order)), USER).await;
    assert_eq!(
        (refused.status(), refused.code().as_str(), refused.operations().len()),
        (403, "insufficient_permissions", 0)
    );
}

#[tokio::test]
async fn other_filters_apply_to_the_order_with_the_number() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let number = number_of(&order);
    for (filter, is_found) in [
        ("status=pending", true),
        ("status=confirmed", false),
        (&*format!("user_id={USER}"), true),
        (&*format!("user_id={STRANGER}"), false),
        ("needs_review=true", false),
        ("stuck=true", false),
    ] {
        let page = fixture.page(&format!("number={number}&{filter}"), ADMIN).await;
        let expected = if is_found { vec![order.clone()] } else { vec![] };
        assert_eq!((page.status(), ids(&page)), (200, expected), "{filter}");
    }
}

/// An index of numbers costs one write unit for an order, however often the order changes.
#[tokio::test]
async fn index_of_numbers_is_written_once_for_an_order() {
    let fixture = OrdersFixture::new().await;
    fixture.aws.count_write_units(None);
    let order = fixture.placed("k").await;
    fixture.settle(&order).await;
    let units = fixture.aws.write_units();
    let of_index: Vec<_> =
        units.iter().filter(|(key, _)| key.starts_with("orders/number-index ")).collect();
    let key = format!("orders/number-index {}", number_of(&order).replace('-', ""));
    assert_eq!(of_index, [(&key, &1)]);
    assert!(units.keys().any(|key| key.starts_with("orders/status-index confirmed")));
}

/// Items of limits and leases have no number, and those of orders keep theirs.
#[tokio::test]
async fn only_orders_have_a_number() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    fixture.resume().await;
    fixture.confirm(&order).await;
    for item in fixture.aws.items("orders") {
        let pk = item["pk"]["S"].as_str().unwrap();
        let expected = pk.strip_prefix("ORDER#").map(|order| number_of(order).replace('-', ""));
        assert_eq!(item["number"]["S"].as_str().map(str::to_owned), expected, "{pk}");
    }
}

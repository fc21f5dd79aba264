//! Who may open which cart.

use super::*;

const OPERATIONS: [(&str, &str, &str); 3] = [
    ("get-cart", "GET", ""),
    ("change-cart", "POST", "/changes"),
    ("list-shipping-options", "GET", "/shipping-options"),
];

impl OrdersFixture {
    /// The statuses of all operations on the cart with this id, with the token and the caller of
    /// `opener`.
    async fn statuses(&self, id: &str, opener: &CartHandle) -> [u64; 3] {
        let opener = CartHandle { id: id.to_owned(), ..opener.clone() };
        let mut statuses = Vec::new();
        for (operation, method, below) in OPERATIONS {
            let request = if method == "POST" {
                opener.change(&json!({ "note": "Mine." }))
            } else {
                opener.request(method, below)
            };
            let called = self.call(operation, request.event()).await;
            if called.status() == 404 {
                assert_eq!(called.code(), "cart_not_found");
            }
            statuses.push(called.status());
        }
        statuses.try_into().unwrap()
    }
}

#[tokio::test]
async fn only_the_owner_opens_a_cart() {
    let fixture = OrdersFixture::new().await;
    let (guest, other) =
        (fixture.guest_cart(&json!({})).await, fixture.guest_cart(&json!({})).await);
    let (own, theirs) = (fixture.own_cart(USER).await, fixture.own_cart(STRANGER).await);
    let admins = fixture.own_cart(ADMIN).await;
    let anonymous = CartHandle { id: String::new(), token: None, owner: None };
    let with = |token: &str| CartHandle { token: Some(token.to_owned()), ..anonymous.clone() };
    let token = guest.token.clone().unwrap();
    let (_, secret) = token.split_once('.').unwrap();
    let (_, other_secret) = other.token.as_ref().unwrap().split_once('.').unwrap();
    let both = CartHandle { owner: Some(USER), ..guest.clone() };
    for (id, opener, status) in [
        (&guest.id, &guest, 200),
        // A user may continue as a guest.
        (&guest.id, &both, 200),
        (&own.id, &own, 200),
        (&own.id, &both, 200),
        (&guest.id, &anonymous, 404),
        (&guest.id, &other, 404),
        (&guest.id, &own, 404),
        (&guest.id, &admins, 404),
        (&guest.id, &with(&format!("{}.{other_secret}", guest.id)), 404),
        (&guest.id, &with(&format!("{}.{secret}", other.id)), 404),
        (&guest.id, &with(secret), 404),
        (&guest.id, &with(&token[..token.len() - 1]), 404),
        (&guest.id, &with(&format!("{token}=")), 404),
        (&guest.id, &with(&"x".repeat(100_000)), 404),
        (&own.id, &anonymous, 404),
        (&own.id, &theirs, 404),
        (&own.id, &admins, 404),
        (&own.id, &with(&format!("{}.{secret}", own.id)), 404),
        (&own.id, &guest, 404),
    ] {
        assert_eq!(fixture.statuses(id, opener).await, [status; 3], "{opener:?} opens {id}");
    }
    let unknown = "crt_0199c2a8-0000-7000-8000-00000000dead";
    for id in [unknown, "crt_x", ""] {
        assert_eq!(fixture.statuses(id, &own).await, [404; 3], "{id}");
    }
}

/// An expired access token is 401 even beside a valid cart token.
#[tokio::test]
async fn invalid_access_token_is_rejected_beside_a_cart_token() {
    let fixture = OrdersFixture::new().await;
    let guest = fixture.guest_cart(&json!({})).await;
    let mut event = guest.request("GET", "").caller(USER).event();
    event["requestContext"]["authorizer"]["exp"] = "1000".into();
    let called = fixture.call("get-cart", event).await;
    assert_eq!((called.status(), called.code().as_str()), (401, "invalid_token"));
}

#[tokio::test]
async fn cart_from_an_order_requires_the_owner_of_the_order() {
    let fixture = OrdersFixture::new().await;
    let order = fixture.placed("k").await;
    let create = json!({ "from_order": order });
    let visitor = fixture.call("create-cart", events::post("/carts", &create).event()).await;
    assert_eq!((visitor.status(), visitor.code().as_str()), (401, "invalid_token"));
    for who in [STRANGER, ADMIN] {
        let called = fixture.create_cart(who, &create).await;
        assert_eq!((called.status(), called.code().as_str()), (404, "order_not_found"), "{who}");
    }
    let unknown = json!({ "from_order": UNKNOWN_ORDER });
    assert_eq!(fixture.create_cart(USER, &unknown).await.code(), "order_not_found");
    assert_eq!(fixture.aws.items("order-carts"), Vec::<Value>::new());
}

#[tokio::test]
async fn ordered_cart_is_410_for_its_owner_and_404_for_others() {
    let fixture = OrdersFixture::new().await;
    let own = fixture.own_cart(USER).await;
    fixture.changed_cart(&own, &add(SPOON, 1)).await;
    let store = &fixture.orders.store;
    let cart = store.find_cart(PrefixedId::parse(&own.id).unwrap()).await.unwrap().unwrap();
    let order_id: OrderId = ids::derive(&["order"]);
    let now = fixture.clock.now();
    let outdated = orders::domain::cart::Cart { version: 1, ..cart.clone() };
    for (cart, is_written) in [(&outdated, false), (&cart, true), (&cart, false)] {
        let writes = vec![store.ordered_write(cart, order_id, now)];
        let written = fixture.aws.table("order-carts").transact(writes).await.unwrap();
        assert_eq!(written == shared::table::TransactionOutcome::Written, is_written);
    }
    assert_eq!(fixture.statuses(&own.id, &own).await, [410; 3]);
    let ordered = fixture.read_cart(&own).await;
    assert_eq!(ordered.code(), "cart_ordered");
    let number = orders::domain::number::order_number(order_id);
    assert_eq!(
        (&ordered.json()["order_id"], &ordered.json()["number"]),
        (&json!(order_id), &json!(number))
    );
    let theirs = fixture.own_cart(STRANGER).await;
    assert_eq!(fixture.statuses(&own.id, &theirs).await, [404; 3]);
    // An ordered cart cannot be ordered or merged again. The user gets a new one.
    let guest = fixture.guest_cart(&json!({})).await;
    assert_eq!(fixture.merge_carts(&own, &guest).await.status(), 410);
    assert_ne!(fixture.own_cart(USER).await.id, own.id);
}

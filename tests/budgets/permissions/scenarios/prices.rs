//! Markets and their rules.

use crate::permissions::*;

pub(super) async fn prices(seen: &Arc<Mutex<Actions>>) {
    let watched = Watched::new(seen);
    let market = "/markets/{market}";
    let with = |request: Http, id: Option<(&str, &str)>| {
        let request = request.caller(ADMIN).path_parameter("market", "de");
        id.map_or(request.clone(), |(name, id)| request.path_parameter(name, id)).event()
    };
    let create = async |operation: &str, key: &str, body: Value| {
        let request = events::post(market, &body).header("idempotency-key", key);
        let created = watched.call(operation, with(request, None)).await;
        assert_eq!(created.status(), 201, "{operation}: {:?}", created.answer);
        created.json()["id"].as_str().expect("it has an id").to_owned()
    };
    let update = async |operation: &str, version: u64, id: (&str, &str), body: Value| {
        let request = events::http("PATCH", market)
            .header("content-type", "application/json")
            .header("if-match", &format!("\"{version}\""))
            .body(&body.to_string());
        let updated = watched.call(operation, with(request, Some(id))).await;
        assert_eq!(updated.status(), 200, "{operation}: {:?}", updated.answer);
    };
    let delete = async |operation: &str, version: u64, id: (&str, &str)| {
        let request = events::http("DELETE", market).header("if-match", &format!("\"{version}\""));
        let deleted = watched.call(operation, with(request, Some(id))).await;
        assert_eq!(deleted.status(), 204, "{operation}: {:?}", deleted.answer);
    };
    let get = async |operation: &str, id: (&str, &str)| {
        let read = watched.call(operation, with(events::get(market), Some(id))).await;
        assert_eq!(read.status(), 200, "{operation}: {:?}", read.answer);
    };

    let de = ("market", "de");
    for id in ["de", "fr"] {
        let country = id.to_uppercase();
        let body = json!({ "id": id, "name": id, "currency": "EUR", "prices_include_tax": true, "countries": [country] });
        create("create-market", id, body.clone()).await;
        create("create-market", id, body).await;
    }
    get("get-market", de).await;
    update("update-market", 1, de, json!({ "countries": ["AT"] })).await;

    let mut ids = BTreeMap::new();
    for number in ["one", "two"] {
        let price = json!({ "amount": 490, "currency": "EUR" });
        let method = json!({ "name": "Parcel", "price": price });
        ids.insert("method", create("create-shipping-method", number, method).await);
        let rate = json!({
            "country": "AT", "tax_class": number, "treatment": "zero", "valid_from": "2021-01-01T00:00:00Z",
        });
        ids.insert("rate", create("create-tax-rate", number, rate).await);
        let sale =
            json!({ "name": "Sale", "markets": ["de"], "target": "line", "percent_bp": 1000 });
        ids.insert("promotion", create("create-promotion", number, sale).await);
    }
    let method = ("shipping_method_id", ids["method"].as_str());
    let rate = ("tax_rate_id", ids["rate"].as_str());
    let promotion = ("promotion_id", ids["promotion"].as_str());
    get("get-shipping-method", method).await;
    get("get-tax-rate", rate).await;
    get("get-promotion", promotion).await;
    for operation in ["list-markets", "list-shipping-methods", "list-tax-rates", "list-promotions"]
    {
        let request = events::get("/list?limit=1");
        let first = watched.cold(operation, with(request, None)).await;
        assert!(first.json()["next_cursor"].is_string(), "{operation}: {:?}", first.answer);
    }
    watched.harness().drain_queues().await;
    watched.call("resync-pricing", json!({})).await.ok();

    update("update-shipping-method", 1, method, json!({ "name": "Letter" })).await;
    update("update-tax-rate", 1, rate, json!({ "treatment": "exempt" })).await;
    update("update-promotion", 1, promotion, json!({ "markets": ["fr"] })).await;
    delete("delete-shipping-method", 2, method).await;
    delete("delete-tax-rate", 2, rate).await;
    delete("delete-promotion", 2, promotion).await;

    let empty = json!({ "id": "it", "name": "it", "currency": "EUR", "prices_include_tax": true, "countries": ["IT"] });
    create("create-market", "it", empty).await;
    let request = events::http("DELETE", market).header("if-match", "\"1\"").caller(ADMIN);
    let request = request.path_parameter("market", "it").event();
    assert_eq!(watched.call("delete-market", request).await.status(), 204);
    watched.harness().drain_queues().await;
}

//! The health check reports a missing part of the shop.

use aws_sdk_dynamodb::types::{GlobalSecondaryIndex, GlobalSecondaryIndexDescription};

use serde_json::json;

use crate::shop::{shop_alone_with, until};

#[tokio::test]
async fn health_names_the_service_without_its_table() {
    let shop = shop_alone_with!(Tables);
    let visitor = shop.visitor();
    assert_eq!(visitor.get("/health").await.expect(200)["status"], "healthy");
    assert_eq!(visitor.get("/health/orders").await.expect(200)["status"], "healthy");
    assert_eq!(visitor.get("/health/astrology").await.problem(404), "service_not_found");

    let name = shop.table("notifications");
    let table =
        shop.dynamodb.describe_table().table_name(&name).send().await.unwrap().table.unwrap();
    shop.dynamodb.delete_table().table_name(&name).send().await.unwrap();
    let check = json!({});
    assert_eq!(shop.invoke("check-health", &check).await["unhealthy_services"], 1);
    let degraded = visitor.get("/health").await;
    assert_eq!(degraded.status, 503);
    let degraded = degraded.json();
    assert_eq!(
        (&degraded["status"], &degraded["services"]["orders"]),
        (&"degraded".into(), &"healthy".into())
    );
    assert_ne!(degraded["services"]["notifications"], "healthy");
    assert_eq!(visitor.get("/health/notifications").await.status, 503);

    let create = shop
        .dynamodb
        .create_table()
        .table_name(&name)
        .billing_mode(aws_sdk_dynamodb::types::BillingMode::PayPerRequest);
    let index = |known: GlobalSecondaryIndexDescription| {
        let index = GlobalSecondaryIndex::builder()
            .set_index_name(known.index_name)
            .set_key_schema(known.key_schema);
        index.set_projection(known.projection).build().unwrap()
    };
    let indexes =
        table.global_secondary_indexes.map(|indexes| indexes.into_iter().map(index).collect());
    let create = create
        .set_key_schema(table.key_schema)
        .set_attribute_definitions(table.attribute_definitions);
    create.set_global_secondary_indexes(indexes).send().await.unwrap();
    until(
        "the table is active",
        || shop.invoke("check-health", &check),
        |report| report["unhealthy_services"] == 0,
    )
    .await;
    assert_eq!(visitor.get("/health").await.status, 200);
    assert_eq!(visitor.get("/health/live").await.expect(200)["status"], "live");
    assert_eq!(visitor.get("/health/ready").await.expect(200)["status"], "ready");
}

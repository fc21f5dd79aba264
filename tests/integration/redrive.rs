//! Dead letters: redriven after the cause is fixed, every order settles, and nothing happens twice.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_lambda::types::Environment;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::shop::{Person, ProviderRecords, Shop, shop_alone_with, unique, until};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scenario {
    Paid,
    PaidLater,
    CancelledUnpaid,
    CancelledPaid,
}

/// Every queue of an order, with a scenario that uses it.
const QUEUES: [(&str, Scenario); 10] = [
    ("reserve-stock", Scenario::Paid),
    ("charge-payment", Scenario::Paid),
    ("order-events", Scenario::Paid),
    ("commit-stock", Scenario::Paid),
    ("send-notification", Scenario::Paid),
    ("record-entry", Scenario::Paid),
    ("open-payment", Scenario::PaidLater),
    ("cancel-payment", Scenario::CancelledUnpaid),
    ("release-stock", Scenario::CancelledUnpaid),
    ("refund-payment", Scenario::CancelledPaid),
];

fn consumer(queue: &str) -> &str {
    match queue {
        "order-events" => "advance-order",
        "product-changes" => "replicate-product",
        "replicate-pricing" => "replicate-pricing",
        same => same,
    }
}

/// A consumer that always fails, and a queue that moves its messages to the dead-letter queue at
/// once.
struct Broken<'a> {
    shop: &'a Shop,
    queue: &'a str,
    variables: HashMap<String, String>,
    redrive: String,
}

impl Shop {
    async fn poison<'a>(&'a self, queue: &'a str) -> Broken<'a> {
        let function = format!("{}-{}", self.stack, consumer(queue));
        let known =
            self.lambda.get_function_configuration().function_name(&function).send().await.unwrap();
        let variables = known.environment.unwrap().variables.unwrap();
        let broken = variables.clone().into_iter().map(|(name, value)| {
            let is_table = name.ends_with("_TABLE");
            (name, if is_table { format!("{value}-gone") } else { value })
        });
        self.set_variables(&function, broken.collect()).await;
        let url = self.queue_url(queue).await;
        let asked = self
            .sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::RedrivePolicy);
        let redrive = asked.send().await.unwrap().attributes.unwrap()
            [&QueueAttributeName::RedrivePolicy]
            .clone();
        let mut policy: Value = serde_json::from_str(&redrive).unwrap();
        policy["maxReceiveCount"] = 1.into();
        self.set_redrive(queue, &policy.to_string()).await;
        Broken { shop: self, queue, variables, redrive }
    }

    async fn set_variables(&self, function: &str, variables: HashMap<String, String>) {
        let environment = Environment::builder().set_variables(Some(variables)).build();
        self.lambda
            .update_function_configuration()
            .function_name(function)
            .environment(environment)
            .send()
            .await
            .unwrap();
        let state = || async {
            let known = self
                .lambda
                .get_function_configuration()
                .function_name(function)
                .send()
                .await
                .unwrap();
            known.last_update_status.map(|status| status.as_str().to_owned())
        };
        until(&format!("{function} is changed"), state, |status| {
            status.as_deref().is_none_or(|status| status == "Successful")
        })
        .await;
        // The queue calls the published version behind the alias.
        let version = self
            .lambda
            .publish_version()
            .function_name(function)
            .send()
            .await
            .unwrap()
            .version
            .unwrap();
        self.lambda
            .update_alias()
            .function_name(function)
            .name("live")
            .function_version(version)
            .send()
            .await
            .unwrap();
    }

    async fn set_redrive(&self, queue: &str, policy: &str) {
        let change = self.sqs.set_queue_attributes().queue_url(self.queue_url(queue).await);
        change.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    }

    /// The visible dead letters, by id.
    pub async fn dead_letters(&self, queue: &str) -> BTreeSet<(String, String)> {
        let url = self.queue_url(&format!("{queue}-dead-letter")).await;
        let mut seen = BTreeSet::new();
        let mut receipts = Vec::new();
        loop {
            let call = self
                .sqs
                .receive_message()
                .queue_url(&url)
                .max_number_of_messages(10)
                .visibility_timeout(60);
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                receipts.push(message.receipt_handle.unwrap());
                seen.insert((message.message_id.unwrap(), message.body.unwrap()));
            }
        }
        for receipt in receipts {
            self.sqs
                .change_message_visibility()
                .queue_url(&url)
                .receipt_handle(receipt)
                .visibility_timeout(0)
                .send()
                .await
                .unwrap();
        }
        seen
    }

    /// Waits until there is a dead letter about this subject.
    async fn becomes_dead_letter(&self, queue: &str, about: &str) {
        let is_about = |letters: &BTreeSet<(String, String)>| {
            letters.iter().any(|(_, body)| body.contains(about))
        };
        until(
            &format!("{about} is a dead letter of {queue}"),
            || self.dead_letters(queue),
            is_about,
        )
        .await;
    }

    /// Redrives the dead letters, after a dry run.
    async fn redrive(&self, queue: &str, about: &str) {
        let before = self.dead_letters(queue).await;
        let (status, said) = self.operate("redrive.py", &[queue, "--dry-run"]).await;
        assert!(
            status == 0 && said.contains("Dry run") && said.contains(about),
            "{queue} {status}: {said}"
        );
        assert_eq!(self.dead_letters(queue).await, before, "a dry run changes nothing");
        let (status, said) = self.operate("redrive.py", &[queue]).await;
        assert!(
            status == 0 && said.contains(&format!("{0} of {0} went", before.len())),
            "{queue} {status}: {said}"
        );
        assert!(self.dead_letters(queue).await.is_empty(), "{queue}");
    }
}

impl Broken<'_> {
    async fn restore(self) {
        let function = format!("{}-{}", self.shop.stack, consumer(self.queue));
        self.shop.set_variables(&function, self.variables).await;
        self.shop.set_redrive(self.queue, &self.redrive).await;
    }
}

async fn begin(
    shop: &Shop,
    buyer: &Person,
    product: &str,
    queue: &str,
    scenario: Scenario,
) -> String {
    let order = buyer
        .order(
            product,
            1,
            matches!(scenario, Scenario::Paid | Scenario::CancelledPaid).then_some("tok_ok"),
        )
        .await;
    let step = match scenario {
        Scenario::Paid | Scenario::PaidLater => return order,
        Scenario::CancelledUnpaid => buyer.order_at_step(&order, "awaiting_payment").await,
        Scenario::CancelledPaid => buyer.order_with_status(&order, "confirmed").await,
    };
    assert_eq!(step["status"] == "confirmed", scenario == Scenario::CancelledPaid);
    if queue == "release-stock" {
        until("the stock is held", || shop.stock(product), |stock| stock.2 == 1).await;
    }
    buyer.post(&format!("/orders/{order}/cancel"), &json!({})).await.expect(202);
    order
}

#[tokio::test]
async fn dead_letters_of_every_order_queue_can_be_redriven() {
    let shop = shop_alone_with!(Tables, Mails);
    let buyer = shop.customer().await;
    for (queue, scenario) in QUEUES {
        let product = shop.product(300, 5).await;
        let broken = shop.poison(queue).await;
        let order = begin(&shop, &buyer, &product, queue, scenario).await;
        shop.becomes_dead_letter(queue, &order).await;
        broken.restore().await;
        shop.redrive(queue, &order).await;

        let (wanted, stock, provider_records, mails) = match scenario {
            Scenario::Paid | Scenario::PaidLater => (
                "confirmed",
                (4, 4, 0),
                ProviderRecords { charges: 1, charged: 300, refunded: 0 },
                1,
            ),
            Scenario::CancelledUnpaid => ("cancelled", (5, 5, 0), ProviderRecords::default(), 1),
            Scenario::CancelledPaid => (
                "cancelled",
                (5, 5, 0),
                ProviderRecords { charges: 1, charged: 300, refunded: 300 },
                3,
            ),
        };
        let read = || async {
            if scenario == Scenario::PaidLater {
                buyer.pay(&order, "tok_ok").await;
            }
            buyer.read_order(&order).await
        };
        until(&format!("{order} is {wanted} after {queue}"), read, |order| {
            order["status"] == wanted
        })
        .await;
        until(
            &format!("the stock is correct after {queue}"),
            || shop.stock(&product),
            |seen| *seen == stock,
        )
        .await;
        until(
            &format!("all mails arrived after {queue}"),
            || shop.mails(&buyer.email, &order),
            |seen| seen.len() >= mails,
        )
        .await;
        shop.balances(&order).await;
        assert_eq!(shop.provider_records(&order).await, provider_records, "{queue}");
        assert_eq!(shop.mails(&buyer.email, &order).await.len(), mails, "{queue}");
        assert!(shop.dead_letters(queue).await.is_empty(), "{queue}");
    }
}

#[tokio::test]
async fn dead_letters_of_the_other_queues_can_be_redriven() {
    let shop = shop_alone_with!(Tables, Mails);
    let (admin, buyer, product) =
        (shop.admin().await, shop.customer().await, shop.product(300, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    until("the mail is there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 1).await;

    let broken = shop.poison("product-changes").await;
    let body = json!({ "name": "Oak bowl", "category": "kitchen", "sku": unique("T").to_uppercase(), "price": { "amount": 1, "currency": "USD" } });
    let new = admin.post_with_key("/products", &unique("key"), &body).await.expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    shop.becomes_dead_letter("product-changes", &new).await;
    broken.restore().await;
    shop.redrive("product-changes", &new).await;
    let known = || async { shop.item("order-products", &format!("PRODUCT#{new}")).await };
    until("orders knows the product", known, Option::is_some).await;

    let broken = shop.poison("update-buyer").await;
    let etag = buyer.get("/users/me").await;
    let name = json!({ "full_name": "Ada King" }).to_string();
    buyer
        .send(reqwest::Method::PATCH, "/users/me", Some(name), &[("if-match", etag.header("etag"))])
        .await
        .expect(200);
    shop.becomes_dead_letter("update-buyer", &buyer.id).await;
    broken.restore().await;
    shop.redrive("update-buyer", &buyer.id).await;
    until(
        "the order has the name",
        || buyer.read_order(&order),
        |order| order["buyer"]["name"] == "Ada King",
    )
    .await;

    let broken = shop.poison("record-mail-feedback").await;
    let event: Value =
        serde_json::from_str(include_str!("../../events/record-mail-feedback.json")).unwrap();
    let address = format!("{}@example.com", unique("bounced"));
    let message =
        event["Records"][0]["body"].as_str().unwrap().replace("returned@example.com", &address);
    let url = shop.queue_url("record-mail-feedback").await;
    shop.sqs.send_message().queue_url(url).message_body(message).send().await.unwrap();
    shop.becomes_dead_letter("record-mail-feedback", &address).await;
    broken.restore().await;
    shop.redrive("record-mail-feedback", "mail_bounced").await;
    let suppressed = || async {
        shop.scan("notifications")
            .await
            .iter()
            .filter(|item| item["pk"].as_s().unwrap().starts_with("SUPPRESSED#"))
            .count()
    };
    until("the address is suppressed", suppressed, |count| *count > 0).await;

    let broken = shop.poison("send-account-notification").await;
    let body = json!({ "email": buyer.email });
    buyer.post("/users/password-reset", &body).await.expect(202);
    shop.becomes_dead_letter("send-account-notification", &buyer.id).await;
    broken.restore().await;
    shop.redrive("send-account-notification", &buyer.id).await;
    until(
        "the link is mailed",
        || shop.mails(&buyer.email, "reset-password"),
        |mails| !mails.is_empty(),
    )
    .await;

    let broken = shop.poison("forget-recipient").await;
    buyer.send(reqwest::Method::DELETE, "/users/me", None, &[]).await.expect(204);
    shop.becomes_dead_letter("forget-recipient", &buyer.id).await;
    broken.restore().await;
    shop.redrive("forget-recipient", &buyer.id).await;
    let left = || async {
        shop.scan("notifications")
            .await
            .iter()
            .filter(|item| item["pk"].as_s().unwrap().contains(&buyer.id))
            .count()
    };
    until("what was written to them is deleted", left, |count| *count == 0).await;
}

/// A message that its consumer cannot read becomes a dead letter at once, with the reason.
/// Redriven, it becomes one again.
#[tokio::test]
async fn rejected_message_is_a_dead_letter_at_once_with_its_reason() {
    let shop = shop_alone_with!(Tables);
    for (queue, body, reason) in [
        ("release-stock", format!("not an envelope {}", unique("odd")), "it is not an envelope"),
        (
            "send-account-notification",
            json!({ "type": "no_such.v1", "data": { "order_id": unique("odd") } }).to_string(),
            "its type is unknown",
        ),
    ] {
        let url = shop.queue_url(queue).await;
        shop.sqs.send_message().queue_url(&url).message_body(&body).send().await.unwrap();
        shop.becomes_dead_letter(queue, &body).await;
        let before = shop.dead_letters(queue).await;
        let (status, said) = shop.operate("redrive.py", &[queue, "--dry-run"]).await;
        assert!(status == 0 && said.contains(reason), "{queue} {status}: {said}");
        assert_eq!(shop.dead_letters(queue).await, before, "a dry run changes nothing");
        let (status, said) = shop.operate("redrive.py", &[queue]).await;
        assert!(status == 0 && said.contains("1 of 1 went"), "{queue} {status}: {said}");
        shop.becomes_dead_letter(queue, &body).await;
        let again = shop.dead_letters(queue).await;
        assert!(again.len() == 1 && again != before, "it was sent, and rejected again: {again:?}");
        let url = shop.queue_url(&format!("{queue}-dead-letter")).await;
        shop.sqs.purge_queue().queue_url(url).send().await.unwrap();
    }
}

#[tokio::test]
async fn unpublished_change_can_be_redriven() {
    let shop = shop_alone_with!(Tables, Mails);
    let (buyer, product) = (shop.customer().await, shop.product(300, 5).await);
    let order = buyer.order(&product, 1, Some("tok_ok")).await;
    buyer.order_with_status(&order, "confirmed").await;
    until("the stock is committed", || shop.stock(&product), |stock| *stock == (4, 4, 0)).await;
    until("the mail is there", || shop.mails(&buyer.email, &order), |mails| mails.len() == 1).await;
    shop.balances(&order).await;
    for (queue, table, pk, sk) in [
        ("publish-order", "orders", format!("ORDER#{order}"), None),
        ("publish-stock", "stock", format!("RESERVATION#{order}"), None),
        ("publish-payment", "payments", format!("ORDER#{order}"), Some("INTENT")),
        ("publish-product", "products", format!("PRODUCT#{product}"), None),
    ] {
        let items = shop.scan(table).await;
        let is_it = |item: &&HashMap<String, aws_sdk_dynamodb::types::AttributeValue>| {
            item["pk"].as_s().unwrap() == &pk
                && sk.is_none_or(|sk| item["sk"].as_s().unwrap() == sk)
        };
        let image: Value = serde_json::to_value(serde_dynamo::Item::from(
            items.iter().find(is_it).unwrap().clone(),
        ))
        .unwrap();
        let keys: serde_json::Map<String, Value> = ["pk", "sk"]
            .into_iter()
            .filter(|name| sk.is_some() || *name == "pk")
            .map(|name| (name.to_owned(), image[name].clone()))
            .collect();
        let record = json!({
            "eventID": unique("event"), "eventName": "INSERT", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "dynamodb": { "Keys": keys, "NewImage": image, "StreamViewType": "NEW_AND_OLD_IMAGES" },
        });
        let url = shop.queue_url(&format!("{queue}-dead-letter")).await;
        shop.sqs
            .send_message()
            .queue_url(url)
            .message_body(record.to_string())
            .send()
            .await
            .unwrap();
        shop.redrive(queue, &pk).await;
    }
    shop.balances(&order).await;
    assert_eq!(
        shop.provider_records(&order).await,
        ProviderRecords { charges: 1, charged: 300, refunded: 0 }
    );
    assert_eq!(
        (shop.stock(&product).await, shop.mails(&buyer.email, &order).await.len()),
        ((4, 4, 0), 1)
    );
}

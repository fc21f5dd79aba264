//! Least privilege: the AWS actions that each function uses in all scenarios are exactly those that
//! its role grants.
//!
//! [`scenarios`] covers the usual paths of every function, rejections, repetitions, races and lost
//! responses. The recorded calls are compared with the templates, by action and resource. A
//! transaction needs the actions of its writes.

mod scenarios;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use shared::{lambda::Lambda, throttle::Limit};
use tests::{
    aws::{Called, Fault},
    events::{self, ADMIN, Http, USER, new_payment, sample},
    harness::Harness,
    ses,
    shop::{self, PAY_WITHIN, RETRY, Shop, consumer_of, operation_names, queues},
    template::{self, Template},
};

/// The actions that Lambda itself performs under a function's role when it polls a queue or a
/// stream. No call of ours uses them.
const BY_THE_PLATFORM: [&str; 7] = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
];

/// How long a function caches a secret.
const SECRETS_KEPT: Duration = Duration::from_secs(300);

/// Ada's address in `events/register-user.json`, and the one that she changes to.
const ADA: &str = "ada@example.com";
const KING: &str = "ada.king@example.com";

/// Actions with their resources, by function.
type Actions = BTreeMap<String, BTreeSet<(String, String)>>;

/// A shop that records the calls of its functions.
#[derive(Clone)]
struct Watched {
    shop: Shop,
    seen: Arc<Mutex<Actions>>,
}

impl Watched {
    fn new(seen: &Arc<Mutex<Actions>>) -> Self {
        Self { shop: Shop::new(), seen: seen.clone() }
    }

    /// A recording shop with 10 teapots, replicated to orders.
    async fn with_teapots(seen: &Arc<Mutex<Actions>>) -> (Self, String) {
        let watched = Self::new(seen);
        let product = watched.shop.product("teapot", 2999, 10).await;
        watched.harness().drain_queues().await;
        (watched, product)
    }

    /// The same shop, where a network may have this number of unpaid orders.
    fn with_network_limit(self, orders: u32) -> Self {
        let service = shop::orders(&self.shop.aws, &self.shop.clock);
        let limits = orders::domain::unpaid::Limits {
            network: Limit::within(orders, PAY_WITHIN),
            ..service.limits
        };
        let service = Arc::new(orders::Orders { limits, ..service });
        Self { shop: self.shop.with(|shop| shop.orders = service), ..self }
    }

    /// The function of an operation, with its calls recorded.
    fn lambda(&self, operation: &str) -> Lambda {
        let (aws, seen) = (self.shop.aws.clone(), self.seen.clone());
        let name = operation.to_owned();
        let lambda = if operation == "publish-stock-events" {
            self.shop.stock_publisher_with_operator()
        } else {
            self.shop.lambda(operation)
        };
        Arc::new(move |invocation| {
            let (lambda, aws, seen, name) =
                (lambda.clone(), aws.clone(), seen.clone(), name.clone());
            Box::pin(async move {
                let called = aws.invoke(&lambda, invocation).await;
                let actions = called.calls.into_iter().flat_map(|call| call.actions);
                lock(&seen).entry(name).or_default().extend(actions);
                called.answer
            })
        })
    }

    async fn call(&self, operation: &str, event: Value) -> Called {
        self.shop.aws.call(&self.lambda(operation), event).await
    }

    /// As [`Watched::call`], on an instance without cached secrets: secrets that another function
    /// has read do not count.
    async fn cold(&self, operation: &str, event: Value) -> Called {
        self.shop.clock.advance(SECRETS_KEPT);
        self.call(operation, event).await
    }

    /// Logs Ada in. Returns the login response, and the authorizer's response.
    async fn log_in(&self, password: &str) -> (Called, Value) {
        let login = self
            .cold(
                "login-user",
                post("/users/login", &json!({ "email": ADA, "password": password })),
            )
            .await;
        assert_eq!(login.status(), 200, "{:?}", login.answer);
        let device = login.header("x-device-token").expect("a first login earns a device token");
        for (password, status) in [(password, 200), ("another password", 401)] {
            let body = json!({ "email": ADA, "password": password });
            let known = events::post("/users/login", &body).header("x-device-token", &device);
            assert_eq!(self.call("login-user", known.event()).await.status(), status);
        }
        let token = login.json()["access_token"].as_str().expect("an access token").to_owned();
        let authorized = self.cold("authorize-request", events::authorize(&token)).await;
        (login, authorized.ok().clone())
    }

    /// Follows the link in the newest mail to `address`.
    async fn follow(&self, operation: &str, address: &str, mut body: Value, status: u64) {
        body["token"] = self.shop.aws.mails().token_for(address).into();
        let followed = self.cold(operation, post("/link", &body)).await;
        assert_eq!(followed.status(), status, "{operation}: {:?}", followed.answer);
    }

    /// As [`Watched::call`], with a fault injected into call number `call`.
    async fn with_fault(&self, call: usize, fault: Fault, operation: &str, event: Value) -> Called {
        self.shop.aws.fail(call, fault);
        let called = self.call(operation, event).await;
        self.shop.aws.heal();
        called
    }

    /// As [`Shop::harness`], with calls recorded.
    fn harness(&self) -> Harness {
        self.shop.harness_of(|operation| self.lambda(operation))
    }

    async fn order(&self, key: &str, product: &str, quantity: u32, token: Option<&str>) -> String {
        let placed = self
            .call(
                "create-order",
                events::new_order(key, &events::order_request(product, quantity, token)),
            )
            .await;
        placed.json()["id"].as_str().unwrap_or_else(|| panic!("{:?}", placed.answer)).to_owned()
    }

    async fn pay(&self, order: &str, key: &str, token: &str) -> Called {
        self.call("create-payment", new_payment(key, order, token)).await
    }

    /// Performs an action on an order and returns the status of the response.
    async fn step(&self, operation: &str, order: &str) -> u64 {
        let parcel = json!({ "carrier": "Royal Mail", "tracking": "RM1" });
        let request =
            events::post("/orders", &parcel).caller(ADMIN).path_parameter("order_id", order);
        let request = if operation == "ship-order" { request } else { request.body("") };
        self.call(operation, request.event()).await.status()
    }

    /// The first payment of an order.
    fn payment_of(&self, order: &str) -> String {
        let items = self.shop.aws.items("payments");
        let of_order = items.iter().filter(|item| item["order_id"]["S"] == order);
        let payments = of_order
            .filter(|item| item["sk"]["S"].as_str().is_some_and(|key| key.starts_with("ATTEMPT#")));
        payments
            .filter_map(|item| item["payment_id"]["S"].as_str())
            .next()
            .expect("the order has a payment")
            .to_owned()
    }

    /// Delivers a webhook about a payment, on an instance without cached secrets.
    async fn deliver_webhook(&self, event_id: &str, payment: &str) -> Called {
        self.shop.clock.advance(SECRETS_KEPT);
        let event = events::webhook(
            self.shop.aws.secrets_manager(),
            self.shop.clock.now(),
            event_id,
            payment,
        );
        self.call("receive-payment-webhook", event).await
    }

    /// Advances the clock, runs the sweeps and drains the queues.
    async fn sweep(&self, harness: &mut Harness, seconds: u64) {
        self.shop.clock.advance(Duration::from_secs(seconds));
        self.call("resume-orders", json!({})).await;
        self.call("reconcile-payments", json!({})).await;
        harness.drain_queues().await;
    }

    /// Reads two pages of a list.
    async fn pages(&self, operation: &str, query: &str, caller: Option<&str>) {
        let page = async |query: &str| {
            let request = events::get(&format!("/list?{query}"));
            self.call(
                operation,
                caller.map_or(request.clone(), |caller| request.caller(caller)).event(),
            )
            .await
        };
        let first = page(query).await;
        assert_eq!(first.status(), 200, "{operation}: {:?}", first.answer);
        let cursor = first.json()["next_cursor"]
            .as_str()
            .unwrap_or_else(|| panic!("{operation}?{query} has one page"))
            .to_owned();
        assert_eq!(page(&format!("{query}&cursor={cursor}")).await.status(), 200);
    }
}

fn lock(seen: &Mutex<Actions>) -> MutexGuard<'_, Actions> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn post(path: &str, body: &Value) -> Value {
    events::post(path, body).event()
}

/// The actions that the template grants, with the resource names of requests.
fn granted(template: &Template) -> Actions {
    let name = |arn: &str| {
        if arn.starts_with("arn:aws:ses:") {
            return "a sender".to_owned();
        }
        // Names of deployments and numbers of versions are known only during a deployment.
        if arn.starts_with("arn:aws:codedeploy:") {
            return "a deployment".to_owned();
        }
        if arn.starts_with("arn:aws:lambda:") {
            return "a function".to_owned();
        }
        let (id, rest) = arn
            .trim_start_matches("arn:")
            .split_once(['/', ':'])
            .unwrap_or((arn.trim_start_matches("arn:"), ""));
        let properties = template.resolve(&template.resource(id)["Properties"]);
        let name = ["TableName", "QueueName", "Name"]
            .into_iter()
            .find_map(|name| properties[name].as_str())
            .unwrap_or(id);
        let name = name.trim_start_matches(template::STACK).trim_start_matches(['-', '/']);
        if rest.is_empty() { name.to_owned() } else { format!("{name}/{rest}") }
    };
    let texts = |value: &Value| match value {
        Value::Array(values) => {
            values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        one => one.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    let of_function = |(id, resource): (&str, &Value)| {
        let properties = template.resolve(&resource["Properties"]);
        let function = properties["FunctionName"]
            .as_str()
            .unwrap_or(id)
            .trim_start_matches("ferrocart-")
            .to_owned();
        let policies = properties["Policies"].as_array().into_iter().flatten();
        let statements =
            policies.flat_map(|policy| policy["Statement"].as_array().into_iter().flatten());
        let mut actions = BTreeSet::new();
        for statement in statements {
            for resource in texts(&statement["Resource"]) {
                actions.extend(
                    texts(&statement["Action"]).into_iter().map(|action| (action, name(&resource))),
                );
            }
        }
        (function, actions)
    };
    template.resources("AWS::Serverless::Function").map(of_function).collect()
}

/// One sentence for each action that is granted but unused, or used but not granted.
fn complaints(granted: &Actions, seen: &Actions) -> Vec<String> {
    let none = BTreeSet::new();
    let mut complaints = Vec::new();
    for function in granted.keys().chain(seen.keys()).collect::<BTreeSet<_>>() {
        let (may, does) =
            (granted.get(function).unwrap_or(&none), seen.get(function).unwrap_or(&none));
        for (action, resource) in may.difference(does) {
            if !BY_THE_PLATFORM.contains(&action.as_str()) {
                complaints.push(format!(
                    "{function} may {action} on {resource}, but no scenario in tests/budgets/permissions.rs needs it: take it out of \
                     template.yaml, or add a scenario"
                ));
            }
        }
        for (action, resource) in does.difference(may) {
            complaints.push(format!(
                "{function} needs {action} on {resource}, but its template does not grant it"
            ));
        }
    }
    complaints
}

// With paused time, the jitter between two attempts of a transaction takes no time.
#[tokio::test(start_paused = true)]
async fn every_function_has_exactly_the_permissions_it_uses() {
    let seen = Arc::new(Mutex::new(Actions::new()));
    scenarios::play(&seen).await;

    let seen: Actions = lock(&seen)
        .iter()
        .map(|(function, actions)| {
            let sender = |(action, resource): &(String, String)| {
                let resource = if action.starts_with("ses:") { "a sender" } else { resource };
                (action.clone(), resource.to_owned())
            };
            (function.clone(), actions.iter().map(sender).collect())
        })
        .collect();
    let unseen: Vec<_> = operation_names()
        .into_iter()
        .filter(|operation| !seen.contains_key(operation.as_str()))
        .collect();
    assert!(unseen.is_empty(), "no scenario calls {unseen:?}");
    let complaints = complaints(&granted(template::template()), &seen);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn unused_and_missing_actions_are_reported() {
    let template = Template::parse(
        "Resources:\n\
         \x20 OrdersTable: {Type: AWS::DynamoDB::Table, Properties: {TableName: !Sub '${AWS::StackName}-orders'}}\n\
         \x20 F:\n\
         \x20   Type: AWS::Serverless::Function\n\
         \x20   Properties:\n\
         \x20     FunctionName: !Sub ${AWS::StackName}-f\n\
         \x20     Policies:\n\
         \x20       - Statement:\n\
         \x20           - {Effect: Allow, Action: [dynamodb:PutItem, dynamodb:GetRecords], Resource: !GetAtt OrdersTable.Arn}\n\
         \x20           - {Effect: Allow, Action: dynamodb:Query, Resource: !Sub '${OrdersTable.Arn}/index/i'}\n",
    );
    let asked = |action: &str, resource: &str| (action.to_owned(), resource.to_owned());
    let seen = |actions: &[(String, String)]| {
        Actions::from([("f".to_owned(), actions.iter().cloned().collect())])
    };
    let (put, query) =
        (asked("dynamodb:PutItem", "orders"), asked("dynamodb:Query", "orders/index/i"));
    assert_eq!(complaints(&granted(&template), &seen(&[put.clone(), query])), [""; 0]);
    let said = complaints(&granted(&template), &seen(&[put, asked("dynamodb:Query", "orders")]));
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("f may dynamodb:Query on orders/index/i, but"), "{said:?}");
    assert_eq!(said[1], "f needs dynamodb:Query on orders, but its template does not grant it");
}

//! The shop: all linked services over one in-memory AWS, and every operation by its name.
//!
//! `services` configures the services, `accounts` has the actions of users on their accounts, and
//! `stories` the common first steps of tests of a whole shop.

#[cfg(feature = "users")]
pub mod accounts;
mod services;
#[cfg(feature = "shop")]
mod stories;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use shared::{
    clock::Clock,
    lambda::{Invocation, Lambda},
    metrics::Metric,
    operation::{Operation, Trigger, Wiring},
};

pub use services::*;

#[cfg(feature = "payments")]
use crate::provider::RemoteProvider;
use crate::{
    aws::{Aws, Called},
    harness::Harness,
};

/// The shop: one AWS, one clock and one instance of each service.
#[derive(Clone)]
pub struct Shop {
    pub aws: Aws,
    pub clock: Clock,
    /// The payment provider, and the network in front of it.
    #[cfg(feature = "payments")]
    pub provider: RemoteProvider,
    #[cfg(feature = "users")]
    pub users: Arc<::users::Users>,
    #[cfg(feature = "catalog")]
    pub catalog: Arc<::catalog::Catalog>,
    #[cfg(feature = "pricing")]
    pub pricing: Arc<::pricing::Pricing>,
    #[cfg(feature = "inventory")]
    pub inventory: Arc<::inventory::Inventory>,
    #[cfg(feature = "orders")]
    pub orders: Arc<::orders::Orders>,
    #[cfg(feature = "payments")]
    pub payments: Arc<::payments::Payments>,
    #[cfg(feature = "notifications")]
    pub notifications: Arc<::notifications::Notifications>,
    #[cfg(feature = "ledger")]
    pub ledger: Arc<::ledger::Ledger>,
    #[cfg(feature = "platform")]
    pub platform: Arc<::platform::Platform>,
    /// Functions that were already built: building one takes longer than most calls.
    lambdas: Arc<Mutex<BTreeMap<String, Lambda>>>,
}

/// Every operation of the linked services, service by service.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    let services: &[&[Operation]] = &[
        #[cfg(feature = "users")]
        ::users::operations::OPERATIONS,
        #[cfg(feature = "catalog")]
        ::catalog::operations::OPERATIONS,
        #[cfg(feature = "pricing")]
        ::pricing::operations::OPERATIONS,
        #[cfg(feature = "inventory")]
        ::inventory::operations::OPERATIONS,
        #[cfg(feature = "orders")]
        ::orders::operations::OPERATIONS,
        #[cfg(feature = "payments")]
        ::payments::operations::OPERATIONS,
        #[cfg(feature = "notifications")]
        ::notifications::operations::OPERATIONS,
        #[cfg(feature = "ledger")]
        ::ledger::operations::OPERATIONS,
        #[cfg(feature = "platform")]
        ::platform::operations::OPERATIONS,
    ];
    services.iter().copied().flatten()
}

/// Every metric of the linked services, service by service.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    let services: &[&[Metric]] = &[
        #[cfg(feature = "users")]
        ::users::metrics::METRICS,
        #[cfg(feature = "catalog")]
        ::catalog::metrics::METRICS,
        #[cfg(feature = "pricing")]
        ::pricing::metrics::METRICS,
        #[cfg(feature = "inventory")]
        ::inventory::metrics::METRICS,
        #[cfg(feature = "orders")]
        ::orders::metrics::METRICS,
        #[cfg(feature = "payments")]
        ::payments::metrics::METRICS,
        #[cfg(feature = "notifications")]
        ::notifications::metrics::METRICS,
        #[cfg(feature = "ledger")]
        ::ledger::metrics::METRICS,
        #[cfg(feature = "platform")]
        ::platform::metrics::METRICS,
    ];
    services.iter().copied().flatten()
}

/// Every queue with a consumer.
pub fn queues() -> impl Iterator<Item = &'static str> {
    operations().filter_map(|operation| match operation.trigger {
        Trigger::Queue(queue) => Some(queue),
        _ => None,
    })
}

/// The name of the operation that consumes a queue.
///
/// # Panics
/// If no operation does.
pub fn consumer_of(queue: &str) -> String {
    let consumes =
        |operation: &&Operation| matches!(operation.trigger, Trigger::Queue(name) if name == queue);
    operations().find(consumes).unwrap_or_else(|| panic!("{queue} has no consumer")).name()
}

/// The name of the operation that publishes the changes of a table.
///
/// # Panics
/// If no operation does.
pub fn publisher_of(table: &str) -> String {
    let publishes = |operation: &&Operation| matches!(operation.trigger, Trigger::Stream { table: name, .. } if name == table);
    operations().find(publishes).unwrap_or_else(|| panic!("{table} has no publisher")).name()
}

/// The names of all operations, in alphabetical order.
pub fn operation_names() -> Vec<String> {
    let mut names: Vec<String> = operations().map(Operation::name).collect();
    names.sort();
    names
}

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    pub fn new() -> Self {
        Self::over(Aws::new(), clock())
    }

    /// An independent shop in the same state, with new service instances that have not read any
    /// secret. It has its own clock.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::over(self.aws.copy(), Clock::manual(self.clock.now()))
    }

    /// A shop over this AWS.
    pub fn over(aws: Aws, clock: Clock) -> Self {
        #[cfg(feature = "payments")]
        let provider = RemoteProvider::new(&aws, &clock);
        Self {
            #[cfg(feature = "users")]
            users: Arc::new(services::users(&aws, &clock)),
            #[cfg(feature = "catalog")]
            catalog: Arc::new(services::catalog(&aws, &clock)),
            #[cfg(feature = "pricing")]
            pricing: Arc::new(services::pricing(&aws, &clock)),
            #[cfg(feature = "inventory")]
            inventory: Arc::new(services::inventory(&aws, &clock)),
            #[cfg(feature = "orders")]
            orders: Arc::new(services::orders(&aws, &clock)),
            #[cfg(feature = "payments")]
            payments: Arc::new(services::payments(&aws, &clock, Arc::new(provider.clone()))),
            #[cfg(feature = "notifications")]
            notifications: Arc::new(services::notifications(&aws, &clock)),
            #[cfg(feature = "ledger")]
            ledger: Arc::new(services::ledger(&aws, &clock, Some(services::statement(&aws)))),
            #[cfg(feature = "platform")]
            platform: Arc::new(services::platform(&aws, &clock)),
            lambdas: Arc::default(),
            aws,
            clock,
            #[cfg(feature = "payments")]
            provider,
        }
    }

    /// The same shop with a changed service instance. Its functions are rebuilt.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.lambdas = Arc::default();
        self
    }

    /// The same shop, where payments calls this provider.
    #[cfg(feature = "payments")]
    #[must_use]
    pub fn with_provider(self, provider: Arc<dyn ::provider::PaymentProvider>) -> Self {
        Self {
            payments: Arc::new(services::payments(&self.aws, &self.clock, provider)),
            lambdas: Arc::default(),
            ..self
        }
    }

    /// The same shop, where the ledger reads this provider statement, if any.
    #[cfg(feature = "ledger")]
    #[must_use]
    pub fn with_statement(
        self,
        statement: Option<Arc<dyn ::provider::statement::StatementReader>>,
    ) -> Self {
        Self {
            ledger: Arc::new(services::ledger(&self.aws, &self.clock, statement)),
            lambdas: Arc::default(),
            ..self
        }
    }

    /// The publisher of stock changes with an operator who is notified of low stock. Deployed, the
    /// operator's address comes from the environment.
    #[cfg(feature = "inventory")]
    pub fn stock_publisher_with_operator(&self) -> Lambda {
        use ::inventory::{
            operations::publish_stock_events::{QUEUES, STREAM_FILTER},
            publish::{Operator, messages_to},
        };
        let translation = shared::stream::Translation::to_messages(|old: Option<&_>, new: &_| {
            let operator = Operator {
                email: "operator@example.com".to_owned(),
                low_stock_threshold: LOW_STOCK_THRESHOLD,
            };
            messages_to(Some(&operator), old, new)
        });
        let sender = self.aws.sender(QUEUES, "publish-stock-dead-letter");
        shared::stream::lambda("publish-stock-events", STREAM_FILTER, translation, sender)
    }

    /// The function of an operation.
    ///
    /// # Panics
    /// If no operation has this name.
    pub fn lambda(&self, name: &str) -> Lambda {
        let mut lambdas = self.lambdas.lock().unwrap_or_else(PoisonError::into_inner);
        lambdas.entry(name.to_owned()).or_insert_with(|| self.new_lambda(name)).clone()
    }

    /// Replaces the function of an operation.
    pub fn replace(&self, name: &str, lambda: Lambda) {
        let mut lambdas = self.lambdas.lock().unwrap_or_else(PoisonError::into_inner);
        lambdas.insert(name.to_owned(), lambda);
    }

    fn new_lambda(&self, name: &str) -> Lambda {
        let operation = operations()
            .find(|operation| operation.name() == name)
            .unwrap_or_else(|| panic!("unknown operation {name}"));
        let wiring = Wiring {
            queue: &|queue| self.aws.queue(queue),
            sender: &|queues, dead_letters| self.aws.sender(queues, dead_letters),
        };
        let lambda = match operation.service {
            #[cfg(feature = "users")]
            "users" => ::users::operations::lambda(name, &self.users, &wiring),
            #[cfg(feature = "catalog")]
            "catalog" => ::catalog::operations::lambda(name, &self.catalog, &wiring),
            #[cfg(feature = "pricing")]
            "pricing" => ::pricing::operations::lambda(name, &self.pricing, &wiring),
            #[cfg(feature = "inventory")]
            "inventory" => ::inventory::operations::lambda(name, &self.inventory, &wiring),
            #[cfg(feature = "orders")]
            "orders" => ::orders::operations::lambda(name, &self.orders, &wiring),
            #[cfg(feature = "payments")]
            "payments" => ::payments::operations::lambda(name, &self.payments, &wiring),
            #[cfg(feature = "notifications")]
            "notifications" => {
                ::notifications::operations::lambda(name, &self.notifications, &wiring)
            }
            #[cfg(feature = "ledger")]
            "ledger" => ::ledger::operations::lambda(name, &self.ledger, &wiring),
            #[cfg(feature = "platform")]
            "platform" => ::platform::operations::lambda(name, &self.platform, &wiring),
            other => panic!("the service {other} is not linked in: see the features of the crate"),
        };
        lambda.unwrap_or_else(|| panic!("{} does not know its operation {name}", operation.service))
    }

    /// Invokes an operation with an event.
    pub async fn call(&self, operation: &str, event: Value) -> Called {
        self.aws.call(&self.lambda(operation), event).await
    }

    /// Invokes two operations concurrently; see [`Aws::call_both`].
    pub async fn call_both(&self, one: (&str, Value), other: (&str, Value)) -> Called {
        self.aws.call_both((self.lambda(one.0), one.1), (self.lambda(other.0), other.1)).await
    }

    /// Invokes all these operations with their events concurrently, and returns their answers in
    /// this order, without their calls.
    ///
    /// # Panics
    /// If an invocation panics.
    pub async fn call_together(&self, calls: Vec<(String, Value)>) -> Vec<Called> {
        let start = |(operation, event): (String, Value)| {
            tokio::spawn(self.lambda(&operation)(Invocation::with_event(event)))
        };
        let started: Vec<_> = calls.into_iter().map(start).collect();
        let mut answers = Vec::new();
        for call in started {
            let answer = call.await.expect("no invocation panics");
            answers.push(Called { answer, calls: Vec::new() });
        }
        answers
    }

    /// Invokes an operation concurrently with all these events, and returns the answers in the
    /// order of the events.
    ///
    /// # Panics
    /// If an invocation fails.
    /// When an invocation fails.
    pub async fn call_all(
        &self,
        operation: &str,
        events: impl IntoIterator<Item = Value>,
    ) -> Vec<Value> {
        let lambda = self.lambda(operation);
        let calls: Vec<_> = events
            .into_iter()
            .map(|event| tokio::spawn(lambda(Invocation::with_event(event))))
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.expect("no invocation panics").expect("no invocation fails"));
        }
        answers
    }

    /// A harness with every publisher and every consumer.
    pub fn harness(&self) -> Harness {
        self.harness_of(|operation| self.lambda(operation))
    }

    /// A harness with every publisher and every consumer, each built by `lambda`.
    pub fn harness_of(&self, lambda: impl Fn(&str) -> Lambda) -> Harness {
        operations().fold(Harness::new(&self.aws), |harness, operation| match operation.trigger {
            Trigger::Queue(queue) => harness.consumer(queue, lambda(&operation.name())),
            Trigger::Stream { table, .. } => harness.publisher(table, lambda(&operation.name())),
            Trigger::Http(_) | Trigger::Pages(_) | Trigger::Invoke => harness,
        })
    }

    /// A harness with only the publisher of this table.
    ///
    /// # Panics
    /// If the table has no publisher.
    pub fn publisher(&self, table: &'static str) -> Harness {
        Harness::new(&self.aws).publisher(table, self.lambda(&publisher_of(table)))
    }
}

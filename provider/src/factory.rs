//! Creates the provider that the environment variable `PAYMENT_PROVIDER` selects. A new provider
//! adds a folder and one line to each of the two functions here.

use std::sync::Arc;

use shared::{config, secret::Secrets, table::Table};

use crate::{
    payment_provider::PaymentProvider,
    simulated::{SimulatedProvider, SimulatedStatement},
    statement::StatementReader,
    stripe::{Stripe, StripeSettings, StripeStatement},
};

/// What a service supplies to its provider. Each is created only if the provider needs it.
pub struct ProviderDependencies<'a> {
    /// Opens the table whose name is in this environment variable.
    pub table: &'a dyn Fn(&'static str) -> Table,
    pub secrets: &'a dyn Fn() -> Secrets,
}

/// The provider that charges and refunds. Calls to Stripe are limited to `calls_per_second`, if
/// given; the simulated provider has no limit.
///
/// # Panics
/// If a setting is missing or `PAYMENT_PROVIDER` is unknown.
pub fn payment_provider(
    dependencies: &ProviderDependencies<'_>,
    calls_per_second: Option<u32>,
) -> Arc<dyn PaymentProvider> {
    match config::required("PAYMENT_PROVIDER").as_str() {
        "simulated" => {
            Arc::new(SimulatedProvider::new((dependencies.table)("PAYMENT_SIMULATOR_TABLE")))
        }
        "stripe" => {
            let live = config::required("STAGE") == "prod";
            let settings = StripeSettings {
                base: stripe_base(),
                return_url: config::optional("STORE_URL"),
                live,
            };
            let stripe = Stripe::new(settings, (dependencies.secrets)());
            Arc::new(match calls_per_second {
                Some(calls) => stripe.with_rate_limit(calls),
                None => stripe,
            })
        }
        other => unknown(other),
    }
}

/// The statement reader of the same provider.
///
/// # Panics
/// See [`payment_provider`].
pub fn statement(dependencies: &ProviderDependencies<'_>) -> Arc<dyn StatementReader> {
    match config::required("PAYMENT_PROVIDER").as_str() {
        "simulated" => {
            Arc::new(SimulatedStatement::new((dependencies.table)("PAYMENT_SIMULATOR_TABLE")))
        }
        "stripe" => Arc::new(StripeStatement::new(stripe_base(), (dependencies.secrets)())),
        other => unknown(other),
    }
}

fn stripe_base() -> String {
    config::optional("STRIPE_API_BASE").unwrap_or_else(|| "https://api.stripe.com".to_owned())
}

fn unknown(provider: &str) -> ! {
    panic!("there is no payment provider {provider}: PAYMENT_PROVIDER can be simulated or stripe")
}

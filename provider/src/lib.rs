//! The payment providers behind one trait: what payments asks of one, and what the ledger reads of
//! its statement.
//!
//! In reading order:
//!
//! - [`payment_provider`]: the trait. [`charge`], [`refund`], [`dispute`], [`error`]: its
//!   vocabulary, with [`payment_id`] and [`card_token`].
//! - [`webhook`]: events that a provider sends on its own.
//! - [`statement`]: what a provider has recorded itself, for the audit.
//! - [`factory`]: which provider the environment names.
//! - [`stripe`], [`simulated`]: one folder for each provider.
//!
//! # Invariants
//!
//! - No service is known here. A header, path, document or table of a provider is known in its
//!   folder and nowhere else.
//! - A service links only what it uses: charging and the statement are separate traits over
//!   separate types.
//! - Everything that a service awaits here returns a boxed future, as in `shared`.
//! - HTTP clients are made at the first call: a function that never calls its provider never pays
//!   for one.

pub mod card_token;
pub mod charge;
pub mod dispute;
pub mod error;
pub mod factory;
pub mod payment_id;
pub mod payment_provider;
pub mod refund;
pub mod simulated;
pub mod statement;
pub mod stripe;
pub mod webhook;

pub use card_token::CardToken;
pub use charge::{ChargeRequest, KeyState, NextAction, ProviderResult};
pub use dispute::{DisputeState, ProviderDispute};
pub use error::ProviderError;
pub use payment_id::PaymentId;
pub use payment_provider::PaymentProvider;
pub use refund::{ProviderRefund, RefundId, RefundRequest, RefundResult};
pub use simulated::{SimulatedProvider, SimulatedStatement};
#[cfg(feature = "api-document")]
pub use stripe::SignatureHeader;
pub use stripe::{Stripe, StripeSettings, StripeStatement};

//! The payment providers behind one trait: charges, refunds, disputes and webhooks for payments,
//! statements for the ledger.
//!
//! In reading order:
//!
//! - [`payment_provider`]: the trait. [`charge`], [`refund`], [`dispute`], [`error`]: its types,
//!   with [`payment_id`] and [`card_token`].
//! - [`webhook`]: events that a provider sends.
//! - [`statement`]: the provider's own records, for the reconciliation.
//! - [`factory`]: selects the provider.
//! - [`stripe`], [`simulated`]: one folder for each provider.
//!
//! # Invariants
//!
//! - The crate depends on no service. Headers, paths, documents and tables of a provider are known
//!   only in its folder.
//! - A service links only what it uses: charging and the statement are separate traits over
//!   separate types.
//! - Functions that a service awaits return boxed futures, as in `shared`.
//! - HTTP clients are created at the first call, so a function that never calls its provider does
//!   not pay for one.

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

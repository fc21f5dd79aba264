//! What payments expects of a provider, asked of each: the double in this process, the simulated one, and Stripe.
//!
//! Stripe is the one that `LOCALSTRIPE_URL` names: `localstack/localstripe.py` starts it, and then these tests.
//! It keeps no idempotency keys, finds no intent by our id, lets more be given back than was taken, and has no disputes: what only the real one does is
//! asked of the others, and read from its documents in the provider's own tests.
#![allow(clippy::unwrap_used)]

mod contract;
mod double;
mod fencing;
mod localstripe;
mod simulated;
mod till;
mod webhooks;
mod wire;

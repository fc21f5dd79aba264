//! Queue `cancel-payment`: the fence. After it no attempt ever starts.

use std::sync::Arc;

use shared::queue::{self, Delivery};

use crate::{
    Payments, TRIES,
    domain::{Change, Expected, Head},
    error::PaymentError,
    messages::CancelPayment,
    store::Stored,
};

/// The function.
pub fn main() -> Result<(), lambda_http::Error> {
    queue::run(Payments::from_env, cancel_payment)
}

/// Closes the head of an order, or lets it close with the attempt that is alive. Where there is no head yet a closed one is put, for a
/// command that comes late to run into.
pub async fn cancel_payment(payments: Arc<Payments>, delivery: Delivery<CancelPayment>) -> Result<(), PaymentError> {
    let CancelPayment { order_id, user_id, amount, drive } = delivery.message;

    for _ in 0..TRIES {
        let head = payments.store.head(order_id).await?;
        let now = payments.clock.now();
        let change = match head {
            None => {
                let expected = Expected { order_id, user_id, amount, expires_at: now, tries: 0, drive };
                let head = Head::never_opened(&expected, "order_closed", now, &delivery.trace);
                Change { head: Some(head), ..Change::default() }
            }
            Some(head) => {
                let active = match head.active_attempt {
                    Some(attempt) => payments.store.attempt(attempt).await?,
                    None => None,
                };
                head.fence(active.as_ref(), drive, now, &delivery.trace)
            }
        };
        if change.is_empty() || payments.store.write(&change, None).await? == Stored::Written {
            return Ok(());
        }
    }
    Err(PaymentError::Contention)
}

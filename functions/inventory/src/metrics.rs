//! The metrics of inventory, and which of them a committed change moves.

use shared::metrics::{self, Measurement, Metric};

use crate::{domain::reservation::State, store::Image};

const SERVICE: &str = "inventory";

pub const STOCK_OUTS: Metric =
    Metric::count(SERVICE, "StockOuts", "Orders whose reservation was rejected for lack of stock");

pub const RESERVATION_HELD_TOO_LONG: Metric = Metric::count(
    SERVICE,
    "ReservationHeldTooLong",
    "Checks that found an order holding stock for days",
);

pub const SWEEP_FAILED: Metric = metrics::SWEEP_FAILED.of(SERVICE);

/// Every metric of the service.
pub const METRICS: &[Metric] = &[
    STOCK_OUTS,
    RESERVATION_HELD_TOO_LONG,
    SWEEP_FAILED,
    metrics::POISON_MESSAGE.of(SERVICE),
    metrics::MESSAGE_DELAYED.of(SERVICE),
    metrics::UNPUBLISHABLE_CHANGE.of(SERVICE),
    metrics::SERVER_ERRORS.of(SERVICE),
];

/// Returns the measurements of a change from `old` to `new`. `old` is `None` for a new item.
pub fn measurements(old: Option<&Image>, new: &Image) -> Vec<Measurement> {
    let is_rejected =
        |image: &Image| matches!(image, Image::Reservation(it) if it.state == State::Rejected);
    let is_new = is_rejected(new) && !old.is_some_and(is_rejected);
    is_new.then(|| STOCK_OUTS.once()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reservation::{Reservation, tests::held};

    #[test]
    fn stock_outs_counts_each_rejected_reservation_once() {
        let image = |state, answered_attempt| {
            Image::Reservation(Reservation { state, answered_attempt, ..held() })
        };
        let rejected = image(State::Rejected, 0);
        assert_eq!(measurements(None, &rejected), [STOCK_OUTS.once()]);
        for (old, new) in [
            (Some(&rejected), image(State::Rejected, 1)),
            (None, image(State::Held, 0)),
            (Some(&rejected), image(State::Released, 1)),
        ] {
            assert_eq!(measurements(old, &new), []);
        }
    }
}

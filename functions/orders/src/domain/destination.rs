//! The destination of an order, as far as its price depends on it.

use shared::address::{Address, CountryCode};

/// The part of a destination that decides the tax and the cost of shipping. Orders have no price by
/// destination yet, so it is the country alone. An order with a regional tax adds its region, and a
/// shipping method with zones adds its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PriceArea<'a> {
    country: &'a CountryCode,
}

impl<'a> PriceArea<'a> {
    fn of(address: &'a Address) -> Self {
        Self { country: &address.country }
    }
}

/// Whether an order to `before` costs the same if it is shipped to `after`. An order without a
/// destination has a price that depends on none.
pub(super) fn keeps_price(before: Option<&Address>, after: &Address) -> bool {
    before.is_none_or(|before| PriceArea::of(before) == PriceArea::of(after))
}

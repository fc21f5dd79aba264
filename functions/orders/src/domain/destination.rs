//! The destination of an order, as far as its price depends on it.

use shared::address::Address;

use super::pricing::Price;

/// Whether an order to `before` costs the same if it is shipped to `after`: the country is the same,
/// and, if the rules of a market decided its price, the region too, because tax rates can differ by
/// region. An order without a destination has a price that depends on none.
pub(super) fn keeps_price(
    price: Option<&Price>,
    before: Option<&Address>,
    after: &Address,
) -> bool {
    before.is_none_or(|before| {
        let is_same_region = price.is_none() || before.region == after.region;
        before.country == after.country && is_same_region
    })
}

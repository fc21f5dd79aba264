//! Promotions: which of them apply, and their discounts.

use std::num::NonZeroU64;

use shared::clock::Timestamp;

use super::{
    Product,
    breakdown::Discount,
    fraction,
    rules::{Effect, Promotion, Target},
};

const BASIS_POINTS: NonZeroU64 = NonZeroU64::new(10_000).expect("not 0");

/// Returns the promotions of `target` that are active at `now`, by ascending priority and id.
pub(super) fn active<'a>(
    promotions: &'a [Promotion],
    target: &Target,
    now: Timestamp,
) -> Vec<&'a Promotion> {
    let mut active: Vec<&Promotion> = promotions
        .iter()
        .filter(|promotion| promotion.target == *target)
        .filter(|promotion| promotion.starts_at.is_none_or(|starts_at| starts_at <= now))
        .filter(|promotion| promotion.ends_at.is_none_or(|ends_at| now < ends_at))
        .collect();
    active.sort_by_key(|promotion| (promotion.priority, promotion.id));
    active
}

/// Applies `promotions` in their order. `apply` applies one, and returns whether it discounted
/// anything. After the first promotion that did, only combinable ones follow, and none if the first
/// is not combinable.
pub(super) fn take<'a>(promotions: &[&'a Promotion], mut apply: impl FnMut(&'a Promotion) -> bool) {
    let mut is_first = true;
    for promotion in promotions {
        if (is_first || promotion.combinable) && apply(promotion) {
            if !promotion.combinable {
                return;
            }
            is_first = false;
        }
    }
}

impl Promotion {
    /// Whether the promotion covers the line of this product.
    pub fn covers(&self, product: &Product) -> bool {
        let covers_all = self.products.is_empty() && self.categories.is_empty();
        let in_category =
            || product.category.as_ref().is_some_and(|category| self.categories.contains(category));
        covers_all || self.products.contains(&product.product_id) || in_category()
    }

    /// Whether `subtotal`, that of the covered lines, reaches the minimum.
    pub(super) fn is_reached_by(&self, subtotal: i64) -> bool {
        self.min_subtotal.is_none_or(|minimum| i128::from(subtotal) >= i128::from(minimum))
    }

    /// The discount on `amount`, never more than `amount`.
    pub(super) fn discount_on(&self, amount: i64) -> i64 {
        let discount = match self.effect {
            Effect::PercentBp(basis_points) => {
                fraction(amount, u64::from(basis_points), BASIS_POINTS)
            }
            Effect::Fixed(value) => i64::try_from(value).unwrap_or(i64::MAX),
            Effect::Unknown(_) => 0,
        };
        discount.min(amount)
    }

    pub(super) fn discount(&self, amount: i64) -> Discount {
        Discount { promotion_id: self.id, name: self.name.clone(), amount }
    }
}

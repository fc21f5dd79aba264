//! The commands that an order sends to inventory and payments.

/// A command that another service has to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PendingCommand {
    ReserveStock,
    /// Decrement the on-hand stock by the reserved quantities.
    CommitStock,
    ReleaseStock,
    /// Open the payment, and charge it at once if the order has a payment method.
    OpenPayment,
    /// Close the payment: no charge may start afterwards.
    CancelPayment,
    /// Refund the captured money that was not returned yet.
    RefundPayment,
}

impl PendingCommand {
    /// The name of the command in the history. `has_method` means that the order has a payment
    /// method, which payments charges without a further request of the buyer.
    pub fn name(self, has_method: bool) -> &'static str {
        match self {
            Self::ReserveStock => "reserve_stock",
            Self::CommitStock => "commit_stock",
            Self::ReleaseStock => "release_stock",
            Self::OpenPayment if has_method => "charge_payment",
            Self::OpenPayment => "open_payment",
            Self::CancelPayment => "cancel_payment",
            Self::RefundPayment => "refund_payment",
        }
    }

    /// Whether inventory processes the command. Payments processes all others.
    pub(super) fn is_for_stock(self) -> bool {
        matches!(self, Self::ReserveStock | Self::CommitStock | Self::ReleaseStock)
    }
}

//! What survives which event: one table for everything that an account has pending or has given out.
//!
//! [`fate`] is the table, and [`super::User`] applies it: no transition decides for itself. `+` survives, `-` ends, `o` ends except for the
//! session that made the request, blank cannot occur together.
//!
//! | | again | verified | reset | password | asked | moved | withdrawn | disabled | enabled | deleted | role |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | verification of the registered address | + | - | - | + | - |   | - | + | + | - | + |
//! | address change                         | + |   | - | - | - | - | - | - |   | - | - |
//! | password reset                         | + | + | - | - | + | - | - | - |   | - | + |
//! | sessions                               | + | + | - | o | + | + | - | - | - | - | + |
//! | access tokens                          | + | + | - | o | + | - | - | - | - | - | - |
//! | device tokens                          | + | + | - | - | + | - | - | - | - | - | + |
//! | withdraw link, address verified        | + |   | + | + | + | + | - | + | + | - | + |
//! | withdraw link, address never verified  | + | + | + | + | + | - | - | + | + | - | + |
//!
//! The columns are the events of [`Event`] in its order. The reasons:
//!
//! - *again*: registering a registered address is refused and changes nothing, or a stranger could cancel what the owner started.
//! - *reset*: the reader of the mailbox is the owner. Whatever a thief started before ends; the registered address is verified by it.
//! - *password*: the same for an owner who is logged in, who keeps the session that made the request. The link that verifies the registered
//!   address leads only to that mailbox, so it stays.
//! - *asked*: one address waits at a time. A reset stays: its link is in the owner's mailbox, and a thief must not cancel it.
//! - *moved*: the reset link is in the mailbox of the address before, which is not the login any more. Access tokens carry the address, and
//!   device tokens are bound to it. Sessions stay: the change was asked for with the password.
//! - *withdrawn*: another person may know the password, so everything ends, and the mail says to reset the password.
//! - *disabled*: an account that is enabled again starts without sessions and without changes that waited. The two links that lead only to
//!   the mailboxes of the account stay.
//! - *role*: the role is given to the person at the present address, so no address that waits can inherit it. Access tokens carry the role.
//! - The withdraw link only takes away: it ends sessions and returns the login to a mailbox that held it before. A thief with the password
//!   must not be able to cancel it, so only its use, its time and the deletion of the account end it. Where the address before was never
//!   verified, nobody has shown to own it, and the link ends when the address moves.

/// Something that an account has pending or has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The link that verifies the address of the registration.
    Verification,
    /// Another address that waits for its link to be followed.
    AddressChange,
    /// The link that sets a new password.
    PasswordReset,
    /// Sessions: refresh tokens.
    Sessions,
    /// Access tokens.
    AccessTokens,
    /// Device tokens.
    DeviceTokens,
    /// The link that withdraws an address change, sent to a verified address.
    WithdrawLink,
    /// The link that withdraws an address change, sent to an address that was never verified.
    UnverifiedWithdrawLink,
}

/// Something that happens to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The address is registered again.
    RegisteredAgain,
    /// The link to the registered address is followed.
    AddressVerified,
    /// A reset sets a new password.
    PasswordReset,
    /// The user changes the password.
    PasswordChanged,
    /// The user asks for another address.
    AddressChangeAsked,
    /// The link to the other address is followed: the login moves there.
    AddressMoved,
    /// The address change is withdrawn.
    ChangeWithdrawn,
    /// An admin disables the account.
    Disabled,
    /// An admin enables the account.
    Enabled,
    /// The account is deleted.
    Deleted,
    /// An admin or an operator changes the role.
    RoleChanged,
}

/// What an event does to something pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays valid.
    Survives,
    /// It is not valid any more.
    Ends,
    /// It ends, except for the session that made the request.
    EndsElsewhere,
    /// The account cannot have it when the event happens.
    Excluded,
}

impl Pending {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Verification,
        Self::AddressChange,
        Self::PasswordReset,
        Self::Sessions,
        Self::AccessTokens,
        Self::DeviceTokens,
        Self::WithdrawLink,
        Self::UnverifiedWithdrawLink,
    ];
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::RegisteredAgain,
        Self::AddressVerified,
        Self::PasswordReset,
        Self::PasswordChanged,
        Self::AddressChangeAsked,
        Self::AddressMoved,
        Self::ChangeWithdrawn,
        Self::Disabled,
        Self::Enabled,
        Self::Deleted,
        Self::RoleChanged,
    ];
}

/// What `event` does to `pending`. There is no wildcard: a new event does not compile without a cell for everything pending.
pub const fn fate(pending: Pending, event: Event) -> Fate {
    use Fate::{Ends, EndsElsewhere, Excluded, Survives};
    let [verification, change, reset, sessions, access, device, withdraw, unverified] = match event {
        Event::RegisteredAgain => [Survives, Survives, Survives, Survives, Survives, Survives, Survives, Survives],
        Event::AddressVerified => [Ends, Excluded, Survives, Survives, Survives, Survives, Excluded, Survives],
        Event::PasswordReset => [Ends, Ends, Ends, Ends, Ends, Ends, Survives, Survives],
        Event::PasswordChanged => [Survives, Ends, Ends, EndsElsewhere, EndsElsewhere, Ends, Survives, Survives],
        Event::AddressChangeAsked => [Ends, Ends, Survives, Survives, Survives, Survives, Survives, Survives],
        Event::AddressMoved => [Excluded, Ends, Ends, Survives, Ends, Ends, Survives, Ends],
        Event::ChangeWithdrawn => [Ends, Ends, Ends, Ends, Ends, Ends, Ends, Ends],
        Event::Disabled => [Survives, Ends, Ends, Ends, Ends, Ends, Survives, Survives],
        Event::Enabled => [Survives, Excluded, Excluded, Ends, Ends, Ends, Survives, Survives],
        Event::Deleted => [Ends, Ends, Ends, Ends, Ends, Ends, Ends, Ends],
        Event::RoleChanged => [Survives, Ends, Survives, Survives, Ends, Survives, Survives, Survives],
    };
    match pending {
        Pending::Verification => verification,
        Pending::AddressChange => change,
        Pending::PasswordReset => reset,
        Pending::Sessions => sessions,
        Pending::AccessTokens => access,
        Pending::DeviceTokens => device,
        Pending::WithdrawLink => withdraw,
        Pending::UnverifiedWithdrawLink => unverified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The position in `ALL`. A new variant does not compile before it has one.
    fn place_of_pending(pending: Pending) -> usize {
        match pending {
            Pending::Verification => 0,
            Pending::AddressChange => 1,
            Pending::PasswordReset => 2,
            Pending::Sessions => 3,
            Pending::AccessTokens => 4,
            Pending::DeviceTokens => 5,
            Pending::WithdrawLink => 6,
            Pending::UnverifiedWithdrawLink => 7,
        }
    }

    fn place_of_event(event: Event) -> usize {
        match event {
            Event::RegisteredAgain => 0,
            Event::AddressVerified => 1,
            Event::PasswordReset => 2,
            Event::PasswordChanged => 3,
            Event::AddressChangeAsked => 4,
            Event::AddressMoved => 5,
            Event::ChangeWithdrawn => 6,
            Event::Disabled => 7,
            Event::Enabled => 8,
            Event::Deleted => 9,
            Event::RoleChanged => 10,
        }
    }

    #[test]
    fn the_lists_hold_every_variant_in_order() {
        assert!(Pending::ALL.iter().enumerate().all(|(place, pending)| place_of_pending(*pending) == place));
        assert!(Event::ALL.iter().enumerate().all(|(place, event)| place_of_event(*event) == place));
    }

    #[test]
    fn the_documented_table_says_what_the_code_says() {
        let rows: Vec<&str> = include_str!("survival.rs").lines().filter(|line| line.starts_with("//! | ")).skip(1).collect();
        assert_eq!(rows.len(), Pending::ALL.len());
        for (row, pending) in rows.into_iter().zip(Pending::ALL) {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').skip(2).map(str::trim).collect();
            let expected = Event::ALL.map(|event| match fate(pending, event) {
                Fate::Survives => "+",
                Fate::Ends => "-",
                Fate::EndsElsewhere => "o",
                Fate::Excluded => "",
            });
            assert_eq!(cells, expected, "{pending:?}");
        }
    }
}

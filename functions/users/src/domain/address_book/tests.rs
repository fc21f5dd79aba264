//! Changes of an address book: its limit and its defaults.

use shared::{
    address::{AddressLine, CountryCode},
    ids,
};

use super::*;

fn line(text: &str) -> AddressLine {
    AddressLine::parse(text).unwrap()
}

fn address(name: &str) -> Address {
    Address {
        name: line(name),
        line1: line("12 St James's Square"),
        line2: None,
        city: line("London"),
        region: None,
        postal_code: Some(line("SW1Y 4JH")),
        country: CountryCode::parse("GB").unwrap(),
        company: None,
        phone: None,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_milliseconds(seconds * 1000)
}

fn saved(name: &str) -> SavedAddress {
    SavedAddress {
        id: ids::derive(&[name]),
        address: address(name),
        fingerprint: "hash".to_owned(),
        created_at: at(1),
        updated_at: at(1),
    }
}

/// A book with two addresses: the first one is the default for shipping and billing.
fn book() -> (AddressBook, AddressId, AddressId) {
    let (home, work) = (saved("home"), saved("work"));
    let ids = (home.id, work.id);
    let book = AddressBook::empty(ids::derive(&["ada"])).with(home, true, true).unwrap();
    (book.with(work, false, false).unwrap(), ids.0, ids.1)
}

fn edit(default_shipping: Option<bool>, default_billing: Option<bool>) -> AddressEdit {
    AddressEdit { address: None, default_shipping, default_billing }
}

#[test]
fn book_accepts_twenty_addresses_and_rejects_another() {
    let mut book = AddressBook::empty(ids::derive(&["ada"]));
    for number in 0..MAX_ADDRESSES {
        book = book.with(saved(&number.to_string()), false, false).unwrap();
    }
    assert_eq!((book.addresses.len(), book.version), (20, 20));
    assert_eq!(book.with(saved("more"), true, true), Err(ChangeError::AddressBookFull));
    let id = book.addresses[7].id;
    assert!(book.without(id).unwrap().with(saved("more"), true, true).is_ok());
}

#[test]
fn new_default_replaces_the_previous_one_of_its_kind() {
    let (book, home, work) = book();
    let moved = book.edited(work, edit(Some(true), None), at(2)).unwrap();
    assert_eq!((moved.default_shipping, moved.default_billing), (Some(work), Some(home)));
    let created = book.with(saved("parents"), false, true).unwrap();
    assert_eq!(created.default_shipping, Some(home));
    assert_eq!(created.default_billing, Some(ids::derive(&["parents"])));
}

#[test]
fn only_the_default_address_clears_its_default() {
    let (book, home, work) = book();
    let other = book.edited(work, edit(Some(false), Some(false)), at(2)).unwrap();
    assert_eq!((other.default_shipping, other.default_billing), (Some(home), Some(home)));
    let own = book.edited(home, edit(Some(false), None), at(2)).unwrap();
    assert_eq!((own.default_shipping, own.default_billing), (None, Some(home)));
}

#[test]
fn edit_replaces_the_address_and_keeps_what_is_absent() {
    let (book, home, _) = book();
    let edited = AddressEdit { address: Some(address("Ada King")), ..AddressEdit::default() };
    let next = book.edited(home, edited, at(9)).unwrap();
    let changed = next.find(home).unwrap();
    assert_eq!(changed.address.name.as_str(), "Ada King");
    assert_eq!((changed.created_at, changed.updated_at), (at(1), at(9)));
    assert_eq!((next.default_shipping, next.version), (Some(home), book.version + 1));
    let same = book.edited(home, AddressEdit::default(), at(9)).unwrap();
    assert_eq!(same.find(home).unwrap().address, book.find(home).unwrap().address);
}

#[test]
fn deleted_address_is_no_longer_a_default() {
    let (book, home, work) = book();
    let without = book.without(home).unwrap();
    assert_eq!((without.default_shipping, without.default_billing), (None, None));
    assert_eq!((without.find(home), without.addresses.len()), (None, 1));
    let kept = book.without(work).unwrap();
    assert_eq!((kept.default_shipping, kept.default_billing), (Some(home), Some(home)));
}

#[test]
fn changes_of_an_unknown_address_are_rejected() {
    let (book, ..) = book();
    let unknown = ids::derive(&["unknown"]);
    assert_eq!(
        book.edited(unknown, AddressEdit::default(), at(2)),
        Err(ChangeError::UnknownAddress)
    );
    assert_eq!(book.without(unknown), Err(ChangeError::UnknownAddress));
}

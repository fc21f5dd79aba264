//! What becomes of users.

use super::*;
use shared::ids::{self, Ids};

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_milliseconds(1_700_000_000_000).plus(Duration::from_secs(60 * minutes))
}

fn trace() -> Trace {
    Trace::start(&Ids::seeded(1))
}

fn link(hash: &str, expires_at: Timestamp) -> Link {
    Link { hash: hash.to_owned(), sealed: "sealed".to_owned(), expires_at, sent: 1 }
}

fn ada() -> User {
    let registration = Registration {
        email: Email::parse("ada@example.com").unwrap(),
        username: Username::parse("ada").unwrap(),
        full_name: FullName::parse("Ada Lovelace").unwrap(),
    };
    User::register(ids::derive(&["ada"]), registration, link("first", at(60)), at(0), trace())
}

#[test]
fn a_new_role_makes_old_access_tokens_worthless_and_keeps_sessions() {
    let admin = ada().administered(Administration { role: Some(Role::Admin), ..Default::default() }, at(1), trace());
    assert_eq!((admin.role.as_str(), admin.token_version, admin.session_epoch, admin.version), ("admin", 2, 1, 2));
    let same = ada().administered(Administration { role: Some(Role::User), ..Default::default() }, at(1), trace());
    assert_eq!((same.token_version, same.session_epoch), (1, 1));
}

#[test]
fn who_is_disabled_has_no_token_and_no_session_left_even_if_they_are_enabled_again() {
    let change = |is_active| Administration { is_active: Some(is_active), ..Default::default() };
    let disabled = ada().administered(change(false), at(1), trace());
    let enabled = disabled.administered(change(true), at(2), trace());
    assert!(!disabled.is_active && enabled.is_active);
    assert!(disabled.token_version > ada().token_version && disabled.session_epoch > ada().session_epoch);
    assert!(enabled.session_epoch > ada().session_epoch);
    assert_eq!(disabled.administered(change(false), at(2), trace()).token_version, disabled.token_version);
}

#[test]
fn another_address_counts_only_once_its_link_was_followed() {
    let asked = asking(&ada(), "new@example.com", "second", at(1)).unwrap();
    assert_eq!((asked.email.as_str(), asked.pending_email()), ("ada@example.com", Some("new@example.com")));
    assert!(asked.with_verified_email("first", at(2), trace()).is_err(), "the earlier link is worthless");
    assert!(asked.with_verified_email("second", at(60), trace()).is_err(), "too late");
    let moved = asked.with_verified_email("second", at(2), trace()).unwrap();
    assert_eq!((moved.email.as_str(), moved.email_verified, moved.pending_email()), ("new@example.com", true, None));
    assert!(moved.token_version > asked.token_version && moved.session_epoch == asked.session_epoch);
    assert!(moved.with_verified_email("second", at(3), trace()).is_err(), "a link is good once");
}

#[test]
fn asking_for_the_address_that_is_verified_takes_an_earlier_wish_back() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    assert_eq!(verified.token_version, 1, "nothing in the tokens has changed");
    let wish = |user: &User, text: &str| asking(user, text, "x", at(2)).unwrap();
    let asked = wish(&verified, "new@example.com");
    assert!(asked.pending_email().is_some());
    assert_eq!(wish(&asked, "ada@example.com").verification, None);
}

/// `user` after a request for another address. The link to that address has the hash `hash`, the one that withdraws it `withdraw-<hash>`.
fn asking(user: &User, email: &str, hash: &str, now: Timestamp) -> Result<User, ChangeError> {
    let withdrawal = link(&format!("withdraw-{hash}"), now.plus(WITHDRAWAL_LIFETIME));
    let email = EmailEdit { email: Email::parse(email).unwrap(), verification: link(hash, at(60)), withdrawal };
    user.edited(ProfileEdit { email: Some(email), ..Default::default() }, now, trace())
}

#[test]
fn a_repeated_request_sends_the_same_withdraw_link_for_longer() {
    let once = asking(&ada(), "new@example.com", "one", at(1)).unwrap();
    let twice = asking(&once, "other@example.com", "two", at(2)).unwrap();
    let link =
        |user: &User| user.withdrawal.clone().map(|withdrawal| (withdrawal.link.hash, withdrawal.link.expires_at, withdrawal.link.sent));
    assert_eq!(link(&once), Some(("withdraw-one".to_owned(), at(1).plus(WITHDRAWAL_LIFETIME), 1)));
    assert_eq!(link(&twice), Some(("withdraw-one".to_owned(), at(2).plus(WITHDRAWAL_LIFETIME), 2)));
}

#[test]
fn a_withdrawal_cancels_a_change_or_returns_the_login() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    let asked = asking(&verified, "new@example.com", "second", at(2)).unwrap();
    let moved = asked.with_verified_email("second", at(3), trace()).unwrap();
    for user in [&asked, &moved] {
        assert!(user.with_withdrawn_change("second", at(4), trace()).is_err());
        let withdrawn = user.with_withdrawn_change("withdraw-second", at(4), trace()).unwrap();
        assert_eq!((withdrawn.email.as_str(), withdrawn.pending_email(), withdrawn.email_verified), ("ada@example.com", None, true));
        assert!(withdrawn.session_epoch > user.session_epoch && withdrawn.token_version > user.token_version);
        assert!(withdrawn.with_withdrawn_change("withdraw-second", at(5), trace()).is_err(), "a link works once");
        assert!(withdrawn.with_verified_email("second", at(5), trace()).is_err());
    }
    let (pending_end, moved_end) = (at(2).plus(WITHDRAWAL_LIFETIME), at(3).plus(WITHDRAWAL_LIFETIME));
    assert!(asked.with_withdrawn_change("withdraw-second", pending_end, trace()).is_err());
    assert!(moved.with_withdrawn_change("withdraw-second", pending_end, trace()).is_ok(), "48 hours from the move");
    assert!(moved.with_withdrawn_change("withdraw-second", moved_end, trace()).is_err());
}

#[test]
fn a_login_that_moved_stays_for_two_days_and_an_unverified_address_gets_nothing_back() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    let moved = asking(&verified, "new@example.com", "second", at(2)).unwrap().with_verified_email("second", at(3), trace()).unwrap();
    let third = |user: &User, now| asking(user, "third@example.com", "third", now);
    assert!(matches!(third(&moved, at(4)), Err(ChangeError::EmailMovedRecently { .. })));
    assert!(third(&moved, at(3).plus(WITHDRAWAL_LIFETIME)).is_ok());
    let unverified = asking(&ada(), "new@example.com", "second", at(2)).unwrap().with_verified_email("second", at(3), trace()).unwrap();
    assert_eq!(unverified.withdrawal, None);
    assert!(third(&unverified, at(4)).is_ok());
}

/// Ada after she has asked for `link`.
fn asked(user: &User, link: Link, now: Timestamp) -> User {
    User { reset: Some(user.reset_link(link, now)), version: user.version + 1, ..user.clone() }
}

#[test]
fn a_reset_link_that_is_still_good_is_sent_again_and_not_replaced() {
    let once = asked(&ada(), link("one", at(30)), at(0));
    let again = asked(&once, link("two", at(35)), at(5));
    assert_eq!(again.reset.as_ref().map(|link| (link.hash.as_str(), link.sent)), Some(("one", 2)));
    let late = asked(&again, link("three", at(51)), at(21));
    assert_eq!(late.reset.as_ref().map(|link| (link.hash.as_str(), link.sent)), Some(("three", 1)));
}

#[test]
fn a_reset_ends_every_session_and_token_and_works_once() {
    let ada_asked = asked(&ada(), link("one", at(30)), at(0));
    assert!(ada_asked.with_reset_password("two", at(1), trace()).is_err());
    assert!(ada_asked.with_reset_password("one", at(30), trace()).is_err());
    let reset = ada_asked.with_reset_password("one", at(1), trace()).unwrap();
    assert!(reset.token_version > ada_asked.token_version && reset.session_epoch > ada_asked.session_epoch);
    assert!(reset.email_verified && reset.reset.is_none() && reset.verification.is_none());
    assert!(reset.with_reset_password("one", at(2), trace()).is_err());
}

#[test]
fn no_link_works_for_somebody_who_is_disabled() {
    let ada_asked = asked(&ada(), link("one", at(30)), at(0));
    let disabled = ada_asked.administered(Administration { is_active: Some(false), ..Default::default() }, at(1), trace());
    assert!(disabled.with_reset_password("one", at(2), trace()).is_err());
    assert!(disabled.with_verified_email("first", at(2), trace()).is_err());
}

#[test]
fn a_changed_password_takes_a_waiting_reset_link_away() {
    let ada_asked = asked(&ada(), link("one", at(30)), at(0));
    let changed = ada_asked.with_changed_password(at(1), trace());
    assert!(changed.reset.is_none());
    assert_eq!((changed.session_epoch, changed.token_version, changed.password_changed_at), (2, 1, Some(at(1))));
}

//! State changes of users: profiles, roles, address changes, resets and deletion.

use super::*;
use shared::ids::{self, Ids};

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_milliseconds(1_700_000_000_000).plus(Duration::from_secs(60 * minutes))
}

fn trace() -> Trace {
    Trace::start(&Ids::seeded(1))
}

fn link(hash: &str, expires_at: Timestamp) -> Link {
    Link {
        token_hash: hash.to_owned(),
        sealed_token: "sealed".to_owned(),
        expires_at,
        send_count: 1,
    }
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
fn role_change_revokes_access_tokens_and_keeps_sessions() {
    let admin = ada().edited_by_admin(
        AdminEdit { role: Some(Role::Admin), ..Default::default() },
        at(1),
        trace(),
    );
    assert_eq!(
        (admin.role.as_str(), admin.token_version, admin.session_epoch, admin.version),
        ("admin", 2, 1, 2)
    );
    let same = ada().edited_by_admin(
        AdminEdit { role: Some(Role::User), ..Default::default() },
        at(1),
        trace(),
    );
    assert_eq!((same.token_version, same.session_epoch), (1, 1));
}

#[test]
fn enabling_does_not_restore_revoked_tokens_and_sessions() {
    let change = |is_active| AdminEdit { is_active: Some(is_active), ..Default::default() };
    let disabled = ada().edited_by_admin(change(false), at(1), trace());
    let enabled = disabled.edited_by_admin(change(true), at(2), trace());
    assert!(!disabled.is_active && enabled.is_active);
    assert!(
        disabled.token_version > ada().token_version
            && disabled.session_epoch > ada().session_epoch
    );
    assert!(enabled.session_epoch > ada().session_epoch);
    assert_eq!(
        disabled.edited_by_admin(change(false), at(2), trace()).token_version,
        disabled.token_version
    );
}

#[test]
fn email_changes_only_after_verification() {
    let requested =
        with_email_change_requested(&ada(), "new@example.com", "second", at(1)).unwrap();
    assert_eq!(
        (requested.email.as_str(), requested.pending_email()),
        ("ada@example.com", Some("new@example.com"))
    );
    assert!(
        requested.with_verified_email("first", at(2), trace()).is_err(),
        "the earlier link is worthless"
    );
    assert!(requested.with_verified_email("second", at(60), trace()).is_err(), "too late");
    let moved = requested.with_verified_email("second", at(2), trace()).unwrap();
    assert_eq!(
        (moved.email.as_str(), moved.email_verified, moved.pending_email()),
        ("new@example.com", true, None)
    );
    assert!(
        moved.token_version > requested.token_version
            && moved.session_epoch == requested.session_epoch
    );
    assert!(moved.with_verified_email("second", at(3), trace()).is_err(), "a link works once");
}

#[test]
fn requesting_the_verified_email_cancels_a_pending_change() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    assert_eq!(verified.token_version, 1, "the claims are unchanged");
    let request_email =
        |user: &User, text: &str| with_email_change_requested(user, text, "x", at(2)).unwrap();
    let requested = request_email(&verified, "new@example.com");
    assert!(requested.pending_email().is_some());
    assert_eq!(request_email(&requested, "ada@example.com").verification, None);
}

/// `user` after a request for another address. The link to that address has the hash `hash`, the
/// one that withdraws it `withdraw-<hash>`.
fn with_email_change_requested(
    user: &User,
    email: &str,
    hash: &str,
    now: Timestamp,
) -> Result<User, ChangeError> {
    let withdrawal = link(&format!("withdraw-{hash}"), now.plus(WITHDRAWAL_LIFETIME));
    let email = EmailEdit {
        email: Email::parse(email).unwrap(),
        verification: link(hash, at(60)),
        withdrawal,
    };
    user.edited(ProfileEdit { email: Some(email), ..Default::default() }, now, trace())
}

#[test]
fn repeated_request_extends_the_withdraw_link() {
    let once = with_email_change_requested(&ada(), "new@example.com", "one", at(1)).unwrap();
    let twice = with_email_change_requested(&once, "other@example.com", "two", at(2)).unwrap();
    let link = |user: &User| {
        user.withdrawal.clone().map(|withdrawal| {
            (withdrawal.link.token_hash, withdrawal.link.expires_at, withdrawal.link.send_count)
        })
    };
    assert_eq!(link(&once), Some(("withdraw-one".to_owned(), at(1).plus(WITHDRAWAL_LIFETIME), 1)));
    assert_eq!(link(&twice), Some(("withdraw-one".to_owned(), at(2).plus(WITHDRAWAL_LIFETIME), 2)));
}

#[test]
fn withdrawal_cancels_a_change_or_restores_the_email() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    let requested =
        with_email_change_requested(&verified, "new@example.com", "second", at(2)).unwrap();
    let moved = requested.with_verified_email("second", at(3), trace()).unwrap();
    for user in [&requested, &moved] {
        assert!(user.with_email_change_withdrawn("second", at(4), trace()).is_err());
        let withdrawn =
            user.with_email_change_withdrawn("withdraw-second", at(4), trace()).unwrap();
        assert_eq!(
            (withdrawn.email.as_str(), withdrawn.pending_email(), withdrawn.email_verified),
            ("ada@example.com", None, true)
        );
        assert!(
            withdrawn.session_epoch > user.session_epoch
                && withdrawn.token_version > user.token_version
        );
        assert!(
            withdrawn.with_email_change_withdrawn("withdraw-second", at(5), trace()).is_err(),
            "a link works once"
        );
        assert!(withdrawn.with_verified_email("second", at(5), trace()).is_err());
    }
    let (pending_end, moved_end) =
        (at(2).plus(WITHDRAWAL_LIFETIME), at(3).plus(WITHDRAWAL_LIFETIME));
    assert!(
        requested.with_email_change_withdrawn("withdraw-second", pending_end, trace()).is_err()
    );
    assert!(
        moved.with_email_change_withdrawn("withdraw-second", pending_end, trace()).is_ok(),
        "48 hours from the move"
    );
    assert!(moved.with_email_change_withdrawn("withdraw-second", moved_end, trace()).is_err());
}

#[test]
fn changed_email_is_locked_for_48_hours_unless_unverified() {
    let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
    let moved = with_email_change_requested(&verified, "new@example.com", "second", at(2))
        .unwrap()
        .with_verified_email("second", at(3), trace())
        .unwrap();
    let third =
        |user: &User, now| with_email_change_requested(user, "third@example.com", "third", now);
    assert!(matches!(third(&moved, at(4)), Err(ChangeError::EmailChangedRecently { .. })));
    assert!(third(&moved, at(3).plus(WITHDRAWAL_LIFETIME)).is_ok());
    let unverified = with_email_change_requested(&ada(), "new@example.com", "second", at(2))
        .unwrap()
        .with_verified_email("second", at(3), trace())
        .unwrap();
    assert_eq!(unverified.withdrawal, None);
    assert!(third(&unverified, at(4)).is_ok());
}

/// The user after a request for the reset link `link`.
fn with_reset_requested(user: &User, link: Link, now: Timestamp) -> User {
    User { reset: Some(user.reset_link(link, now)), version: user.version + 1, ..user.clone() }
}

#[test]
fn valid_reset_link_is_resent_not_replaced() {
    let once = with_reset_requested(&ada(), link("one", at(30)), at(0));
    let again = with_reset_requested(&once, link("two", at(35)), at(5));
    assert_eq!(
        again.reset.as_ref().map(|link| (link.token_hash.as_str(), link.send_count)),
        Some(("one", 2))
    );
    let late = with_reset_requested(&again, link("three", at(51)), at(21));
    assert_eq!(
        late.reset.as_ref().map(|link| (link.token_hash.as_str(), link.send_count)),
        Some(("three", 1))
    );
}

#[test]
fn reset_revokes_sessions_and_tokens_and_works_once() {
    let requested = with_reset_requested(&ada(), link("one", at(30)), at(0));
    assert!(requested.with_reset_password("two", at(1), trace()).is_err());
    assert!(requested.with_reset_password("one", at(30), trace()).is_err());
    let reset = requested.with_reset_password("one", at(1), trace()).unwrap();
    assert!(
        reset.token_version > requested.token_version
            && reset.session_epoch > requested.session_epoch
    );
    assert!(reset.email_verified && reset.reset.is_none() && reset.verification.is_none());
    assert!(reset.with_reset_password("one", at(2), trace()).is_err());
}

#[test]
fn links_of_a_disabled_user_are_rejected() {
    let requested = with_reset_requested(&ada(), link("one", at(30)), at(0));
    let disabled = requested.edited_by_admin(
        AdminEdit { is_active: Some(false), ..Default::default() },
        at(1),
        trace(),
    );
    assert!(disabled.with_reset_password("one", at(2), trace()).is_err());
    assert!(disabled.with_verified_email("first", at(2), trace()).is_err());
}

#[test]
fn password_change_removes_the_reset_link() {
    let requested = with_reset_requested(&ada(), link("one", at(30)), at(0));
    let changed = requested.with_changed_password(at(1), trace());
    assert!(changed.reset.is_none());
    assert_eq!(
        (changed.session_epoch, changed.token_version, changed.password_changed_at),
        (2, 1, Some(at(1)))
    );
}

//! Maps committed changes of a user to messages. This file is the complete list.

use std::time::Duration;

use shared::{
    clock::Timestamp,
    ids::{self, Ids, UserId},
    queue::{Message, MessageContext},
    stream::UnknownState,
    telemetry::Trace,
};

use crate::{
    domain::{Link, User},
    messages::{MailData, SendNotification, UserChanged, UserDeleted},
    store::Image,
};

/// Queues of the services that keep copies of personal data.
const DELETION_QUEUES: [&str; 2] = ["update-buyer", "forget-recipient"];

/// Delay of the second deletion message. The gateway accepts a cached access token for up to a
/// minute, a function may run for 30 seconds, and indexes lag. The second message finds data
/// written until then.
const REPEATED_DELETION_DELAY: Duration = Duration::from_secs(120);

/// Returns the messages for a change from `old` to `new`. `old` is `None` for a registration.
///
/// # Errors
/// None: no state of a user decides what is published.
pub fn messages(old: Option<&Image>, new: &Image) -> Result<Vec<Message>, UnknownState> {
    Ok(match (old, new) {
        (None, Image::Present(user)) => registration_messages(user),
        (Some(Image::Present(old)), Image::Present(new)) => update_messages(old, new),
        (Some(Image::Present(_)), Image::Deleted { user_id, deleted_at, version, trace }) => {
            deletion_messages(
                &message_context(*user_id, *version, *deleted_at, trace.as_ref()),
                *user_id,
                *version,
            )
        }
        (_, Image::Deleted { .. }) | (Some(Image::Deleted { .. }), Image::Present(_)) => Vec::new(),
    })
}

fn registration_messages(user: &User) -> Vec<Message> {
    let link = user.verification.as_ref().map(|verification| &verification.link);
    link.map(|link| mail("welcome", "", user, &user.email, user.created_at, Some(link)))
        .into_iter()
        .collect()
}

fn update_messages(old: &User, new: &User) -> Vec<Message> {
    let mut messages = Vec::new();
    if let Some(verification) =
        new.verification.as_ref().filter(|_| old.verification != new.verification)
    {
        let (email, link) = (&verification.email, &verification.link);
        messages.push(mail(
            "verify_email",
            &link.token_hash,
            new,
            email,
            new.updated_at,
            Some(link),
        ));
    }
    if let Some(link) = new.reset.as_ref().filter(|_| old.reset != new.reset) {
        // Each resend is a separate mail. `updated_at` is unchanged by a reset request, so only
        // `send_count` distinguishes the resends.
        let occurrence = format!("{}.{}", link.token_hash, link.send_count);
        messages.push(mail(
            "password_reset",
            &occurrence,
            new,
            &new.email,
            link.expires_at,
            Some(link),
        ));
    }
    if let Some(at) =
        new.password_changed_at.filter(|_| old.password_changed_at != new.password_changed_at)
    {
        messages.push(mail("password_changed", &at.to_string(), new, &new.email, at, None));
    }
    if let Some(at) = new
        .email_change_withdrawn_at
        .filter(|_| old.email_change_withdrawn_at != new.email_change_withdrawn_at)
    {
        messages.push(mail("email_change_withdrawn", &at.to_string(), new, &new.email, at, None));
    } else if old.email != new.email {
        let withdrawal = new.withdrawal.as_ref().filter(|withdrawal| withdrawal.email == old.email);
        let template = if withdrawal.is_some() { "email_moved" } else { "email_changed" };
        let link = withdrawal.map(|withdrawal| &withdrawal.link);
        messages.push(mail(
            template,
            &new.version.to_string(),
            new,
            &old.email,
            new.updated_at,
            link,
        ));
    } else if let Some(withdrawal) =
        new.withdrawal.as_ref().filter(|_| old.withdrawal != new.withdrawal)
    {
        let occurrence = format!("{}.{}", withdrawal.link.token_hash, withdrawal.link.send_count);
        let (email, link) = (&withdrawal.email, &withdrawal.link);
        messages.push(mail(
            "email_change_requested",
            &occurrence,
            new,
            email,
            new.updated_at,
            Some(link),
        ));
    }
    if (&old.email, &old.full_name) != (&new.email, &new.full_name) {
        let changed = UserChanged {
            user_id: new.id,
            version: new.version,
            name: new.full_name.clone(),
            email: new.email.clone(),
        };
        messages.push(Message::new("update-buyer", "user_changed.v1", &context_of(new), &changed));
    }
    messages
}

fn deletion_messages(context: &MessageContext, user_id: UserId, version: u64) -> Vec<Message> {
    let now_and_later = |queue| {
        let now =
            Message::new(queue, "user_deleted.v1", context, &UserDeleted { user_id, version });
        [now.delayed_by(REPEATED_DELETION_DELAY), now]
    };
    DELETION_QUEUES.into_iter().flat_map(now_and_later).collect()
}

/// Builds a mail to `email`. `occurrence` distinguishes it from other mails of the same template to
/// the same user.
fn mail(
    template: &'static str,
    occurrence: &str,
    user: &User,
    email: &str,
    at: Timestamp,
    link: Option<&Link>,
) -> Message {
    let link = link.map(|link| (link.sealed_token.clone(), link.expires_at)).unzip();
    let data = SendNotification {
        notification_id: ids::derive(&[&user.id.to_string(), template, occurrence]),
        user_id: user.id,
        email: email.to_owned(),
        name: user.full_name.clone(),
        template,
        occurred_at: at,
        data: MailData { sealed_token: link.0, expires_at: link.1 },
    };
    // Two mails about the same change need different message ids.
    let context = MessageContext { id: format!("{}/{template}", user.id), ..context_of(user) };
    Message::new("send-account-notification", "send_notification.v1", &context, &data)
}

fn context_of(user: &User) -> MessageContext {
    message_context(user.id, user.version, user.updated_at, user.trace.as_ref())
}

fn message_context(
    id: UserId,
    version: u64,
    time: Timestamp,
    trace: Option<&Trace>,
) -> MessageContext {
    // Users of an earlier release have no trace, so a new one starts here. It is derived from the
    // version, so that a repeated publication sends the same trace.
    let trace = trace.cloned().unwrap_or_else(|| Trace::start(&Ids::seeded(version)));
    MessageContext { service: "users", id: id.to_string(), version, time, trace }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{
        AdminEdit, Email, EmailEdit, FullName, ProfileEdit, Registration, Username,
    };

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_milliseconds(1_700_000_000_000).plus(Duration::from_secs(60 * minutes))
    }

    fn trace() -> Trace {
        Trace::start(&Ids::seeded(1))
    }

    fn link(hash: &str) -> Link {
        Link {
            token_hash: hash.to_owned(),
            sealed_token: format!("sealed {hash}"),
            expires_at: at(60),
            send_count: 1,
        }
    }

    fn ada() -> User {
        let registration = Registration {
            email: Email::parse("ada@example.com").unwrap(),
            username: Username::parse("ada").unwrap(),
            full_name: FullName::parse("Ada Lovelace").unwrap(),
        };
        User::register(ids::derive(&["ada"]), registration, link("first"), at(0), trace())
    }

    fn with_email_change_requested(user: &User) -> User {
        let email = Email::parse("new@example.com").unwrap();
        let email =
            Some(EmailEdit { email, verification: link("second"), withdrawal: link("withdraw") });
        user.edited(ProfileEdit { email, ..Default::default() }, at(1), trace()).unwrap()
    }

    fn published(old: Option<&User>, new: &User) -> Vec<(&'static str, serde_json::Value)> {
        let image = |user: &User| Image::Present(Box::new(user.clone()));
        let messages = messages(old.map(image).as_ref(), &image(new)).unwrap();
        messages.into_iter().map(|message| (message.queue, message.data)).collect()
    }

    #[test]
    fn registration_sends_a_verification_link() {
        let published = published(None, &ada());
        assert_eq!(published.len(), 1);
        let (queue, mail) = &published[0];
        assert_eq!(
            (*queue, mail["template"].as_str(), mail["email"].as_str()),
            ("send-account-notification", Some("welcome"), Some("ada@example.com"))
        );
        assert_eq!(mail["data"], json!({ "sealed_token": "sealed first", "expires_at": at(60) }));
    }

    #[test]
    fn email_change_notifies_old_and_new_address() {
        let requested = with_email_change_requested(&ada());
        let mails = published(Some(&ada()), &requested);
        let kinds: Vec<_> = mails
            .iter()
            .map(|(_, data)| (data["template"].as_str(), data["email"].as_str()))
            .collect();
        let expected = [
            (Some("verify_email"), Some("new@example.com")),
            (Some("email_change_requested"), Some("ada@example.com")),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(mails[1].1["data"]["sealed_token"], "sealed withdraw");

        let moved = requested.with_verified_email("second", at(2), trace()).unwrap();
        let messages = published(Some(&requested), &moved);
        let kinds: Vec<_> = messages
            .iter()
            .map(|(queue, data)| (*queue, data["template"].as_str(), data["email"].as_str()))
            .collect();
        let expected = [
            ("send-account-notification", Some("email_changed"), Some("ada@example.com")),
            ("update-buyer", None, Some("new@example.com")),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn previous_verified_email_gets_the_withdraw_link() {
        let verified = ada().with_verified_email("first", at(1), trace()).unwrap();
        let requested = with_email_change_requested(&verified);
        let moved = requested.with_verified_email("second", at(2), trace()).unwrap();
        let mails = |old: &User, new: &User| -> Vec<_> {
            let published = published(Some(old), new)
                .into_iter()
                .filter(|(queue, _)| *queue == "send-account-notification");
            published
                .map(|(_, data)| {
                    (
                        data["template"].clone(),
                        data["email"].clone(),
                        data["data"]["sealed_token"].clone(),
                    )
                })
                .collect()
        };
        assert_eq!(
            mails(&requested, &moved),
            [(json!("email_moved"), json!("ada@example.com"), json!("sealed withdraw"))]
        );
        for user in [&requested, &moved] {
            let withdrawn = user.with_email_change_withdrawn("withdraw", at(3), trace()).unwrap();
            let expected = (
                json!("email_change_withdrawn"),
                json!("ada@example.com"),
                serde_json::Value::Null,
            );
            assert_eq!(mails(user, &withdrawn), [expected]);
        }
    }

    #[test]
    fn every_reset_request_sends_a_mail() {
        let requested = |user: &User, fresh, now| User {
            reset: Some(user.reset_link(fresh, now)),
            version: user.version + 1,
            ..user.clone()
        };
        let once = requested(&ada(), link("reset"), at(1));
        let twice = requested(&once, link("other"), at(2));
        let (first, second) = (published(Some(&ada()), &once), published(Some(&once), &twice));
        assert_eq!(first[0].1["data"], second[0].1["data"], "the same link");
        assert_ne!(first[0].1["notification_id"], second[0].1["notification_id"]);
        let reset = twice.with_reset_password("reset", at(3), trace()).unwrap();
        let mails = published(Some(&twice), &reset);
        assert_eq!(
            mails.iter().map(|(_, data)| data["template"].as_str()).collect::<Vec<_>>(),
            [Some("password_changed")]
        );
    }

    #[test]
    fn deletion_is_sent_to_every_copy_now_and_again_later() {
        let deleted =
            Image::Deleted { user_id: ada().id, deleted_at: at(1), version: 2, trace: None };
        let messages = messages(Some(&Image::Present(Box::new(ada()))), &deleted).unwrap();
        let published: Vec<_> =
            messages.iter().map(|message| (message.queue, message.delay.as_secs())).collect();
        assert_eq!(
            published,
            [
                ("update-buyer", 120),
                ("update-buyer", 0),
                ("forget-recipient", 120),
                ("forget-recipient", 0)
            ]
        );
        assert!(
            messages
                .iter()
                .all(|message| message.data == json!({ "user_id": ada().id, "version": 2 }))
        );
        let ids: std::collections::BTreeSet<_> =
            messages.iter().map(|message| &message.id).collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn irrelevant_changes_send_nothing() {
        let role = AdminEdit { role: Some(shared::auth::Role::Admin), ..Default::default() };
        assert!(published(Some(&ada()), &ada().edited_by_admin(role, at(1), trace())).is_empty());
        assert!(published(Some(&ada()), &ada().with_tokens_revoked(trace())).is_empty());
        assert!(published(Some(&ada()), &ada()).is_empty(), "a backfill sends nothing");
    }
}

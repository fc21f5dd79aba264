//! The operations of this service, one module per function.

pub mod forget_recipient;
pub mod list_notifications;
pub mod read_notification;
pub mod record_mail_feedback;
pub mod send_account_notification;
pub mod send_notification;

shared::operations! {
    Notifications:
    http list_notifications(GET "/notifications", Token);
    http read_notification(POST "/notifications/{notification_id}/read", Token);
    queue forget_recipient("forget-recipient");
    queue record_mail_feedback("record-mail-feedback");
    queue send_account_notification("send-account-notification");
    queue send_notification("send-notification");
}

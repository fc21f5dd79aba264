//! The operations of the service: one Lambda function per file.

pub mod authorize_request;
pub mod change_password;
pub mod confirm_password_reset;
pub mod create_address;
pub mod delete_address;
pub mod delete_me;
pub mod get_jwks;
pub mod get_me;
pub mod get_user;
pub mod grant_role;
pub mod list_addresses;
pub mod list_users;
pub mod login_user;
pub mod logout_user;
pub mod publish_user_events;
pub mod refresh_token;
pub mod register_user;
pub mod request_password_reset;
pub mod rotate_signing_key;
mod saved_address_view;
pub mod update_address;
pub mod update_me;
pub mod update_user;
pub mod verify_email;
mod view;
pub mod withdraw_email_change;

shared::operations! {
    Users:
    http change_password(POST "/users/me/password", Token);
    http confirm_password_reset(POST "/users/password-reset/confirm", Public);
    http create_address(POST "/users/me/addresses", Token);
    http delete_address(DELETE "/users/me/addresses/{address_id}", Token);
    http delete_me(DELETE "/users/me", Token);
    http get_jwks(GET "/.well-known/jwks.json", Public);
    http get_me(GET "/users/me", Token);
    http get_user(GET "/users/{user_id}", Token);
    http list_addresses(GET "/users/me/addresses", Token);
    http list_users(GET "/users", Token);
    http login_user(POST "/users/login", Public);
    http logout_user(POST "/users/logout", Token);
    http refresh_token(POST "/users/token/refresh", Public);
    http register_user(POST "/users", Public);
    http request_password_reset(POST "/users/password-reset", Public);
    http update_address(PATCH "/users/me/addresses/{address_id}", Token);
    http update_me(PATCH "/users/me", Token);
    http update_user(PUT "/users/{user_id}", Token);
    http verify_email(POST "/users/verify-email", Public);
    http withdraw_email_change(POST "/users/email-change/withdraw", Public);
    stream publish_user_events("users");
    invoke authorize_request();
    invoke grant_role();
    invoke rotate_signing_key();
}

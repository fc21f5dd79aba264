//! `POST /users`: registers a customer.

use std::sync::Arc;

use serde::Deserialize;
use shared::{
    http::{self, Request, Response},
    problem::Problem,
};

use super::view::UserView;
use crate::{
    Users,
    domain::{
        Email, FullName, Password, Registration, User, Username, VERIFICATION_LIFETIME,
        check_password_differs,
    },
    error::UsersError,
    tokens::one_time::OneTimeToken,
};

/// A registration. It has no role: every user starts as a customer.
#[derive(Deserialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct RegisterUser {
    email: Email,
    username: Username,
    full_name: FullName,
    password: Password,
}

/// Answers `201` with the user and mails a link that verifies the address. A registered address
/// gets `409`, in any spelling. Too many registrations from one network get `429`.
#[cfg_attr(feature = "api-document", utoipa::path(
    post,
    path = "/users",
    request_body = RegisterUser,
    responses((status = 201, description = "The user.", body = UserView)),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["email_taken", "password_is_email", "too_many_requests"]))),
))]
pub async fn register_user(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let RegisterUser { email, username, full_name, password } = request.json()?;
    check_password_differs(&password, email.as_str()).map_err(UsersError::Password)?;
    let (keys, mail_key) = tokio::try_join!(users.server_keys(), users.one_time_token_key())?;
    let network = users.buckets_of(&keys).register_network(request.source_ip());
    users.check_rate_limits(&[network]).await?;

    let now = users.clock.now();
    let id = users.ids.create(now);
    let link = OneTimeToken::create(id, &users.ids).link(
        &mail_key,
        now,
        VERIFICATION_LIFETIME,
        &users.ids,
    );
    let user = User::register(
        id,
        Registration { email, username, full_name },
        link,
        now,
        request.trace().clone(),
    );
    let password_hash =
        users.hasher().hash(password.as_str(), users.ids.bytes()).map_err(UsersError::from)?;
    users.store.register(&user, password_hash).await?;

    Ok(http::created(&request.location("/users/me"), &UserView::from(&user)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn registration_rejects_unknown_fields_and_wrong_types() {
        let good = json!({ "email": "Ada@Example.com", "username": "ada", "full_name": "Ada Lovelace", "password": "correct horse" });
        let read = serde_json::from_value::<RegisterUser>(good.clone()).unwrap();
        assert_eq!(read.email.as_str(), "ada@example.com");
        for (field, value) in [
            ("role", json!("admin")),
            ("is_active", json!(true)),
            ("version", json!(1)),
            ("id", json!("usr_x")),
        ] {
            let mut more = good.clone();
            more[field] = value;
            assert!(serde_json::from_value::<RegisterUser>(more).is_err(), "{field}");
        }
        for value in [json!({ "$ne": null }), json!(["a@b.cd"]), json!(null), json!(1)] {
            let mut invalid = good.clone();
            invalid["email"] = value;
            assert!(serde_json::from_value::<RegisterUser>(invalid).is_err());
        }
    }
}

//! API Gateway's REQUEST authorizer: authenticates the caller of a request.
//!
//! - A valid token gets a policy for *every* route of the stage. The gateway caches the answer for
//!   30 seconds by the `Authorization` header alone, so a policy for one route would reject the
//!   next. The functions authorize the user from the context: `sub`, `role`, `name`, `email`,
//!   `email_verified`, `tv`, `sid`, `exp`. All but `email_verified` come from the token. That one
//!   is read from the user, because a link may be followed while the token is in use.
//! - An invalid token fails the invocation with exactly `Unauthorized`, which the gateway turns
//!   into 401. A policy that denies would be 403.
//! - A request without an `Authorization` header reaches this function only from a route that is
//!   open to visitors. The authorizer of such a route, `OptionalBearer`, has no identity source.
//!   The context of the answer is empty, so the function sees no caller. The policy allows this
//!   method on the first segment of the path and on everything below it. The rest of the path is
//!   the visitor's own text and must not enter a policy. The authorizer of all other routes has the
//!   header as its identity source, so the gateway rejects requests without it. Without the
//!   gateway, `request.caller()` would answer 401.
//! - A failure of the table or the secret is a different failure and becomes 500, so it logs out no
//!   user.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::{invoke::Call, lambda::Failure};

use crate::{
    Users,
    domain::Session,
    error::UsersError,
    tokens::access::{self, Claims, TokenError},
};

/// The fields of the gateway's event that are read. The gateway keeps the client's letter case of
/// header names, and sends `null` for empty values.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizeRequest {
    method_arn: String,
    #[serde(default)]
    headers: Option<HashMap<String, Option<String>>>,
    #[serde(default)]
    multi_value_headers: Option<HashMap<String, Option<Vec<String>>>>,
}

/// Returns the policy; see the module.
///
/// # Errors
/// `Unauthorized` for an invalid token; `Unavailable` if the table or the secret cannot be read;
/// `MalformedEvent` for an event that is not the gateway's.
pub async fn authorize_request(
    users: Arc<Users>,
    call: Call<AuthorizeRequest>,
) -> Result<Value, Failure> {
    let request = call.event;
    let token = match authorization(&request) {
        Authorization::None => {
            let routes = sibling_routes(&request.method_arn).ok_or_else(malformed)?;
            return Ok(policy("anonymous", &routes, Map::new()));
        }
        Authorization::Bearer(token) => token,
        Authorization::Malformed => return Err(unauthorized("no bearer token")),
    };
    let routes = [all_routes(&request.method_arn).ok_or_else(malformed)?];

    let claims = verify_token(&users, token).await?;
    let known = users.store.user_and_session(claims.sub, claims.sid).await;
    let (user, session) = known.map_err(|error| Failure::from_error("Unavailable", &error))?;
    let Some(user) = user.filter(|user| user.is_active && user.token_version == claims.tv) else {
        return Err(unauthorized("the user is deleted or disabled, or has a newer token version"));
    };
    // Tokens of an earlier release contain no session id.
    let is_over =
        |session: Session| !session.is_active(user.id, user.session_epoch, users.clock.now());
    if claims.sid.is_some() && session.is_none_or(is_over) {
        return Err(unauthorized("its session has ended"));
    }

    Ok(policy(&claims.sub.to_string(), &routes, context(&claims, user.email_verified)))
}

/// Verifies the token and returns its claims. An unknown key may be newer than the cached keys, so
/// the secret is read again. The rate of these reads is limited, because key ids can be invented.
async fn verify_token(users: &Users, token: &str) -> Result<Claims, Failure> {
    let unavailable = |error: UsersError| Failure::from_error("Unavailable", &error);
    let now = users.clock.now();
    let mut keys = users.signing_keys().await.map_err(unavailable)?;
    let mut outcome = access::verify(token, &keys, &users.issuer, now);
    if outcome == Err(TokenError::UnknownKey) && users.may_reload() {
        keys = users.reloaded_signing_keys().await.map_err(unavailable)?;
        outcome = access::verify(token, &keys, &users.issuer, now);
    }
    outcome.map_err(|error| match error {
        TokenError::UnknownKey => unauthorized("an unknown key"),
        TokenError::Invalid(reason) => unauthorized(reason),
    })
}

/// The gateway answers 401 to exactly this text. The reason is only logged.
fn unauthorized(reason: &'static str) -> Failure {
    tracing::info!(reason, "access token rejected");
    Failure::expected("Unauthorized")
}

#[derive(Debug, PartialEq, Eq)]
enum Authorization<'a> {
    None,
    Bearer(&'a str),
    Malformed,
}

/// Returns the value of the `Authorization` header. Two headers are rejected, because another
/// component might have checked the other one.
fn authorization(request: &AuthorizeRequest) -> Authorization<'_> {
    let is_it = |name: &str| name.eq_ignore_ascii_case("authorization");
    let several = request.multi_value_headers.iter().flatten().filter(|(name, _)| is_it(name));
    let mut values: Vec<&str> =
        several.flat_map(|(_, values)| values.iter().flatten()).map(String::as_str).collect();
    if values.is_empty() {
        let single = request.headers.iter().flatten().filter(|(name, _)| is_it(name));
        values = single.filter_map(|(_, value)| value.as_deref()).collect();
    }
    match values[..] {
        [] => Authorization::None,
        [value] => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Authorization::Bearer(token.trim())
            }
            _ => Authorization::Malformed,
        },
        _ => Authorization::Malformed,
    }
}

/// `arn:aws:execute-api:eu-central-1:123456789012:abcdef/v1/GET/orders` becomes `…:abcdef/v1/*/*`.
fn all_routes(method_arn: &str) -> Option<String> {
    let mut parts = method_arn.split('/');
    let (api, stage, _method) = (parts.next()?, parts.next()?, parts.next()?);
    let is_method = api.starts_with("arn:")
        && api.split(':').nth(2) == Some("execute-api")
        && !stage.is_empty();
    is_method.then(|| format!("{api}/{stage}/*/*"))
}

/// `arn:…:abcdef/v1/POST/carts/crt_…` becomes `arn:…:abcdef/v1/POST/carts` and
/// `arn:…:abcdef/v1/POST/carts/*`.
fn sibling_routes(method_arn: &str) -> Option<[String; 2]> {
    let mut parts = method_arn.split('/');
    let (api, stage, method, first) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    all_routes(method_arn)?;
    (is_plain(method) && is_plain(first)).then(|| {
        let route = format!("{api}/{stage}/{method}/{first}");
        [route.clone(), format!("{route}/*")]
    })
}

fn malformed() -> Failure {
    Failure::new("MalformedEvent", "methodArn is not the ARN of an API method")
}

/// All values are texts, because the gateway converts numbers to texts anyway.
fn context(claims: &Claims, email_verified: bool) -> Map<String, Value> {
    let mut context = Map::new();
    context.insert("sub".to_owned(), claims.sub.to_string().into());
    context.insert("tv".to_owned(), claims.tv.to_string().into());
    context.insert("exp".to_owned(), claims.exp.to_string().into());
    context.insert("email_verified".to_owned(), email_verified.to_string().into());
    if let Some(session) = claims.sid {
        context.insert("sid".to_owned(), session.to_string().into());
    }
    for (name, value) in [("role", &claims.role), ("name", &claims.name), ("email", &claims.email)]
    {
        if let Some(value) = value {
            context.insert(name.to_owned(), value.as_str().into());
        }
    }
    context
}

fn policy(principal: &str, resources: &[String], context: Map<String, Value>) -> Value {
    json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources }],
        },
        "context": context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: Value) -> AuthorizeRequest {
        let mut event = json!({ "type": "REQUEST", "methodArn": "arn:aws:execute-api:us-east-1:000000000000:abc/v1/GET/orders" });
        event.as_object_mut().unwrap().extend(headers.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn bearer_token_is_found_in_any_letter_case() {
        for headers in [
            json!({ "headers": { "authorization": "Bearer a.b.c" } }),
            json!({ "headers": { "Authorization": "bearer a.b.c" } }),
            json!({ "headers": { "AUTHORIZATION": "BEARER   a.b.c " } }),
            json!({ "headers": null, "multiValueHeaders": { "Authorization": ["Bearer a.b.c"] } }),
            json!({ "headers": { "Authorization": "Bearer a.b.c" }, "multiValueHeaders": { "Authorization": ["Bearer a.b.c"] } }),
            json!({ "headers": { "authorization": "Bearer a.b.c", "x-odd": null }, "multiValueHeaders": { "x-odd": null } }),
        ] {
            assert_eq!(
                authorization(&request(headers.clone())),
                Authorization::Bearer("a.b.c"),
                "{headers}"
            );
        }
    }

    #[test]
    fn other_authorization_headers_are_malformed() {
        for headers in [
            json!({ "headers": { "authorization": "Bearer" } }),
            json!({ "headers": { "authorization": "" } }),
            json!({ "headers": { "authorization": "Basic YTpi" } }),
            json!({ "headers": { "authorization": "a.b.c" } }),
            json!({ "headers": { "authorization": "Bearer\ta.b.c" } }),
            json!({ "multiValueHeaders": { "Authorization": ["Bearer a.b.c", "Bearer a.b.c"] } }),
            json!({ "multiValueHeaders": { "Authorization": ["Bearer a.b.c"], "authorization": ["Bearer d.e.f"] } }),
            json!({ "headers": { "Authorization": "Bearer a.b.c", "authorization": "Bearer d.e.f" } }),
        ] {
            assert_eq!(
                authorization(&request(headers.clone())),
                Authorization::Malformed,
                "{headers}"
            );
        }
        assert_eq!(
            authorization(&request(json!({ "headers": { "authorization": "Bearer " } }))),
            Authorization::Bearer("")
        );
    }

    #[test]
    fn token_in_the_query_is_ignored() {
        for more in
            [json!({}), json!({ "headers": null }), json!({ "headers": { "authorization": null } })]
        {
            assert_eq!(authorization(&request(more)), Authorization::None);
        }
        let query = json!({ "queryStringParameters": { "authorization": "Bearer a.b.c", "access_token": "a.b.c" } });
        assert_eq!(authorization(&request(query)), Authorization::None);
    }

    #[test]
    fn visitor_policy_covers_one_method_of_the_first_part_of_the_path() {
        let api = "arn:aws:execute-api:eu-central-1:123456789012:abcdef/v1";
        let expected = [format!("{api}/POST/carts"), format!("{api}/POST/carts/*")];
        for path in ["carts", "carts/crt_1/changes", "carts/${aws:username}"] {
            assert_eq!(
                sibling_routes(&format!("{api}/POST/{path}")),
                Some(expected.clone()),
                "{path}"
            );
        }
        for invalid in ["POST", "POST/", "POST/*", "*/carts", "POST/${aws:username}"] {
            assert_eq!(sibling_routes(&format!("{api}/{invalid}")), None, "{invalid}");
        }
    }

    #[test]
    fn policy_covers_all_routes_of_its_stage_only() {
        let arn =
            "arn:aws:execute-api:eu-central-1:123456789012:abcdef/v1/POST/orders/ord_1/cancel";
        assert_eq!(
            all_routes(arn).as_deref(),
            Some("arn:aws:execute-api:eu-central-1:123456789012:abcdef/v1/*/*")
        );
        assert_eq!(
            all_routes("arn:aws-cn:execute-api:cn-north-1:1:a/v1/GET/").as_deref(),
            Some("arn:aws-cn:execute-api:cn-north-1:1:a/v1/*/*")
        );
        for invalid in [
            "",
            "*",
            "arn:aws:execute-api:x:1:abc",
            "arn:aws:execute-api:x:1:abc/v1",
            "arn:aws:lambda:x:1:abc/v1/GET",
            "a/b/c",
            "arn:aws:execute-api:x:1:abc//GET/x",
        ] {
            assert_eq!(all_routes(invalid), None, "{invalid}");
        }
    }
}

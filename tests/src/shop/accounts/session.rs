//! The tokens of a logged-in user.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use shared::ids::{PrefixedId, UserId};
use users::tokens::refresh::SessionId;

use crate::{aws::Called, events};

/// The tokens that a login returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub access_token: String,
    pub refresh_token: String,
}

impl Session {
    /// The tokens in an answer, if any.
    pub fn of(called: &Called) -> Option<Self> {
        let body = called.json();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Some(Self { access_token: text("access_token")?, refresh_token: text("refresh_token")? })
    }

    /// The claims of the access token.
    ///
    /// # Panics
    /// If the token is not one of ours.
    pub fn claims(&self) -> Value {
        let part = self.access_token.split('.').nth(1).expect("a token has three parts");
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("a part is base64url"))
            .expect("claims are JSON")
    }

    /// # Panics
    /// If the token is not one of ours.
    pub fn user_id(&self) -> UserId {
        self.claims()["sub"].as_str().and_then(UserId::parse).expect("a token names its user")
    }

    /// # Panics
    /// If the token is not one of ours.
    pub fn id(&self) -> SessionId {
        self.claims()["sid"].as_str().and_then(SessionId::parse).expect("a token names its session")
    }

    /// A request with the context that the authorizer would add.
    pub fn request(&self, request: events::Http) -> Value {
        let claims = self.claims();
        let text = |name: &str| {
            claims[name].as_str().map_or_else(|| claims[name].to_string(), str::to_owned)
        };
        let context: Map<String, Value> = ["sub", "role", "name", "email", "tv", "sid"]
            .into_iter()
            .map(|name| (name.to_owned(), text(name).into()))
            .collect();
        request.authorized(&json!({ "context": context })).event()
    }
}

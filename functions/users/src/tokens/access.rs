//! Access tokens: JSON Web Tokens with a lifetime of 15 minutes (RFC 9068), signed with Ed25519
//! only.
//!
//! Verification relies on configured values (algorithm, type, keys, issuer, audience), never on the
//! token's own claims about them (RFC 8725). Times are compared here, because the JWT crate reads
//! the machine's clock.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use shared::{
    clock::Timestamp,
    ids::{Ids, PrefixedId, UserId},
};

use super::{
    refresh::{SessionId, TokenSubject},
    signing_keys::{CurrentKey, KeyId, SigningKeys},
};

pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The type of JWT access tokens (RFC 9068, section 2.1).
const TYPE: &str = "at+jwt";
/// Far above the longest token that we issue. The limit bounds the cost of a forged one.
const MAX_BYTES: usize = 4096;
/// Maximum difference between the clocks of two machines.
const CLOCK_SKEW_SECONDS: i64 = 5;

/// Issuer and audience of access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`.
    pub name: String,
    /// `aud`.
    pub audience: String,
}

/// Claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: Audience,
    pub sub: UserId,
    /// The role name. A token without a role grants nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Full name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Token version of the user. The token is invalid once the user has another one.
    pub tv: u64,
    /// Session of the token. OpenID Connect Front-Channel Logout, section 3, defines the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// Expiry, in seconds since 1970.
    pub exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

/// One name or several (RFC 7519, section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Why a token is rejected. For the log only; the caller gets no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The key id is well formed but not among our keys, which may be outdated.
    UnknownKey,
    /// Not issued by us, or no longer valid.
    Invalid(&'static str),
}

impl Claims {
    /// Creates the claims of `subject` for one of their sessions.
    pub fn new(
        subject: &TokenSubject,
        session: SessionId,
        issuer: &Issuer,
        ids: &Ids,
        now: Timestamp,
    ) -> Self {
        Self {
            iss: issuer.name.clone(),
            aud: Audience::One(issuer.audience.clone()),
            sub: subject.user_id,
            role: Some(subject.role.clone()),
            name: Some(subject.full_name.clone()),
            email: Some(subject.email.clone()),
            tv: subject.token_version,
            sid: Some(session),
            iat: now.seconds(),
            nbf: None,
            exp: now.plus(LIFETIME).seconds(),
            jti: Some(BASE64_URL_SAFE_NO_PAD.encode(ids.bytes::<16>())),
        }
    }

    /// Signs the claims and returns the token.
    ///
    /// # Errors
    /// If the key is not an Ed25519 key.
    pub fn sign(&self, key: &CurrentKey) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid.to_string());
        jsonwebtoken::encode(&header, self, &key.key)
    }
}

/// Verifies `token` at `now` and returns its claims. The caller checks that the user still exists,
/// is active and has this token version.
///
/// # Errors
/// [`TokenError`], with the reason of the rejection.
pub fn verify(
    token: &str,
    keys: &SigningKeys,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Claims, TokenError> {
    use TokenError::Invalid;

    if token.len() > MAX_BYTES {
        return Err(Invalid("too long"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid("malformed"))?;
    if header.alg != Algorithm::EdDSA {
        return Err(Invalid("another algorithm"));
    }
    if header.typ.as_deref() != Some(TYPE) {
        return Err(Invalid("another type"));
    }
    if header.crit.is_some() {
        return Err(Invalid("a critical extension that is not known"));
    }
    // A malformed key id is rejected before the search for the key, because we cannot have issued
    // it.
    let kid = header.kid.as_deref().and_then(KeyId::parse).ok_or(Invalid("no key of ours"))?;
    let Some(key) = keys.verification_key(kid, now) else {
        return Err(if keys.contains(kid) {
            Invalid("a retired key")
        } else {
            TokenError::UnknownKey
        });
    };

    let claims = jsonwebtoken::decode::<Claims>(token, &key, &signature_only())
        .map_err(|_| Invalid("forged or malformed"))?
        .claims;
    let now = now.seconds();
    let is_for_us = match &claims.aud {
        Audience::One(name) => *name == issuer.audience,
        Audience::Several(names) => names.contains(&issuer.audience),
    };
    if claims.iss != issuer.name || !is_for_us {
        return Err(Invalid("another issuer or audience"));
    }
    // No leeway, because the functions behind the gateway allow none either.
    if claims.exp <= now {
        return Err(Invalid("expired"));
    }
    let not_before = claims.nbf.map_or(claims.iat, |nbf| nbf.max(claims.iat));
    if not_before > now.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(Invalid("from the future"));
    }
    Ok(claims)
}

/// Checks the signature only. [`verify`] checks the claims.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests;

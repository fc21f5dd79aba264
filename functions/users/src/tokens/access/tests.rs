//! Tests of verification: valid, forged, altered and expired tokens, and tokens of another issuer.

use ring::{hmac, rand::SystemRandom, signature};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_milliseconds(1_700_000_000_500);

/// A current and a retired key, and the means to sign any token with them.
struct Fixture {
    keys: SigningKeys,
    issuer: Issuer,
    current: Value,
    retired_seed: String,
    retired_kid: String,
}

impl Fixture {
    fn new() -> Self {
        let ids = Ids::seeded(1);
        let first = SigningKeys::default().rotated(&ids, NOW).unwrap();
        let keys = first.rotated(&ids, NOW).unwrap();
        let old: Value = serde_json::from_str(&first.text()).unwrap();
        let new: Value = serde_json::from_str(&keys.text()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            keys,
            issuer: Issuer { name: "https://issuer".to_owned(), audience: "shop".to_owned() },
            current: new["keys"][1].clone(),
            retired_seed: text(&old["keys"][0]["private"]),
            retired_kid: text(&old["keys"][0]["kid"]),
        }
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.current["kid"] })
    }

    fn claims(&self) -> Value {
        let user = shared::ids::derive::<UserId>(&["ada"]).to_string();
        let now = NOW.seconds();
        json!({
            "iss": "https://issuer", "aud": "shop", "sub": user, "role": "user", "name": "Ada", "email": "ada@example.com",
            "tv": 1, "iat": now, "exp": now + 900, "jti": "x",
        })
    }

    fn seed(&self) -> &str {
        self.current["private"].as_str().unwrap()
    }

    /// Signs a token with any header and claims under the current key.
    fn token(&self, header: &Value, claims: &Value) -> String {
        sign(self.seed(), &header.to_string(), &claims.to_string())
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        self.token(&with(self.header(), name, value), &self.claims())
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        self.token(&self.header(), &with(self.claims(), name, value))
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        verify(token, &self.keys, &self.issuer, NOW)
    }

    #[track_caller]
    fn assert_rejected(&self, token: &str) {
        assert!(self.verify(token).is_err(), "{}", &token[..token.len().min(200)]);
    }

    #[track_caller]
    fn assert_accepted(&self, token: &str) {
        assert_eq!(self.verify(token).map(|_| ()), Ok(()));
    }
}

/// Sets a member, or removes it if `value` is `Null`.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    object
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn sign(seed: &str, header: &str, claims: &str) -> String {
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(
        &BASE64_URL_SAFE_NO_PAD.decode(seed).unwrap(),
    )
    .unwrap();
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(pair.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[test]
fn signed_claims_are_accepted_and_read_back() {
    let fixture = Fixture::new();
    let subject = TokenSubject {
        user_id: shared::ids::derive(&["ada"]),
        version: 3,
        session_epoch: 2,
        token_version: 7,
        role: "admin".to_owned(),
        full_name: "Ada \u{1f600} \"Lovelace\"".to_owned(),
        email: "ada@example.com".to_owned(),
    };
    let claims = Claims::new(
        &subject,
        shared::ids::derive(&["session"]),
        &fixture.issuer,
        &Ids::seeded(5),
        NOW,
    );
    let token = claims.sign(&fixture.keys.current().unwrap()).unwrap();
    assert_eq!(fixture.verify(&token), Ok(claims.clone()));
    assert_eq!(
        (claims.tv, claims.role.as_deref(), claims.exp),
        (7, Some("admin"), NOW.seconds() + 900)
    );
    fixture.assert_accepted(&fixture.token(&fixture.header(), &fixture.claims()));
}

#[test]
fn malformed_encodings_are_rejected() {
    let fixture = Fixture::new();
    let token = fixture.token(&fixture.header(), &fixture.claims());
    let parts: Vec<&str> = token.split('.').collect();
    for invalid in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        parts[0].to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}=="),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{}.{}.{}", parts[0], parts[1], "!".repeat(86)),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..85]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        "a".repeat(100_000),
        format!("{}.{}.{}", parts[0], "A".repeat(100_000), parts[2]),
        fixture.with_claim("name", "x".repeat(100_000).into()),
        "é.ü.ß".to_owned(),
    ] {
        fixture.assert_rejected(&invalid);
    }
}

#[test]
fn algorithms_other_than_ed25519_are_rejected() {
    let fixture = Fixture::new();
    for algorithm in [
        "none", "None", "nOnE", "NONE", "", "eddsa", "Ed25519", "HS256", "HS512", "ES256", "ES384",
        "RS256", "PS256",
    ] {
        fixture.assert_rejected(&fixture.with_header("alg", algorithm.into()));
        let unsigned = format!(
            "{}.{}.",
            encode(with(fixture.header(), "alg", algorithm.into()).to_string()),
            encode(fixture.claims().to_string())
        );
        fixture.assert_rejected(&unsigned);
    }
    for invalid in [Value::Null, json!(5), json!(["EdDSA"])] {
        fixture.assert_rejected(&fixture.with_header("alg", invalid));
    }
}

#[test]
fn public_key_as_hmac_secret_and_foreign_keys_are_rejected() {
    let fixture = Fixture::new();
    let message = |algorithm: &str| {
        let header = with(fixture.header(), "alg", algorithm.into()).to_string();
        format!("{}.{}", encode(header), encode(fixture.claims().to_string()))
    };
    let public = fixture.current["public"].as_str().unwrap();
    let raw = BASE64_URL_SAFE_NO_PAD.decode(public).unwrap();
    let der = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], &raw].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::prelude::BASE64_STANDARD.encode(&der)
    );
    for secret in [&raw[..], public.as_bytes(), &der, pem.as_bytes()] {
        let message = message("HS256");
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        fixture.assert_rejected(&format!("{message}.{}", encode(mac)));
    }

    let random = SystemRandom::new();
    let scheme = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
    let pair = signature::EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap();
    let es384 = message("ES384");
    fixture.assert_rejected(&format!(
        "{es384}.{}",
        encode(pair.sign(&random, es384.as_bytes()).unwrap())
    ));
    fixture.assert_rejected(&format!("{}.{}", message("RS256"), encode([0x55; 256])));

    let foreign_seed = encode([9; 32]);
    fixture.assert_rejected(&sign(
        &foreign_seed,
        &fixture.header().to_string(),
        &fixture.claims().to_string(),
    ));
    let own_key = with(
        fixture.header(),
        "jwk",
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encode([9; 32]) }),
    );
    fixture.assert_rejected(&sign(
        &foreign_seed,
        &own_key.to_string(),
        &fixture.claims().to_string(),
    ));
}

#[test]
fn key_id_must_match_exactly() {
    let fixture = Fixture::new();
    let long = "k".repeat(10_240);
    for kid in ["", "../../dev/null", "' OR 1=1", "key_x", "0", &long] {
        assert!(
            matches!(
                fixture.verify(&fixture.with_header("kid", kid.into())),
                Err(TokenError::Invalid(_))
            ),
            "{kid}"
        );
    }
    for invalid in [Value::Null, json!(0), json!([fixture.current["kid"]]), json!({})] {
        fixture.assert_rejected(&fixture.with_header("kid", invalid));
    }
    let other = shared::ids::derive::<KeyId>(&["another"]).to_string();
    assert_eq!(
        fixture.verify(&fixture.with_header("kid", other.into())),
        Err(TokenError::UnknownKey)
    );
    fixture.assert_rejected(&fixture.with_header("kid", fixture.retired_kid.clone().into()));
}

#[test]
fn retired_key_verifies_until_its_last_token_expires() {
    let fixture = Fixture::new();
    let later = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    let header = with(fixture.header(), "kid", fixture.retired_kid.clone().into());
    let claims = with(fixture.claims(), "exp", (later(1000).seconds()).into());
    let token = sign(&fixture.retired_seed, &header.to_string(), &claims.to_string());
    let at = |now| verify(&token, &fixture.keys, &fixture.issuer, now).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(later(24)), Ok(()));
    assert_eq!(at(later(25)), Err(TokenError::Invalid("a retired key")));
}

#[test]
fn other_token_types_and_critical_headers_are_rejected() {
    let fixture = Fixture::new();
    for invalid in [
        Value::Null,
        json!("JWT"),
        json!("jwt"),
        json!("AT+JWT"),
        json!("application/at+jwt"),
        json!(""),
        json!(1),
    ] {
        fixture.assert_rejected(&fixture.with_header("typ", invalid));
    }
    fixture.assert_rejected(&fixture.with_header("crit", json!(["exp"])));
    fixture.assert_rejected(&fixture.with_header("crit", json!([])));
    fixture.assert_accepted(&fixture.with_header("x-harmless", json!(1)));
}

#[test]
fn token_is_valid_between_not_before_and_expiry() {
    let fixture = Fixture::new();
    let now = NOW.seconds();
    for exp in [
        json!(now),
        json!(now - 1),
        json!(now - 6),
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!((now + 900).to_string()),
        Value::Null,
        json!(true),
        json!([now + 900]),
    ] {
        fixture.assert_rejected(&fixture.with_claim("exp", exp));
    }
    let infinite =
        fixture.claims().to_string().replace(&format!("\"exp\":{}", now + 900), "\"exp\":1e400");
    assert!(infinite.contains("1e400"));
    fixture.assert_rejected(&sign(fixture.seed(), &fixture.header().to_string(), &infinite));
    fixture.assert_accepted(&fixture.with_claim("exp", json!(now + 1)));

    for early in [json!(now + 3600), json!(now + 6), json!(i64::MAX)] {
        fixture.assert_rejected(&fixture.with_claim("nbf", early.clone()));
        fixture.assert_rejected(&fixture.with_claim("iat", early));
    }
    for invalid in [json!("soon"), json!({})] {
        fixture.assert_rejected(&fixture.with_claim("nbf", invalid.clone()));
        fixture.assert_rejected(&fixture.with_claim("iat", invalid));
    }
    fixture.assert_rejected(&fixture.with_claim("iat", Value::Null));
    fixture.assert_accepted(&fixture.with_claim("iat", json!(now + 5)));
    fixture.assert_accepted(&fixture.with_claim("nbf", json!(now - 3600)));
}

#[test]
fn issuer_and_audience_must_match() {
    let fixture = Fixture::new();
    for invalid in [
        json!("https://other"),
        json!("https://issuer/"),
        json!(""),
        json!(["https://issuer"]),
        Value::Null,
    ] {
        fixture.assert_rejected(&fixture.with_claim("iss", invalid));
    }
    for invalid in [
        json!("other"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([["shop"]]),
        json!({ "shop": 1 }),
        Value::Null,
    ] {
        fixture.assert_rejected(&fixture.with_claim("aud", invalid));
    }
    for good in [json!(["shop"]), json!(["other", "shop"])] {
        fixture.assert_accepted(&fixture.with_claim("aud", good));
    }
}

#[test]
fn token_requires_a_user_and_not_a_role() {
    let fixture = Fixture::new();
    for invalid in [
        json!(""),
        json!("ada"),
        json!("ord_0199c2a8-0000-7000-8000-000000000001"),
        json!(1),
        Value::Null,
    ] {
        fixture.assert_rejected(&fixture.with_claim("sub", invalid));
    }
    for invalid in [json!(-1), json!("1"), json!(1.5), Value::Null] {
        fixture.assert_rejected(&fixture.with_claim("tv", invalid));
    }
    for invalid in [json!(1), json!(["admin"]), json!({})] {
        fixture.assert_rejected(&fixture.with_claim("role", invalid));
    }
    assert_eq!(fixture.verify(&fixture.with_claim("role", Value::Null)).unwrap().role, None);
    assert_eq!(
        fixture.verify(&fixture.with_claim("role", "admin admin".into())).unwrap().role.as_deref(),
        Some("admin admin")
    );
    let duplicate_role = fixture.claims().to_string().replacen('{', "{\"role\":\"admin\",", 1);
    fixture.assert_rejected(&sign(fixture.seed(), &fixture.header().to_string(), &duplicate_role));
}

#[test]
fn altered_token_is_rejected() {
    let fixture = Fixture::new();
    let token = fixture.token(&fixture.header(), &fixture.claims());
    let ids = Ids::seeded(42);
    let mut checked = 0;
    for _ in 0..3000 {
        let [kind, high, low, byte, length, ..] = ids.bytes::<8>();
        let position = usize::from(u16::from_be_bytes([high, low])) % token.len();
        let mut forged = token.clone().into_bytes();
        match kind % 5 {
            0 => {
                forged[position] =
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
                        [usize::from(byte) % 66]
            }
            1 => forged[position] ^= 1 << (byte % 7),
            2 => drop(forged.remove(position)),
            3 => forged.insert(position, byte % 128),
            _ => drop(forged.drain(position..(position + usize::from(length)).min(token.len()))),
        }
        let forged = String::from_utf8(forged).unwrap();
        if forged != token {
            checked += 1;
            fixture.assert_rejected(&forged);
        }
    }
    assert!(checked > 2000, "{checked}");
}

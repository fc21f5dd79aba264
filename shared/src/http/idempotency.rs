//! `Idempotency-Key`: the client's name for one request, so that a repetition has no second effect.

use crate::{
    auth::Caller,
    ids::{self, PrefixedId, Uuid},
    problem::Problem,
};

const MAX_BYTES: usize = 255;

/// A key that the client generates: 1 to 255 visible ASCII characters. Each caller and each
/// operation has its own namespace of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(super) fn parse(values: &[&str]) -> Result<Self, Problem> {
        let invalid = || {
            Problem::bad_request("idempotency_key_invalid", "Invalid Idempotency-Key").detail(
                "Send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID.",
            )
        };
        match values {
            [] => Err(Problem::bad_request("idempotency_key_required", "Idempotency-Key required").detail(
                "Generate a unique key, such as a UUID, and send the same key when you repeat the request.",
            )),
            [key] if (1..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self((*key).to_owned())),
            _ => Err(invalid()),
        }
    }

    /// Derives the id of the record that this request creates from caller, operation and key.
    pub fn derive_id<I: PrefixedId>(&self, caller: &Caller, operation: &str) -> I {
        I::from_uuid(self.derive_uuid(caller, operation))
    }

    /// Derives the UUID of [`IdempotencyKey::derive_id`].
    pub fn derive_uuid(&self, caller: &Caller, operation: &str) -> Uuid {
        ids::derive_uuid(&[&caller.user_id.to_string(), operation, &self.0])
    }

    /// 422: the key was used for a different request.
    pub fn reused() -> Problem {
        Problem::unprocessable("idempotency_key_reused", "Idempotency-Key reused")
            .detail("A key names one request. Use a new key for a new request; repeat a request with the same body.")
    }
}

#[cfg(feature = "api-document")]
impl utoipa::IntoParams for IdempotencyKey {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};

        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_BYTES));
        let key = key.pattern(Some("^[!-~]+$")).examples(["0199c2a8-4d1f-7b6e-9c35-1a2b3c4d5e6f"]);
        let about = "A unique key of the request. The same key with the same body returns the first response. Keys are separate per caller and operation.";
        vec![crate::api_document::header("Idempotency-Key", true, key, about)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_visible_ascii_key_is_accepted() {
        let code = |values: &[&str]| {
            IdempotencyKey::parse(values)
                .map(|_| String::new())
                .unwrap_or_else(|problem| problem.code)
        };
        assert_eq!(code(&["a-key"]), "");
        assert_eq!(code(&["k".repeat(255).as_str()]), "");
        assert_eq!(code(&[]), "idempotency_key_required");
        for values in [
            &[""][..],
            &["k".repeat(256).as_str()],
            &["a b"],
            &["a\tb"],
            &["é"],
            &["a\0"],
            &["a", "a"],
        ] {
            assert_eq!(code(values), "idempotency_key_invalid");
        }
    }
}

//! Headers and query parameters that several operations accept.

use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Schema, Type},
    },
};

pub fn header(name: &str, required: bool, schema: impl Into<Schema>, about: &str) -> Parameter {
    parameter(ParameterIn::Header, name, required, schema, about)
}

/// An optional query parameter: no shared parameter is required.
pub fn query(name: &str, schema: impl Into<Schema>, about: &str) -> Parameter {
    parameter(ParameterIn::Query, name, false, schema, about)
}

fn parameter(
    place: ParameterIn,
    name: &str,
    required: bool,
    schema: impl Into<Schema>,
    about: &str,
) -> Parameter {
    let required = if required { Required::True } else { Required::False };
    let schema: Schema = schema.into();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// `If-Match`, required; see [`Request::if_match`](crate::http::Request::if_match).
pub struct IfMatch;

/// `If-Match`, optional; see
/// [`Request::if_match_optional`](crate::http::Request::if_match_optional).
pub struct OptionalIfMatch;

/// `If-None-Match`; see [`Response::unless_matching`](crate::http::Response::unless_matching).
pub struct IfNoneMatch;

/// `X-Cart-Token`; see `orders::carts`.
pub struct CartToken;

impl IntoParams for CartToken {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let token = ObjectBuilder::new().schema_type(Type::String).max_length(Some(100));
        vec![header(
            "X-Cart-Token",
            false,
            token,
            "The `cart_token` of a guest's cart, exactly as received.",
        )]
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "If-Match",
            true,
            entity_tag(),
            "The `ETag` of the version on which the change is based, exactly as received.",
        )]
    }
}

impl IntoParams for OptionalIfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "If-Match",
            false,
            entity_tag(),
            "The `ETag` exactly as received. If it is sent, another version is rejected with `412`.",
        )]
    }
}

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String).examples(["\"3\""]);
        vec![header(
            "If-None-Match",
            false,
            schema,
            "The `ETag` of the cached version. The response is `304` if it is still current.",
        )]
    }
}

fn entity_tag() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^\"(0|[1-9][0-9]*)\"$"))
        .examples(["\"3\""])
}

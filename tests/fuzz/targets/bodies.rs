//! Bodies of requests, in an otherwise valid request: `operation`, then the body.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tests::{api::routes::ROUTES, events};

use crate::{
    fixture::FuzzFixture,
    http,
    input::{choose, first_line, input},
};

fn operations() -> Vec<&'static str> {
    ROUTES.iter().filter(|route| route.body).map(|route| route.operation).collect()
}

pub fn run(fixture: &mut FuzzFixture, input: &[u8]) {
    let (name, body) = first_line(input);
    let operation = choose(&operations(), name);
    let mut event = fixture.api.valid(operation);
    // The gateway encodes what is not text.
    match str::from_utf8(body) {
        Ok(text) => event["body"] = text.into(),
        Err(_) => {
            event["body"] = BASE64_STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    if http::check(fixture, operation, &event).is_some() {
        let is_json = serde_json::from_slice::<Value>(body).is_ok();
        assert!(body.is_empty() || is_json, "{operation} accepts a body that is not JSON");
    }
}

pub fn seeds(fixture: &mut FuzzFixture) -> Vec<Vec<u8>> {
    let of = |operation: &'static str| {
        let valid = fixture.api.body(operation).map(|body| body.to_string());
        let sample = events::sample(operation)["body"].as_str().map(str::to_owned);
        valid.into_iter().chain(sample).map(move |body| input(operation, body))
    };
    operations().into_iter().flat_map(of).collect()
}

//! A test double of the Stripe API that the audit reads: it serves these intents and refunds over
//! HTTP.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::{Value, json};

/// An HTTP server on a local port, which runs until the process ends.
pub struct Double {
    url: String,
}

impl Double {
    /// Starts a server with these objects.
    pub fn open(intents: Vec<Value>, refunds: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &intents, &refunds);
            }
        });
        Self { url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Answers one request of a connection.
fn serve(mut stream: &TcpStream, intents: &[Value], refunds: &[Value]) {
    let lines: Vec<String> = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let Some(target) = lines.first().and_then(|line| line.strip_prefix("GET ")?.split(' ').next())
    else {
        return;
    };
    let is_authorized =
        lines.iter().any(|line| line.to_lowercase().starts_with("authorization: bearer "));
    assert!(
        is_authorized && lines.iter().any(|line| line.starts_with("stripe-version: ")),
        "{lines:?}"
    );
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let answer = match path
        .strip_prefix("/v1/")
        .unwrap_or_default()
        .split('/')
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["payment_intents", "search"] => {
            let found = intents.iter().filter(|intent| {
                query.contains(intent["metadata"]["payment_id"].as_str().unwrap_or("?"))
            });
            Some(json!({ "data": found.collect::<Vec<_>>(), "has_more": false }))
        }
        ["payment_intents", id] => intents.iter().find(|intent| intent["id"] == *id).cloned(),
        ["refunds"] => {
            let of_it = refunds
                .iter()
                .filter(|refund| query.contains(refund["payment_intent"].as_str().unwrap_or("?")));
            Some(json!({ "data": of_it.collect::<Vec<_>>(), "has_more": false }))
        }
        ["disputes"] => Some(
            json!({ "data": intents.iter().filter(|intent| query.contains(intent["id"].as_str().unwrap_or("?"))).filter_map(|intent| intent.get("dispute")).collect::<Vec<_>>(), "has_more": false }),
        ),
        _ => None,
    };
    let (status, body) =
        answer.map_or(("404 Not Found", json!({ "error": {} })), |body| ("200 OK", body));
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
}

//! The program of a release: it invokes its functions on request.

use std::{
    io::{self, BufRead, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};

use super::{
    network_of,
    protocol::{Answer, AwsAnswer, AwsCall, FailureMessage, Outcome, Question, Ready},
};
use crate::{
    aws::Aws,
    shop::{Shop, clock, operation_names},
    template::template,
};

/// The standard input and output of this process.
#[derive(Default)]
pub(crate) struct Connection(Mutex<()>);

impl Connection {
    pub(crate) fn call(&self, call: AwsCall) -> AwsAnswer {
        self.ask(&Answer::Call(call))
    }

    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        self.ask(&Answer::Items { table: table.to_owned() })
    }

    pub(crate) fn item(&self, table: &str, key: &Value) -> Option<Value> {
        self.ask(&Answer::Item { table: table.to_owned(), key: key.clone() })
    }

    fn ask<T: DeserializeOwned>(&self, need: &Answer) -> T {
        let _one_at_a_time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        send(need).expect("the standard output is open");
        receive().expect("the standard input is open").expect("the answer has not ended")
    }
}

fn send(message: &impl Serialize) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(message)?)?;
    output.flush()
}

/// The next line; `None` at the end of the input.
fn receive<T: DeserializeOwned>() -> io::Result<Option<T>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Invokes functions until the input ends.
///
/// # Errors
/// If the input or the output fails.
pub async fn serve() -> io::Result<()> {
    send(&Ready { tables: template().tables(), operations: operation_names() })?;
    let connection = Arc::new(Connection::default());
    let open = || {
        let aws = Aws::remote(connection.clone()).lean();
        Shop::over(aws, Clock::manual(clock().now()))
    };
    let mut shop = open();
    while let Some(question) = receive::<Question>()? {
        let answer = match question {
            Question::Begin => {
                shop = open();
                continue;
            }
            Question::Invoke { operation, event, now, network } => {
                set_clock(&shop, now);
                shop.provider.set_network(network_of(&network));
                let called = shop.call(&operation, event).await;
                called.answer.map_err(|failure| FailureMessage {
                    kind: failure.kind.to_owned(),
                    message: failure.message,
                    is_expected: failure.is_expected,
                })
            }
            Question::DeliverLateCharges { now } => {
                set_clock(&shop, now);
                Ok(json!(shop.provider.deliver_late_charges().await))
            }
        };
        let unwanted_charges = shop.provider.take_unwanted();
        send(&Answer::Done(Outcome { answer, unwanted_charges }))?;
    }
    Ok(())
}

/// Moves the clock of a shop forward.
fn set_clock(shop: &Shop, milliseconds: i64) {
    shop.clock.advance(Timestamp::from_milliseconds(milliseconds).since(shop.clock.now()));
}

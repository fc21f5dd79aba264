//! The messages that a committed change of the table publishes. This file lists all of them.

use serde::Deserialize;
use shared::{
    queue::{Message, MessageContext},
    stream::UnknownState,
};

use crate::{
    domain::{CompiledDocument, Market},
    messages::{CompileMarket, PricingChanged},
};

/// An item whose changes are published.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Published {
    Document(Box<CompiledDocument>),
    Market(Box<Market>),
}

impl Published {
    /// The version, and the last resync.
    fn position(&self) -> (u64, u64) {
        match self {
            Self::Document(document) => (document.version, document.resync_run),
            Self::Market(market) => (market.version, market.resync_run),
        }
    }
}

/// The messages for a change from `old` (`None` if just created) to `new`. Publishes a new version,
/// or the same version again if a resync marked it. Any other write publishes nothing.
///
/// # Errors
/// Never: the status of a market does not decide whether it is compiled.
pub fn messages(old: Option<&Published>, new: &Published) -> Result<Vec<Message>, UnknownState> {
    let (version, run) = new.position();
    // The number of a run is never a version, so the message of each run has another id.
    let event_version = match old.map(Published::position) {
        Some((old_version, old_run)) if old_version >= version && old_run >= run => {
            return Ok(Vec::new());
        }
        Some((old_version, _)) if old_version >= version => run,
        _ => version,
    };
    Ok(vec![match new {
        Published::Market(market) => compile_market(market, event_version),
        Published::Document(document) => pricing_changed(document, event_version),
    }])
}

fn compile_market(market: &Market, event_version: u64) -> Message {
    let context = MessageContext {
        service: "pricing",
        id: market.market.to_string(),
        version: event_version,
        time: market.updated_at,
        trace: market.traceparent.clone(),
    };
    let data = CompileMarket { market: market.market.clone(), version: market.version };
    Message::new("compile-market", "compile_market.v1", &context, &data)
}

fn pricing_changed(compiled: &CompiledDocument, event_version: u64) -> Message {
    let context = MessageContext {
        service: "pricing",
        id: format!("{}/{}", compiled.market, compiled.country),
        version: event_version,
        time: compiled.updated_at,
        trace: compiled.traceparent.clone(),
    };
    let data = PricingChanged {
        market: compiled.market.clone(),
        country: compiled.country.clone(),
        version: compiled.version,
        document: compiled.document.clone(),
    };
    Message::new("replicate-pricing", "pricing_changed.v1", &context, &data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::tests::{germany, later, trace, whole};

    fn market(change: impl FnOnce(&mut Market)) -> Published {
        let mut market = germany();
        change(&mut market);
        Published::Market(Box::new(market))
    }

    fn document(change: impl FnOnce(&mut CompiledDocument)) -> Published {
        let mut document = whole().compile(later(), &trace()).remove(0);
        change(&mut document);
        Published::Document(Box::new(document))
    }

    #[test]
    fn each_version_of_a_market_is_compiled_once() {
        let (first, second) = (market(|_| {}), market(|market| market.version = 2));
        let published = messages(None, &first).unwrap();
        assert_eq!(
            (published[0].queue, published[0].kind),
            ("compile-market", "compile_market.v1")
        );
        assert_eq!(published[0].data, json!({ "market": "de", "version": 1 }));
        let again = messages(Some(&first), &second).unwrap();
        assert_ne!(published[0].id, again[0].id);
        assert_eq!(messages(Some(&second), &second).unwrap(), []);
    }

    #[test]
    fn document_is_published_with_its_version() {
        let published = messages(None, &document(|_| {})).unwrap();
        let message = &published[0];
        assert_eq!((message.queue, message.kind), ("replicate-pricing", "pricing_changed.v1"));
        assert_eq!(message.subject(), "de/DE");
        let members: Vec<&String> = message.data.as_object().unwrap().keys().collect();
        assert_eq!(members, ["country", "document", "market", "version"]);
        assert_eq!(message.data["document"]["shipping_methods"][0]["tax"], "proportional");
        assert_eq!(
            message.data["document"]["promotions"][0]["effect"],
            json!({ "percent_bp": 2500 })
        );
    }

    #[test]
    fn each_resync_publishes_the_same_version_under_another_id() {
        let run = 1_795_254_529_123;
        for versions in [
            [market(|_| {}), market(|market| market.resync_run = run)],
            [document(|_| {}), document(|document| document.resync_run = run)],
        ] {
            let [plain, marked] = &versions;
            let first = messages(None, plain).unwrap();
            let again = messages(Some(plain), marked).unwrap();
            assert_eq!(first[0].data, again[0].data);
            assert_ne!(first[0].id, again[0].id);
            assert_eq!(messages(Some(marked), marked).unwrap(), []);
        }
    }

    #[test]
    fn stored_images_are_read_as_their_kind() {
        let stored = serde_json::to_value(germany()).unwrap();
        assert_eq!(serde_json::from_value::<Published>(stored).unwrap(), market(|_| {}));
        let compiled = whole().compile(later(), &trace()).remove(0);
        let stored = serde_json::to_value(&compiled).unwrap();
        let read: Published = serde_json::from_value(stored).unwrap();
        assert_eq!(read, Published::Document(Box::new(compiled)));
    }
}

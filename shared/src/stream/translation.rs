//! Translates a change of an item into messages and metrics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use crate::{metrics::Measurement, queue::Message};

/// A later release wrote a state whose messages this release does not know. The change goes to the
/// dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{attribute} has the unknown value {state}")]
pub struct UnknownState {
    pub attribute: &'static str,
    pub state: String,
}

/// What the publisher of a table's changes derives from each change, from the old to the new item.
pub struct Translation<T> {
    pub messages: fn(Option<&T>, &T) -> Result<Vec<Message>, UnknownState>,
    /// The business metrics that the change moves. They are recorded after the messages are sent.
    pub measurements: fn(Option<&T>, &T) -> Vec<Measurement>,
}

impl<T> Translation<T> {
    /// Creates a translation to messages, without metrics.
    pub fn to_messages(messages: fn(Option<&T>, &T) -> Result<Vec<Message>, UnknownState>) -> Self {
        Self { messages, measurements: |_, _| Vec::new() }
    }
}

/// Translates images of items. The error is the reason why a change is not publishable.
pub(super) fn translate<T: DeserializeOwned + 'static>(translation: Translation<T>) -> Translate {
    Arc::new(move |old, new| {
        let translated = catch_unwind(AssertUnwindSafe(|| {
            // serde's message can contain a value of the item, so it is not logged.
            let unreadable = || format!("the image is not a {}", std::any::type_name::<T>());
            let read = |image: serde_dynamo::Item| {
                serde_dynamo::from_item::<_, T>(image).map_err(|_| unreadable())
            };
            let (old, new) = (old.map(read).transpose()?, read(new)?);
            let messages = (translation.messages)(old.as_ref(), &new);
            Ok(Publication {
                messages: messages.map_err(|unknown| unknown.to_string())?,
                measurements: (translation.measurements)(old.as_ref(), &new),
            })
        }));
        translated.unwrap_or_else(|_| Err("the translation panicked".to_owned()))
    })
}

/// The messages of one change, and the metrics that it increments.
#[derive(Debug, Default)]
pub(super) struct Publication {
    pub(super) messages: Vec<Message>,
    pub(super) measurements: Vec<Measurement>,
}

pub(super) type Translate = Arc<
    dyn Fn(Option<serde_dynamo::Item>, serde_dynamo::Item) -> Result<Publication, String>
        + Send
        + Sync,
>;

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Deserialize)]
    struct Stored {
        state: String,
    }

    #[test]
    fn unpublishable_change_has_its_reason() {
        let translation = Translation::to_messages(|_, new: &Stored| match new.state.as_str() {
            "open" => Ok(Vec::new()),
            "broken" => panic!("a mistake"),
            state => Err(UnknownState { attribute: "state", state: state.to_owned() }),
        });
        let translate = translate(translation);
        let reason = |item: Value| {
            let item = serde_json::from_value(item).unwrap();
            translate(None, item).map(drop).err().unwrap_or_default()
        };
        let in_state = |state: &str| reason(json!({ "state": { "S": state } }));
        assert_eq!(in_state("open"), "");
        assert_eq!(in_state("picking"), "state has the unknown value picking");
        assert_eq!(in_state("broken"), "the translation panicked");
        assert!(reason(json!({})).starts_with("the image is not a "));
    }
}

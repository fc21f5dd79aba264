//! CodeDeploy in memory: one deployment of a new version, and the version's answer to the check.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Name and version of the function that every deployment is about.
pub const FUNCTION: &str = "ferrocart-create-order";
pub const VERSION: &str = "7";

/// Deployments, and the invocations of new versions.
#[derive(Default)]
pub struct CodeDeploy {
    /// Status code and body of the version's answer.
    answer: Mutex<Option<(u16, Value)>>,
    /// Reported statuses, by hook execution.
    statuses: Mutex<Vec<(String, String)>>,
    /// Invoked versions with their events.
    invocations: Mutex<Vec<(String, Value)>>,
}

impl CodeDeploy {
    /// From now on the new version answers with this status code and body. By default it is ready.
    pub fn answer_with(&self, status: u16, body: Value) {
        *lock(&self.answer) = Some((status, body));
    }

    /// The reported statuses: hook execution and `Succeeded` or `Failed`.
    pub fn statuses(&self) -> Vec<(String, String)> {
        lock(&self.statuses).clone()
    }

    /// The invocations: path with the version, and the event.
    pub fn invocations(&self) -> Vec<(String, Value)> {
        lock(&self.invocations).clone()
    }

    pub(crate) fn call(&self, operation: &str, request: &Value) -> (u16, String) {
        let body = match operation {
            "GetDeployment" => json!({ "deploymentInfo": {
                "applicationName": "ferrocart-orders",
                "revision": { "revisionType": "String", "string": { "sha256": "0a" } },
            } }),
            "GetApplicationRevision" => {
                let properties = json!({ "Name": FUNCTION, "Alias": "live", "CurrentVersion": "6", "TargetVersion": VERSION });
                let resource = json!({ "Type": "AWS::Lambda::Function", "Properties": properties });
                let content = json!({ "version": 0.0, "Resources": [{ FUNCTION: resource }] });
                json!({ "revision": { "revisionType": "String", "string": { "content": content.to_string() } } })
            }
            _ => {
                let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
                lock(&self.statuses).push((text("lifecycleEventHookExecutionId"), text("status")));
                json!({})
            }
        };
        (200, body.to_string())
    }

    /// Answers an invocation of the new version.
    pub(crate) fn invoke(&self, path: &str, event: &Value) -> (u16, String) {
        lock(&self.invocations).push((path.to_owned(), event.clone()));
        let ready = json!({ "ready": true, "checked": ["table ferrocart-orders"], "not_checked": [], "missing": [] });
        let (status, body) = lock(&self.answer).clone().unwrap_or((200, ready));
        (status, body.to_string())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Secrets Manager in memory: fixed secrets, and the version stages that a rotation needs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use shared::clock::Timestamp;

use crate::template::{STACK, Template};

/// Date of the last change of every secret, in seconds: the start of the scenarios.
const STARTED_AT: u32 = 1_795_255_200;

/// The secrets and their pending state.
pub struct SecretsManager {
    secrets: Mutex<BTreeMap<String, Secret>>,
    /// A secret and the version that becomes current at the next `PutSecretValue`.
    overtaking: Mutex<Option<(String, String)>>,
}

impl Clone for SecretsManager {
    fn clone(&self) -> Self {
        let overtaking = self.overtaking.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { secrets: Mutex::new(self.lock().clone()), overtaking: Mutex::new(overtaking) }
    }
}

/// One secret: its versions, and which version each stage (`AWSCURRENT`, `AWSPENDING`, ...) labels.
#[derive(Clone, Default)]
struct Secret {
    versions: BTreeMap<String, Option<String>>,
    stages: BTreeMap<String, String>,
}

impl SecretsManager {
    /// The secrets of `template`. Where AWS would generate the value, it is a fixed text of 64
    /// characters.
    pub fn new(template: &Template) -> Self {
        let secrets = Self { secrets: Mutex::default(), overtaking: Mutex::default() };
        for (_, resource) in template.resources("AWS::SecretsManager::Secret") {
            let properties = template.resolve(&resource["Properties"]);
            let name = properties["Name"].as_str().unwrap_or_default().to_owned();
            let text = properties["SecretString"]
                .as_str()
                .map_or_else(|| generated(&name, &properties), str::to_owned);
            secrets.set(&name, &text);
        }
        secrets
    }

    /// Sets the value of a secret (`ferrocart/signing-key`, or `signing-key`).
    pub fn set(&self, name: &str, text: &str) {
        let mut secrets = self.lock();
        let secret = secrets.entry(full_name(name)).or_default();
        let version = format!("version-{:0>24}", secret.versions.len() + 1);
        secret.versions.insert(version.clone(), Some(text.to_owned()));
        secret.stages.insert("AWSCURRENT".to_owned(), version);
    }

    /// The current value of a secret.
    pub fn text(&self, name: &str) -> Option<String> {
        let secrets = self.lock();
        let secret = secrets.get(&full_name(name))?;
        secret.versions.get(secret.stages.get("AWSCURRENT")?)?.clone()
    }

    /// Rotates a server key like `localstack/keys.py`, keeping the previous key.
    pub fn rotate_server_key(&self, name: &str, new: &str, now: Timestamp) {
        let text = self.text(name).unwrap_or_default();
        let secret: Value = serde_json::from_str(&text).unwrap_or_default();
        self.set(
            name,
            &json!({ "current": new, "previous": secret["current"], "rotated_at": now })
                .to_string(),
        );
    }

    /// Starts a rotation like Secrets Manager: an empty version labelled `AWSPENDING`.
    pub fn begin_rotation(&self, name: &str, token: &str) {
        let mut secrets = self.lock();
        let secret = secrets.entry(full_name(name)).or_default();
        secret.versions.insert(token.to_owned(), None);
        secret.stages.insert("AWSPENDING".to_owned(), token.to_owned());
    }

    /// Simulates a concurrent rotation that finishes first: makes a version current at the next
    /// `PutSecretValue`.
    pub fn overtake(&self, name: &str, token: &str) {
        *self.overtaking.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((full_name(name), token.to_owned()));
    }

    pub(crate) fn call(&self, operation: &str, request: &Value) -> (u16, String) {
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let name = full_name(&text("SecretId"));
        let mut secrets = self.lock();
        let Some(secret) = secrets.get_mut(&name) else { return not_found() };
        if operation == "PutSecretValue"
            && let Some((_, token)) = self
                .overtaking
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_if(|(overtaken, _)| *overtaken == name)
        {
            secret.stages.insert("AWSCURRENT".to_owned(), token);
        }
        match operation {
            "GetSecretValue" => {
                let stage = request["VersionStage"].as_str().unwrap_or("AWSCURRENT");
                let by_stage = || secret.stages.get(stage).cloned();
                let version = request["VersionId"].as_str().map(str::to_owned).or_else(by_stage).unwrap_or_default();
                match secret.versions.get(&version) {
                    Some(Some(value)) => ok(&json!({ "ARN": name, "Name": name, "VersionId": version, "SecretString": value })),
                    _ => not_found(),
                }
            }
            "PutSecretValue" => {
                let token = text("ClientRequestToken");
                if matches!(secret.versions.get(&token), Some(Some(_))) {
                    let message = "A version with this token exists, with another text.";
                    return (400, json!({ "__type": "ResourceExistsException", "Message": message }).to_string());
                }
                secret.versions.insert(token.clone(), Some(text("SecretString")));
                for stage in request["VersionStages"].as_array().unwrap_or(&vec!["AWSCURRENT".into()]) {
                    secret.stages.insert(stage.as_str().unwrap_or_default().to_owned(), token.clone());
                }
                ok(&json!({ "ARN": name, "Name": name, "VersionId": token }))
            }
            "DescribeSecret" => {
                let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for (stage, version) in &secret.stages {
                    versions.entry(version).or_default().push(stage);
                }
                ok(&json!({ "ARN": name, "Name": name, "RotationEnabled": true, "VersionIdsToStages": versions, "LastChangedDate": STARTED_AT }))
            }
            "UpdateSecretVersionStage" => {
                let (stage, version) = (text("VersionStage"), text("MoveToVersionId"));
                let marked = secret.stages.get(&stage).map_or("", String::as_str);
                if marked != request["RemoveFromVersionId"].as_str().unwrap_or_default() {
                    let message = "The parameter RemoveFromVersionId can't be empty, or names a version without this staging label.";
                    return (400, json!({ "__type": "InvalidParameterException", "Message": message }).to_string());
                }
                if stage == "AWSCURRENT"
                    && let Some(previous) = secret.stages.get(&stage).cloned()
                {
                    secret.stages.insert("AWSPREVIOUS".to_owned(), previous);
                    secret.stages.retain(|name, marked| name != "AWSPENDING" || *marked != version);
                }
                secret.stages.insert(stage, version);
                ok(&json!({ "ARN": name, "Name": name }))
            }
            other => (400, json!({ "__type": "InvalidRequestException", "Message": format!("{other} is not supported") }).to_string()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value of 64 characters, inserted into the template of the generated secret if there is one.
fn generated(name: &str, properties: &Value) -> String {
    let text = format!("{name:x<64}");
    let generation = &properties["GenerateSecretString"];
    let around = generation["SecretStringTemplate"]
        .as_str()
        .and_then(|template| serde_json::from_str::<Value>(template).ok());
    match (around, generation["GenerateStringKey"].as_str()) {
        (Some(mut around), Some(member)) => {
            around[member] = text.into();
            around.to_string()
        }
        _ => text,
    }
}

/// The full name of a secret, with the stack name, from a name or an ARN. ARNs end in six
/// characters that AWS appends.
fn full_name(name: &str) -> String {
    let name = match name.split_once(":secret:") {
        Some((_, name)) => name.rsplit_once('-').map_or(name, |(name, _)| name),
        None => name,
    };
    let prefix = format!("{STACK}/");
    if name.starts_with(&prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn ok(answer: &Value) -> (u16, String) {
    (200, answer.to_string())
}

fn not_found() -> (u16, String) {
    (400, json!({ "__type": "ResourceNotFoundException", "Message": "Secrets Manager can't find the specified secret." }).to_string())
}

//! Checks a new version of a function before CodeDeploy gives it traffic.
//!
//! CodeDeploy names only the deployment. Its revision, an AppSpec document, names the function and
//! the new version.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_codedeploy::types::LifecycleEventStatus;
use aws_sdk_lambda::primitives::Blob;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{BoxFuture, aws, release::Report, telemetry};

/// Timeouts of the invocation of a new version, with its cold start: of one attempt, and of all. A
/// deployment checks all functions at the same time, so Lambda may throttle an attempt. The timeout
/// of `check-release` is longer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
const CHECK_TIMEOUT: Duration = Duration::from_secs(45);

/// Reads deployments, and invokes new versions.
pub struct Releases {
    codedeploy: aws_sdk_codedeploy::Client,
    lambda: aws_sdk_lambda::Client,
}

/// A version of a function that a deployment is to release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    pub function: String,
    pub version: String,
}

/// A call to CodeDeploy that failed, or a revision that names no version.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed: {cause}")]
pub struct ReleaseError {
    step: &'static str,
    cause: String,
}

/// The part of an AppSpec document that names the new version. Source: "AppSpec 'resources' section
/// (AWS Lambda deployments only)", AWS CodeDeploy User Guide.
#[derive(Deserialize)]
struct AppSpec {
    #[serde(rename = "Resources")]
    resources: Vec<BTreeMap<String, Resource>>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "Properties")]
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    name: String,
    target_version: String,
}

impl Releases {
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            codedeploy: aws_sdk_codedeploy::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(&aws::with_patience(
                config,
                ATTEMPT_TIMEOUT,
                CHECK_TIMEOUT,
            )),
        }
    }

    /// Returns the version that a deployment gives traffic to.
    ///
    /// # Errors
    /// If CodeDeploy does not answer, or the revision is not that of a function.
    pub fn new_version<'a>(
        &'a self,
        deployment_id: &'a str,
    ) -> BoxFuture<'a, Result<NewVersion, ReleaseError>> {
        Box::pin(async move {
            let failed = |step| move |cause| ReleaseError { step, cause };
            let found = self.codedeploy.get_deployment().deployment_id(deployment_id).send().await;
            let found =
                found.map_err(|error| failed("GetDeployment")(telemetry::causes(&error)))?;
            let deployment = found
                .deployment_info
                .ok_or_else(|| failed("GetDeployment")("the deployment is empty".to_owned()))?;
            // GetDeployment returns only the digest of the revision.
            let call = self
                .codedeploy
                .get_application_revision()
                .set_application_name(deployment.application_name)
                .set_revision(deployment.revision);
            let found = call.send().await;
            let found = found
                .map_err(|error| failed("GetApplicationRevision")(telemetry::causes(&error)))?;
            let revision = found.revision.as_ref();
            let content = revision.and_then(|revision| {
                let text = revision.string().and_then(|text| text.content());
                text.or_else(|| revision.app_spec_content().and_then(|text| text.content()))
            });
            content.and_then(version_in).ok_or_else(|| {
                failed("GetApplicationRevision")("the revision names no version".to_owned())
            })
        })
    }

    /// Invokes the check of a version. A version that does not start or does not answer is not
    /// ready.
    pub fn check<'a>(&'a self, new: &'a NewVersion) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let call = self
                .lambda
                .invoke()
                .function_name(&new.function)
                .qualifier(&new.version)
                .payload(Blob::new(json!({ "check": "release" }).to_string()));
            let answer = match call.send().await {
                Ok(answer) => answer,
                Err(error) => return Report::not_ready(&telemetry::causes(&error)),
            };
            let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
            if answer.function_error.is_some() {
                let error: Value = serde_json::from_slice(&payload).unwrap_or_default();
                let message = error["errorMessage"].as_str().unwrap_or("no message");
                return Report::not_ready(&format!("the version does not start: {message}"));
            }
            serde_json::from_slice(&payload)
                .unwrap_or_else(|_| Report::not_ready("the version does not implement the check"))
        })
    }

    /// Reports to CodeDeploy whether the version may get traffic.
    ///
    /// # Errors
    /// If CodeDeploy does not answer. It then waits, and fails the deployment after an hour.
    pub fn report<'a>(
        &'a self,
        deployment_id: &'a str,
        hook_execution_id: &'a str,
        ready: bool,
    ) -> BoxFuture<'a, Result<(), ReleaseError>> {
        Box::pin(async move {
            let status =
                if ready { LifecycleEventStatus::Succeeded } else { LifecycleEventStatus::Failed };
            let call = self
                .codedeploy
                .put_lifecycle_event_hook_execution_status()
                .deployment_id(deployment_id)
                .lifecycle_event_hook_execution_id(hook_execution_id)
                .status(status);
            let step = "PutLifecycleEventHookExecutionStatus";
            let put = call.send().await.map(|_| ());
            put.map_err(|error| ReleaseError { step, cause: telemetry::causes(&error) })
        })
    }
}

/// Returns the version in an AppSpec document. A deployment of a function has one resource.
fn version_in(app_spec: &str) -> Option<NewVersion> {
    let AppSpec { resources } = serde_json::from_str(app_spec).ok()?;
    let [resources] = <[_; 1]>::try_from(resources).ok()?;
    let mut resources = resources.into_values();
    let (Some(resource), None) = (resources.next(), resources.next()) else { return None };
    let Properties { name, target_version } = resource.properties;
    Some(NewVersion { function: name, version: target_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An AppSpec document as CloudFormation writes it, with these resources.
    fn app_spec(resources: &Value) -> String {
        let hooks = json!([{ "BeforeAllowTraffic": "shop-check-release" }]);
        json!({ "version": 0.0, "Resources": resources, "Hooks": hooks }).to_string()
    }

    fn function(version: &Value) -> Value {
        json!({ "Type": "AWS::Lambda::Function", "Properties": {
            "Name": "shop-create-order", "Alias": "live", "CurrentVersion": "6", "TargetVersion": version } })
    }

    #[test]
    fn new_version_is_the_target_of_the_app_spec() {
        let resources = json!([{ "shop-create-order": function(&json!("7")) }]);
        let expected =
            NewVersion { function: "shop-create-order".to_owned(), version: "7".to_owned() };
        assert_eq!(version_in(&app_spec(&resources)), Some(expected));
    }

    #[test]
    fn app_spec_without_exactly_one_version_is_rejected() {
        let seven = function(&json!("7"));
        for resources in [
            json!([]),
            json!([{}]),
            json!([{ "one": seven, "other": seven }]),
            json!([{ "one": seven }, { "other": seven }]),
            json!([{ "one": function(&Value::Null) }]),
            json!([{ "one": { "Type": "AWS::ECS::Service", "Properties": { "TaskDefinition": "x" } } }]),
        ] {
            assert_eq!(version_in(&app_spec(&resources)), None, "{resources}");
        }
        assert_eq!(version_in("version: 0.0"), None);
    }
}

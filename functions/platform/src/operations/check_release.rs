//! CodeDeploy's hook before traffic: checks a new version of any function.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{aws, invoke::Call, lambda::Failure, release::Report};

use crate::{Platform, releases::Releases};

/// The event that CodeDeploy sends to a hook.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckRelease {
    deployment_id: String,
    lifecycle_event_hook_execution_id: String,
}

/// The version that was checked, and the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedRelease {
    /// `None` if the deployment could not be read.
    pub version: Option<String>,
    pub function: Option<String>,
    #[serde(flatten)]
    pub report: Report,
}

/// Invokes the check of the new version and reports the result to CodeDeploy. A version that is not
/// ready gets no traffic.
///
/// # Errors
/// `CodeDeployFailed` if the result could not be reported.
pub async fn check_release(
    platform: Arc<Platform>,
    call: Call<CheckRelease>,
) -> Result<CheckedRelease, Failure> {
    let CheckRelease { deployment_id, lifecycle_event_hook_execution_id } = call.event;
    let releases = platform.releases.get_or_init(|| Releases::new(&aws::sdk_config()));
    let checked = match releases.new_version(&deployment_id).await {
        Ok(new) => {
            let report = releases.check(&new).await;
            CheckedRelease { version: Some(new.version), function: Some(new.function), report }
        }
        Err(error) => {
            let report = Report::not_ready(&error.to_string());
            CheckedRelease { version: None, function: None, report }
        }
    };
    let CheckedRelease { version, function, report } = &checked;
    if !report.ready {
        let (function, version) = (function.as_deref(), version.as_deref());
        let missing = report.missing.join("; ");
        tracing::error!(
            deployment_id,
            function,
            version,
            missing,
            "release check failed, version gets no traffic"
        );
    }
    releases
        .report(&deployment_id, &lifecycle_event_hook_execution_id, report.ready)
        .await
        .map_err(|error| Failure::from_error("CodeDeployFailed", &error))?;
    Ok(checked)
}

//! `GET /health` and the paths below it: returns whether the shop, or one of its services, can work.

use std::sync::Arc;

use lambda_http::http::StatusCode;
use serde::Serialize;
use shared::{
    clock::Timestamp,
    http::{Request, Response},
    problem::Problem,
};

use crate::{
    Platform,
    health::{Health, HealthByService, HealthRecord, Release},
    services::SERVICES,
};

/// Answers `200` if all services are healthy, otherwise `503` with the names of the others. The
/// result is up to a minute old. Without a result of the last three minutes the answer is `503`
/// `health_unknown`.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/health",
    responses(
        (status = 200, description = "All services are healthy.", body = ShopView),
        (status = 503, description = "Some services are unhealthy, or the health is unknown.", body = ShopView),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["health_unknown"]))),
))]
pub async fn get_health(platform: Arc<Platform>, request: Request) -> Result<Response, Problem> {
    let path = request.resource();
    let service = request.path_parameter("service").map(known_service).transpose()?;
    if path == "/health/live" {
        return Ok(shared::http::ok(&LivenessView { status: "live" }));
    }
    let record = current_record(&platform).await?;
    let unhealthy = record.unhealthy();
    if path == "/health/ready" {
        let status = if unhealthy.is_empty() { "ready" } else { "not_ready" };
        return Ok(answer(unhealthy.is_empty(), &ReadinessView { status }));
    }
    let Some(service) = service else {
        return Ok(answer(unhealthy.is_empty(), &ShopView::from(&record)));
    };
    let is_healthy = !unhealthy.iter().any(|name| name == service);
    let status = if is_healthy { Health::Healthy } else { Health::Unhealthy };
    Ok(answer(is_healthy, &ServiceView { service, status }))
}

fn known_service(name: &str) -> Result<&'static str, Problem> {
    let service = SERVICES.iter().find(|service| service.name == name);
    service.map(|service| service.name).ok_or_else(|| Problem::not_found("service"))
}

/// Returns the stored record.
///
/// # Errors
/// 503 if it is missing, too old or cannot be read.
async fn current_record(platform: &Platform) -> Result<HealthRecord, Problem> {
    let unknown = || {
        let title = "Health unknown";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "health_unknown", title)
            .detail("No check of the last three minutes has a result. Ask again in a minute.")
            .retry_after(60)
    };
    let record = platform.store.health().await.map_err(|error| unknown().caused_by(&error))?;
    record.filter(|record| record.is_current(platform.clock.now())).ok_or_else(unknown)
}

fn answer(is_healthy: bool, view: &impl Serialize) -> Response {
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Response::json(status, view)
}

/// The health of the shop.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = ShopHealth))]
struct ShopView<'a> {
    #[cfg_attr(feature = "api-document", schema(schema_with = shop_status))]
    status: &'static str,
    /// The unhealthy services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unhealthy: Vec<String>,
    /// The health of each service.
    #[cfg_attr(feature = "api-document", schema(value_type = std::collections::BTreeMap<String, Health>))]
    services: HealthByService,
    /// Time of the check.
    checked_at: Timestamp,
    /// The release that is deployed; absent if none is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api-document", schema(nullable = false))]
    release: Option<&'a Release>,
}

impl<'a> From<&'a HealthRecord> for ShopView<'a> {
    fn from(record: &'a HealthRecord) -> Self {
        let unhealthy = record.unhealthy();
        Self {
            status: if unhealthy.is_empty() { "healthy" } else { "degraded" },
            unhealthy,
            services: record.by_service(),
            checked_at: record.checked_at,
            release: record.release.as_ref(),
        }
    }
}

/// The health of one service.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = ServiceHealth))]
struct ServiceView<'a> {
    service: &'a str,
    status: Health,
}

/// Whether the shop accepts work.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = Readiness))]
struct ReadinessView {
    #[cfg_attr(feature = "api-document", schema(schema_with = readiness_status))]
    status: &'static str,
}

/// Whether the API answers.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = Liveness))]
struct LivenessView {
    #[cfg_attr(feature = "api-document", schema(schema_with = liveness_status))]
    status: &'static str,
}

#[cfg(feature = "api-document")]
mod statuses {
    use shared::api_document::one_of;
    use utoipa::openapi::{RefOr, schema::Schema};

    pub(super) fn shop_status() -> RefOr<Schema> {
        one_of("Whether all services are healthy.", &["healthy", "degraded"]).build_for::<String>()
    }

    pub(super) fn readiness_status() -> RefOr<Schema> {
        one_of("Whether all services are healthy.", &["ready", "not_ready"]).build_for::<String>()
    }

    pub(super) fn liveness_status() -> RefOr<Schema> {
        one_of("Always `live`.", &["live"]).build_for::<String>()
    }
}

#[cfg(feature = "api-document")]
use statuses::{liveness_status, readiness_status, shop_status};

/// Answers `200` as long as the API answers. It reads nothing.
#[cfg(feature = "api-document")]
#[expect(dead_code, reason = "an operation with several routes describes each of them")]
#[utoipa::path(
    get,
    path = "/health/live",
    responses((status = 200, description = "The API answers.", body = LivenessView)),
    security(()),
    extensions(("x-roles" = json!(["anonymous"]))),
)]
fn get_health_live() {}

/// Answers `200` if all services are healthy, otherwise `503`.
#[cfg(feature = "api-document")]
#[expect(dead_code, reason = "an operation with several routes describes each of them")]
#[utoipa::path(
    get,
    path = "/health/ready",
    responses(
        (status = 200, description = "All services are healthy.", body = ReadinessView),
        (status = 503, description = "Some services are unhealthy, or the health is unknown.", body = ReadinessView),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["health_unknown"]))),
)]
fn get_health_ready() {}

/// Answers `200` if the service is healthy, otherwise `503`.
#[cfg(feature = "api-document")]
#[expect(dead_code, reason = "an operation with several routes describes each of them")]
#[utoipa::path(
    get,
    path = "/health/{service}",
    params(("service" = String, Path, description = "The service.", example = "orders")),
    responses(
        (status = 200, description = "The service is healthy.", body = ServiceView),
        (status = 503, description = "The service is unhealthy, or its health is unknown.", body = ServiceView),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["health_unknown", "service_not_found"]))),
)]
fn get_health_of_service() {}

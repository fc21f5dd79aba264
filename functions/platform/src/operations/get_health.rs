//! `GET /health` and `GET /health/{service}`: returns the health of all services or of one.

use std::sync::Arc;

use lambda_http::http::StatusCode;
use serde::Serialize;
use shared::{
    http::{Request, Response},
    problem::Problem,
};

use crate::{
    Platform,
    health::{Health, HealthByService},
};

/// Returns `200` if all services are healthy, otherwise `503` with the names of the unhealthy ones.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/health",
    responses(
        (status = 200, description = "All services are healthy.", body = ShopView),
        (status = 503, description = "At least one service is unhealthy.", body = ShopView),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"]))),
))]
pub async fn get_health(platform: Arc<Platform>, request: Request) -> Result<Response, Problem> {
    let statuses = platform.checks.all().await;
    let Some(service) = request.path_parameter("service") else {
        return Ok(answer(&ShopView::from(&statuses), statuses.values()));
    };
    let (&service, &status) =
        statuses.get_key_value(service).ok_or_else(|| Problem::not_found("service"))?;
    Ok(answer(&ServiceView { service, status }, [status].iter()))
}

fn answer<'a>(view: &impl Serialize, mut statuses: impl Iterator<Item = &'a Health>) -> Response {
    let healthy = statuses.all(|health| *health == Health::Healthy);
    Response::json(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, view)
}

/// The health of all services.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = ShopHealth))]
struct ShopView {
    #[cfg_attr(feature = "api-document", schema(schema_with = shop_status))]
    status: &'static str,
    /// Names of the unhealthy services. Omitted if all services are healthy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unhealthy: Vec<&'static str>,
    /// The health of each service, by its name.
    #[cfg_attr(feature = "api-document", schema(value_type = std::collections::BTreeMap<String, Health>))]
    services: HealthByService,
}

impl From<&HealthByService> for ShopView {
    fn from(statuses: &HealthByService) -> Self {
        let unhealthy: Vec<_> = statuses
            .iter()
            .filter(|(_, health)| **health == Health::Unhealthy)
            .map(|(name, _)| *name)
            .collect();
        Self {
            status: if unhealthy.is_empty() { "healthy" } else { "degraded" },
            unhealthy,
            services: statuses.clone(),
        }
    }
}

/// The health of one service.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "api-document", derive(utoipa::ToSchema), schema(as = ServiceHealth))]
struct ServiceView {
    service: &'static str,
    status: Health,
}

#[cfg(feature = "api-document")]
fn shop_status() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    shared::api_document::one_of("Whether all services are healthy.", &["healthy", "degraded"])
        .build_for::<String>()
}

/// Returns `200` if the service is healthy, otherwise `503`.
#[cfg(feature = "api-document")]
#[expect(dead_code, reason = "an operation with two routes is described twice")]
#[utoipa::path(
    get,
    path = "/health/{service}",
    params(("service" = String, Path, description = "Name of the service.", example = "orders")),
    responses(
        (status = 200, description = "The service is healthy.", body = ServiceView),
        (status = 503, description = "The service is unhealthy.", body = ServiceView),
    ),
    security(()),
    extensions(("x-roles" = json!(["anonymous"])), ("x-problems" = json!(["service_not_found"]))),
)]
fn get_health_of_service() {}

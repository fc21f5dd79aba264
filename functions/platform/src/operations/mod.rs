//! The operations of this service: one file for each function.

pub mod check_health;
pub mod check_release;
pub mod get_docs;
pub mod get_health;

shared::operations! {
    Platform:
    pages get_docs(
        "/", "/docs", "/docs/{service}", "/openapi.json", "/openapi-3.0.json", "/problems",
        "/problems/{code}", "/assets/{file}"
    );
    http get_health(
        GET "/health", Public;
        GET "/health/live", Public, get_health_live;
        GET "/health/ready", Public, get_health_ready;
        GET "/health/{service}", Public, get_health_of_service
    );
    invoke check_health();
    invoke check_release();
}

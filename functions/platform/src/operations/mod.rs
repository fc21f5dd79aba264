//! The operations of this service: one file for each function.

pub mod check_release;
pub mod get_health;

shared::operations! {
    Platform:
    http get_health(GET "/health", Public; GET "/health/{service}", Public, get_health_of_service);
    invoke check_release();
}

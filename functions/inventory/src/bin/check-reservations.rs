//! The function `check-reservations`; see [`inventory::operations::check_reservations`].

fn main() -> Result<(), lambda_http::Error> {
    inventory::operations::run::check_reservations()
}

//! The function `resume-orders`; see [`orders::operations::resume_orders`].

fn main() -> Result<(), lambda_http::Error> {
    orders::operations::run::resume_orders()
}

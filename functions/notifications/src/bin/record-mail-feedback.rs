//! The function `record-mail-feedback`; see [`notifications::operations::record_mail_feedback`].

fn main() -> Result<(), lambda_http::Error> {
    notifications::operations::run::record_mail_feedback()
}

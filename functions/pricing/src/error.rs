//! Errors of pricing and their problem responses.

use shared::{
    address::CountryCode, http::IdempotencyKey, market::MarketId, problem::Problem,
    secret::SecretError, table::TableError,
};

use lambda_http::http::StatusCode;

use crate::{
    domain::{PromotionRefusal, Refusal},
    validation::MAX_DOCUMENT_BYTES,
};

#[derive(Debug, thiserror::Error)]
pub enum PricingError {
    #[error("market not found")]
    MarketNotFound,
    #[error("shipping method not found")]
    ShippingMethodNotFound,
    #[error("tax rate not found")]
    TaxRateNotFound,
    #[error("promotion not found")]
    PromotionNotFound,
    /// Another market has this id.
    #[error("another market has this id")]
    MarketExists,
    /// The market to be deleted has rules.
    #[error("the market has rules")]
    MarketNotEmpty,
    /// A promotion names a market that does not exist.
    #[error("the market {0} does not exist")]
    UnknownMarket(MarketId),
    /// Another market serves the country.
    #[error("another market serves {0}")]
    CountryTaken(CountryCode),
    /// The rates of a tax rule contradict its treatment.
    #[error("the rates contradict the treatment")]
    RatesOfTreatment,
    #[error(transparent)]
    Promotion(#[from] PromotionRefusal),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The document of a country would exceed its limit.
    #[error("the document of the market {market} for {country} is too large")]
    DocumentTooLarge { market: MarketId, country: CountryCode },
    /// The change is based on an outdated version.
    #[error("the resource has changed: it is in version {current}")]
    Stale { current: u64 },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A concurrent change of a market came first at every attempt.
    #[error("another change of the market came first at every attempt")]
    Contended,
    #[error("the table of prices failed")]
    Table(#[from] TableError),
    /// The key that seals cursors is unavailable.
    #[error("the key of cursors could not be read")]
    Secret(#[from] SecretError),
}

impl From<PricingError> for Problem {
    fn from(error: PricingError) -> Self {
        match error {
            PricingError::MarketNotFound => Self::not_found("market"),
            PricingError::ShippingMethodNotFound => Self::new(
                StatusCode::NOT_FOUND,
                "shipping_method_not_found",
                "Shipping method not found",
            ),
            PricingError::TaxRateNotFound => {
                Self::new(StatusCode::NOT_FOUND, "tax_rate_not_found", "Tax rate not found")
            }
            PricingError::PromotionNotFound => Self::not_found("promotion"),
            PricingError::MarketExists => Self::conflict("market_exists", "Market already exists")
                .detail("Choose another id, or change the market that has it."),
            PricingError::MarketNotEmpty => Self::conflict("market_not_empty", "Market not empty")
                .detail("Delete its shipping methods and tax rates, and remove it from its promotions."),
            PricingError::UnknownMarket(market) => {
                Self::unprocessable("unknown_market", "Unknown market")
                    .detail(&format!("Create the market {market} first, or leave it out."))
            }
            PricingError::CountryTaken(country) => {
                Self::unprocessable("country_taken", "Country in another market")
                    .detail(&format!("Another market serves {country}. Remove it there first."))
            }
            PricingError::RatesOfTreatment => {
                Self::unprocessable("invalid_tax_rates", "Rates contradict the treatment").detail(
                    "Send rates above 0 for standard and reduced, and none above 0 for all others.",
                )
            }
            PricingError::Promotion(PromotionRefusal::Effect) => {
                Self::unprocessable("invalid_effect", "Invalid effect")
                    .detail("Send either percent_bp or fixed.")
            }
            PricingError::Promotion(PromotionRefusal::NeverApplies) => {
                Self::unprocessable("promotion_never_applies", "Promotion never applies")
                    .detail("Let it end after now and after it starts, and take more than 0.")
            }
            PricingError::Refused(refusal) => refused(&refusal),
            PricingError::DocumentTooLarge { market, country } => {
                Self::unprocessable("document_too_large", "Pricing document too large").detail(
                    &format!(
                        "The rules of the market {market} for {country} would exceed {MAX_DOCUMENT_BYTES} bytes. Delete rules that have ended."
                    ),
                )
            }
            PricingError::Stale { current } => Self::precondition_failed(current),
            PricingError::KeyReused => IdempotencyKey::reused(),
            contended @ PricingError::Contended => Self::unavailable().caused_by(&contended),
            PricingError::Table(error) => error.into(),
            PricingError::Secret(error) => Self::unavailable().caused_by(&error),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::TooManyRules { market, kind, limit } => {
            Problem::unprocessable("too_many_rules", "Too many rules")
                .detail(&format!("The market {market} may have {limit} {kind}. Delete one first."))
        }
        Refusal::SameTaxCase => Problem::conflict("tax_rate_exists", "Tax rate already exists")
            .detail("Change the tax rate of this country, region, tax class and time."),
        Refusal::CurrencyMissing { market, currency } => {
            Problem::unprocessable("currency_missing", "Currency missing").detail(&format!(
                "Every amount needs a value in {}, the currency of the market {market}.",
                currency.code()
            ))
        }
    }
}

//! Helpers that describe shared values and parameters in the API document.
//!
//! Everything here is behind the feature `api-document`, which only the tests enable: deployed
//! functions do not compile it. The tests assemble the document and compare it with the committed
//! one.
//!
//! `derive(utoipa::ToSchema)` describes a struct. [`describe!`](crate::describe) describes a type
//! whose rules are constants and functions, which a derive cannot see. It is placed next to those
//! rules.

#[cfg(feature = "api-document")]
mod parameters;
#[cfg(feature = "api-document")]
pub mod patterns;
#[cfg(feature = "api-document")]
mod schema;

#[cfg(feature = "api-document")]
pub use {
    parameters::{CartToken, IfMatch, IfNoneMatch, OptionalIfMatch, header, query},
    schema::{SchemaBuilder, free_text, id, number, one_of, text},
    utoipa,
};

/// Describes a type: `describe!(Sku, text("The shop's own number.",
/// "LAMP-01").length(1..=MAX_SKU).problem_codes(&["invalid_sku"]));`
///
/// Building the document parses the example as the type, and panics if the type rejects it.
/// `describe!(Status as "OrderStatus", …)` gives the type another name in the document.
#[cfg(feature = "api-document")]
#[macro_export]
macro_rules! describe {
    ($type:ident as $name:expr, $schema:expr) => {
        impl $crate::api_document::utoipa::PartialSchema for $type {
            fn schema() -> $crate::api_document::utoipa::openapi::RefOr<
                $crate::api_document::utoipa::openapi::schema::Schema,
            > {
                #[allow(unused_imports, reason = "each type is one of these")]
                use $crate::api_document::{free_text, id, number, one_of, patterns, text};
                $crate::api_document::SchemaBuilder::build_for::<$type>($schema)
            }
        }

        impl $crate::api_document::utoipa::ToSchema for $type {
            fn name() -> ::std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
    ($type:ident, $schema:expr) => {
        $crate::describe!($type as stringify!($type), $schema);
    };
}

/// Expands to nothing without the feature `api-document`.
#[cfg(not(feature = "api-document"))]
#[macro_export]
macro_rules! describe {
    ($($nothing:tt)*) => {};
}

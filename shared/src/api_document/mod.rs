//! What the API document says of values and parameters that several services have.
//!
//! Everything here is behind the feature `api-document`, which only the tests enable: deployed
//! functions neither contain their description nor compile it. The tests assemble the document and
//! compare it with the committed one.
//!
//! A struct is described by `derive(utoipa::ToSchema)`. A type whose rules are constants and
//! functions, which a derive does not see, is described by [`describe!`](crate::describe), beside
//! those rules.

#[cfg(feature = "api-document")]
mod parameters;
#[cfg(feature = "api-document")]
pub mod patterns;
#[cfg(feature = "api-document")]
mod schema;

#[cfg(feature = "api-document")]
pub use {
    parameters::{IfMatch, IfNoneMatch, OptionalIfMatch, header, query},
    schema::{SchemaBuilder, free_text, id, number, one_of, text},
    utoipa,
};

/// Describes a type: `describe!(Sku, text("The shop's own number.",
/// "LAMP-01").length(1..=MAX_SKU).problem_codes(&["invalid_sku"]));`
///
/// The example is read as the type when the document is made: one that the type refuses makes none.
/// `describe!(Status as "OrderStatus", …)` gives it another name there.
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

/// Without the API document this describes nothing.
#[cfg(not(feature = "api-document"))]
#[macro_export]
macro_rules! describe {
    ($($nothing:tt)*) => {};
}

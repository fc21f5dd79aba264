//! The list of a service's operations. Each operation is declared once, in one line.
//!
//! Each service calls [`operations!`](crate::operations) in its `operations/mod.rs`. The binaries,
//! the API document, the API of `template.yaml`, the permissions of routes, the `Allow` header and
//! the test fixtures are derived from this list.

use std::sync::Arc;

use crate::{http::Deprecation, queue::Queue, stream::Sender};

/// An operation, deployed as one function.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Crate name, such as `orders`.
    pub service: &'static str,
    /// Name of both the module and the function, such as `create_order`.
    pub module: &'static str,
    pub trigger: Trigger,
    /// Since when its routes are deprecated; `None` for most operations.
    pub deprecation: Option<Deprecation>,
}

/// What invokes an operation.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// Requests to these routes of the API.
    Http(&'static [Route]),
    /// Requests for pages that people read. The API document does not describe them.
    Pages(&'static [Route]),
    /// Messages of this queue.
    Queue(&'static str),
    /// Changes of a table, which are published as messages.
    Stream {
        /// Table name without the shop, such as `orders`.
        table: &'static str,
        /// Queues that receive the messages.
        queues: &'static [&'static str],
    },
    /// A schedule, an operator or another AWS service.
    Invoke,
}

/// An HTTP method of a path, with its access rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// HTTP method, such as `GET`. A `GET` route also answers `HEAD`.
    pub method: &'static str,
    /// Path template, such as `/orders/{order_id}`.
    pub path: &'static str,
    pub access: Access,
}

/// Whether a route requires an access token. The operation checks the caller's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No token is required.
    Public,
    /// No token is required, and an invalid one is rejected. The response may depend on the caller.
    OptionalToken,
    /// A valid token is required.
    Token,
}

impl Operation {
    /// Returns the function's name without the shop, such as `create-order`. The binary and the
    /// sample event have the same name.
    pub fn name(&self) -> String {
        kebab(self.module)
    }

    /// Returns the routes; empty unless the trigger is HTTP.
    pub fn routes(&self) -> &'static [Route] {
        match self.trigger {
            Trigger::Http(routes) | Trigger::Pages(routes) => routes,
            _ => &[],
        }
    }

    /// Whether it serves pages, which the API document does not describe.
    pub fn serves_pages(&self) -> bool {
        matches!(self.trigger, Trigger::Pages(_))
    }

    /// Returns the queues that receive its messages; empty unless it is a publisher.
    pub fn queues(&self) -> &'static [&'static str] {
        if let Trigger::Stream { queues, .. } = self.trigger { queues } else { &[] }
    }

    /// Returns the queue of a publisher for changes that cannot be turned into messages:
    /// `publish-order-dead-letter` for `publish-order-events`.
    pub fn dead_letter_queue(&self) -> Option<String> {
        let publisher = matches!(self.trigger, Trigger::Stream { .. }).then(|| self.name())?;
        Some(format!("{}-dead-letter", publisher.strip_suffix("-events").unwrap_or(&publisher)))
    }
}

/// Methods of a page, as the `Allow` header lists them.
pub const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// Returns the deprecation of the operation in this module.
pub fn deprecation(operations: &'static [Operation], module: &str) -> Option<&'static Deprecation> {
    operations.iter().find(|operation| operation.module == module)?.deprecation.as_ref()
}

/// Converts `create_order` to `create-order`.
pub fn kebab(module: &str) -> String {
    module.replace('_', "-")
}

/// Returns the methods of a path as the value of `Allow`, where `GET` implies `HEAD`. Returns
/// `None` for a function without `GET`: the gateway sends it only its own method.
pub fn allowed_methods(operations: &[Operation], routes: &[Route]) -> Option<String> {
    let path = routes.iter().find(|route| route.method == "GET")?.path;
    let of_path = operations.iter().flat_map(Operation::routes).filter(|route| route.path == path);
    let mut methods: Vec<&str> =
        of_path.map(|route| route.method).chain(["HEAD", "OPTIONS"]).collect();
    methods.sort_unstable();
    methods.dedup();
    Some(methods.join(", "))
}

/// Dependencies of a service's functions that are passed in when no environment configures them.
pub struct Wiring<'a> {
    /// Returns the queue of a name.
    pub queue: &'a dyn Fn(&str) -> Queue,
    /// Creates a sender for these queues, with the name of its dead-letter queue.
    pub sender: &'a dyn Fn(&'static [&'static str], &str) -> Arc<Sender>,
}

/// Declares the operations of a service, each with its trigger. `create_order` is the function of
/// that name in the module of that name. A publisher's module has the constants `STREAM_FILTER` and
/// `QUEUES` instead of a function; `crate::publish::messages` returns its messages. A publisher that
/// is `measured` also records what `crate::metrics::measurements` returns.
///
/// ```ignore
/// shared::operations! {
///     Orders:
///     http create_order(POST "/orders", Token);
///     queue advance_order("order-events");
///     stream publish_order_events("orders", measured);
///     invoke resume_orders();
/// }
/// ```
///
/// An operation with several routes names, after each further route, the function that describes it
/// in the API document: `http get_health(GET "/health", Public; GET "/health/{service}", Public,
/// get_health_of_service);`.
///
/// `pages get_docs("/", "/docs")` declares public routes of pages: `GET` only, and absent from the
/// API document.
///
/// `http list_orders(GET "/orders", Token) deprecated(since = "2026-12-01", sunset = "2027-06-01",
/// link = "https://…");` announces in every response that its routes are removed at the sunset.
///
/// Generates `OPERATIONS`, the list; `run`, a `main` for each binary; `lambda`, which returns an
/// operation by name for tests; and `ApiDocument`.
#[macro_export]
#[expect(
    clippy::crate_in_macro_def,
    reason = "the crate that declares the operations has the service and what it publishes"
)]
macro_rules! operations {
    ($service:ident : $($kind:ident $module:ident ($($details:tt)*) $(deprecated($($deprecation:tt)*))?;)+) => {
        pub const OPERATIONS: &[$crate::operation::Operation] = &[$(
            $crate::operation::Operation {
                service: env!("CARGO_PKG_NAME"),
                module: stringify!($module),
                trigger: $crate::operations!(@trigger $kind $module ($($details)*)),
                deprecation: $crate::operations!(@deprecation $($($deprecation)*)?),
            },
        )+];

        /// Entry points of the binaries. Each one serves its operation until the environment is
        /// shut down.
        ///
        /// # Errors
        /// If the Lambda runtime API fails.
        pub mod run {
            $(
                #[allow(clippy::missing_errors_doc, reason = "the module says it")]
                pub fn $module() -> Result<(), $crate::lambda::Error> {
                    $crate::operations!(@run $kind $service $module ($($details)*))
                }
            )+
        }

        /// Returns the function of an operation, for a service that a test constructs.
        pub fn lambda(
            name: &str,
            service: &std::sync::Arc<crate::$service>,
            wiring: &$crate::operation::Wiring<'_>,
        ) -> Option<$crate::lambda::Lambda> {
            let operation = OPERATIONS.iter().find(|operation| operation.name() == name)?;
            match operation.module {
                $(stringify!($module) => $crate::operations!(@lambda $kind operation service wiring $module ($($details)*)),)+
                _ => None,
            }
        }

        $crate::operations!(@document [] $($kind $module ($($details)*);)+);
    };

    (@deprecation) => { None };
    (@deprecation since = $since:literal, sunset = $sunset:literal, link = $link:literal) => {
        Some(const { $crate::http::Deprecation::new($since, $sunset, $link) })
    };

    (@trigger http $module:ident ($($method:ident $path:literal, $access:ident $(, $described:ident)?);+)) => {
        $crate::operation::Trigger::Http(&[$(
            $crate::operation::Route { method: stringify!($method), path: $path, access: $crate::operation::Access::$access },
        )+])
    };
    (@trigger pages $module:ident ($($path:literal),+)) => {
        $crate::operation::Trigger::Pages(&[$(
            $crate::operation::Route { method: "GET", path: $path, access: $crate::operation::Access::Public },
        )+])
    };
    (@trigger queue $module:ident ($queue:literal)) => { $crate::operation::Trigger::Queue($queue) };
    (@trigger stream $module:ident ($table:literal $(, $measured:ident)?)) => {
        $crate::operation::Trigger::Stream { table: $table, queues: $module::QUEUES }
    };
    (@trigger invoke $module:ident ()) => { $crate::operation::Trigger::Invoke };

    (@run http $service:ident $module:ident ($($details:tt)*)) => {{
        let routes = $crate::operations!(@routes ($($details)*));
        let methods = $crate::operation::allowed_methods(super::OPERATIONS, routes);
        let deprecation = $crate::operation::deprecation(super::OPERATIONS, stringify!($module));
        $crate::http::run(crate::$service::from_env, super::$module::$module, methods, deprecation)
    }};
    (@run pages $service:ident $module:ident ($($path:literal),+)) => {
        $crate::http::run(crate::$service::from_env, super::$module::$module, Some($crate::operation::PAGE_METHODS.to_owned()), None)
    };
    (@run queue $service:ident $module:ident ($queue:literal)) => {
        $crate::queue::run(crate::$service::from_env, super::$module::$module)
    };
    (@run stream $service:ident $module:ident ($table:literal $(, $measured:ident)?)) => {
        $crate::stream::run(
            &$crate::operation::kebab(stringify!($module)),
            super::$module::STREAM_FILTER,
            super::$module::QUEUES,
            $crate::operations!(@translation $($measured)?),
        )
    };
    (@run invoke $service:ident $module:ident ()) => {
        $crate::invoke::run(crate::$service::from_env, super::$module::$module)
    };

    (@routes ($($method:ident $path:literal, $access:ident $(, $described:ident)?);+)) => {
        &[$(
            $crate::operation::Route { method: stringify!($method), path: $path, access: $crate::operation::Access::$access },
        )+]
    };

    (@lambda http $operation:ident $service:ident $wiring:ident $module:ident ($($details:tt)*)) => {{
        let methods = $crate::operation::allowed_methods(OPERATIONS, $operation.routes());
        let deprecation = $operation.deprecation.as_ref();
        Some($crate::http::lambda_with_methods($service.clone(), $module::$module, methods, deprecation))
    }};
    (@lambda pages $operation:ident $service:ident $wiring:ident $module:ident ($($details:tt)*)) => {
        Some($crate::http::lambda_with_methods($service.clone(), $module::$module, Some($crate::operation::PAGE_METHODS.to_owned()), None))
    };
    (@lambda queue $operation:ident $service:ident $wiring:ident $module:ident ($queue:literal)) => {
        Some($crate::queue::lambda($service.clone(), $module::$module, ($wiring.queue)($queue)))
    };
    (@translation) => { $crate::stream::Translation::to_messages(crate::publish::messages) };
    (@translation measured) => {
        $crate::stream::Translation {
            messages: crate::publish::messages,
            measurements: crate::metrics::measurements,
        }
    };

    (@lambda stream $operation:ident $service:ident $wiring:ident $module:ident ($table:literal $(, $measured:ident)?)) => {{
        let dead_letters = $operation.dead_letter_queue().unwrap_or_default();
        let sender = ($wiring.sender)($operation.queues(), &dead_letters);
        let translation = $crate::operations!(@translation $($measured)?);
        Some($crate::stream::lambda(&$operation.name(), $module::STREAM_FILTER, translation, sender))
    }};
    (@lambda invoke $operation:ident $service:ident $wiring:ident $module:ident ()) => {
        Some($crate::invoke::lambda($service.clone(), $module::$module))
    };

    (@document []) => {};
    (@document [$($module:ident::$described:ident,)+]) => {
        /// The service's part of the API document.
        #[cfg(feature = "api-document")]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$described),+))]
        pub struct ApiDocument;
    };
    (@document [$($done:tt)*] http $module:ident
        ($method:ident $path:literal, $access:ident $(; $other_method:ident $other:literal, $to:ident, $described:ident)*); $($rest:tt)*) => {
        $crate::operations!(@document [$($done)* $module::$module, $($module::$described,)*] $($rest)*);
    };
    (@document [$($done:tt)*] $kind:ident $module:ident ($($details:tt)*); $($rest:tt)*) => {
        $crate::operations!(@document [$($done)*] $($rest)*);
    };
}

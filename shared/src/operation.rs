//! The list of a service's operations: each is declared once, in one line, and what has to know
//! them reads the list.
//!
//! Each service calls [`operations!`](crate::operations) in its `operations/mod.rs`. The binaries,
//! the API document, the API of `template.yaml`, the permissions of routes, the `Allow` header and
//! the tests' shop follow from it.

use std::sync::Arc;

use crate::{queue::Queue, stream::Sender};

/// One operation, which is one function.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The crate, as `orders`.
    pub service: &'static str,
    /// The module and the function, as `create_order`.
    pub module: &'static str,
    /// What calls it.
    pub trigger: Trigger,
}

/// What calls an operation.
#[derive(Clone, Copy, Debug)]
pub enum Trigger {
    /// Requests on these routes of the API.
    Http(&'static [Route]),
    /// Requests for pages that people read. The API document does not describe them.
    Pages(&'static [Route]),
    /// Messages of this queue.
    Queue(&'static str),
    /// Changes of a table, which become messages.
    Stream {
        /// The table, as `orders`.
        table: &'static str,
        /// The queues that the messages go to.
        queues: &'static [&'static str],
    },
    /// A schedule, an operator or another service of AWS.
    Invoke,
}

/// A method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// As `GET`. A route that is read with `GET` also answers `HEAD`.
    pub method: &'static str,
    /// As `/orders/{order_id}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// Whether a route asks for an access token. What the caller's role allows is the operation's to
/// decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No token is required.
    Public,
    /// Public, and a valid token shows more.
    OptionalToken,
    /// A valid token is required.
    Token,
}

impl Operation {
    /// The name of the function without the shop, as `create-order`: also of its binary and its
    /// sample.
    pub fn name(&self) -> String {
        kebab(self.module)
    }

    /// The routes, if requests call it.
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

    /// The queues that its messages go to, if it publishes.
    pub fn queues(&self) -> &'static [&'static str] {
        if let Trigger::Stream { queues, .. } = self.trigger { queues } else { &[] }
    }

    /// The queue for changes that cannot be turned into messages, if it publishes:
    /// `publish-order-dead-letter` of `publish-order-events`.
    pub fn dead_letter_queue(&self) -> Option<String> {
        let publisher = matches!(self.trigger, Trigger::Stream { .. }).then(|| self.name())?;
        Some(format!("{}-dead-letter", publisher.strip_suffix("-events").unwrap_or(&publisher)))
    }
}

/// The methods of a page, as `Allow` lists them.
pub const PAGE_METHODS: &str = "GET, HEAD, OPTIONS";

/// `create-order` of `create_order`.
pub fn kebab(module: &str) -> String {
    module.replace('_', "-")
}

/// The methods of a path as an `Allow` header lists them, where `GET` implies `HEAD`. None for a
/// function that does not read: the gateway calls it with its own method only.
pub fn allowed_methods(operations: &[Operation], routes: &[Route]) -> Option<String> {
    let path = routes.iter().find(|route| route.method == "GET")?.path;
    let of_path = operations.iter().flat_map(Operation::routes).filter(|route| route.path == path);
    let mut methods: Vec<&str> =
        of_path.map(|route| route.method).chain(["HEAD", "OPTIONS"]).collect();
    methods.sort_unstable();
    methods.dedup();
    Some(methods.join(", "))
}

/// What the functions of a service are given besides the service, where no environment says it.
pub struct Wiring<'a> {
    /// The queue of this name.
    pub queue: &'a dyn Fn(&str) -> Queue,
    /// What sends to these queues, and what cannot be sent to this dead-letter queue.
    pub sender: &'a dyn Fn(&'static [&'static str], &str) -> Arc<Sender>,
}

/// Declares the operations of a service, each with what calls it. `create_order` is the function of
/// that name in the module of that name. The module of a publisher has the constants
/// `STREAM_FILTER` and `QUEUES` instead of a function, and `crate::publish::messages` says what it
/// sends.
///
/// ```ignore
/// shared::operations! {
///     Orders:
///     http create_order(POST "/orders", Token);
///     queue advance_order("order-events");
///     stream publish_order_events("orders");
///     invoke resume_orders();
/// }
/// ```
///
/// An operation with two routes names the function that describes the second one in the API
/// document after it: `http get_health(GET "/health", Public; GET "/health/{service}", Public,
/// get_health_of_service);`.
///
/// `pages get_docs("/", "/docs")` declares public routes of pages: `GET` only, and absent from the
/// API document.
///
/// It makes `OPERATIONS`, the list; `run`, a `main` for each binary; `lambda`, an operation by its
/// name, for tests; and `ApiDocument`.
#[macro_export]
#[expect(
    clippy::crate_in_macro_def,
    reason = "the crate that declares the operations has the service and what it publishes"
)]
macro_rules! operations {
    ($service:ident : $($kind:ident $module:ident ($($details:tt)*);)+) => {
        /// Every operation of the service.
        pub const OPERATIONS: &[$crate::operation::Operation] = &[$(
            $crate::operation::Operation {
                service: env!("CARGO_PKG_NAME"),
                module: stringify!($module),
                trigger: $crate::operations!(@trigger $kind $module ($($details)*)),
            },
        )+];

        /// What the binaries call: each function serves its operation until its environment is shut
        /// down.
        ///
        /// # Errors
        /// When the Lambda runtime's own interface fails.
        pub mod run {
            $(
                #[allow(clippy::missing_errors_doc, reason = "the module says it")]
                pub fn $module() -> Result<(), $crate::lambda::Error> {
                    $crate::operations!(@run $kind $service $module ($($details)*))
                }
            )+
        }

        /// The function of an operation, over a service that no environment describes.
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
    (@trigger stream $module:ident ($table:literal)) => {
        $crate::operation::Trigger::Stream { table: $table, queues: $module::QUEUES }
    };
    (@trigger invoke $module:ident ()) => { $crate::operation::Trigger::Invoke };

    (@run http $service:ident $module:ident ($($details:tt)*)) => {{
        let routes = $crate::operations!(@routes ($($details)*));
        let methods = $crate::operation::allowed_methods(super::OPERATIONS, routes);
        $crate::http::run(crate::$service::from_env, super::$module::$module, methods)
    }};
    (@run pages $service:ident $module:ident ($($path:literal),+)) => {
        $crate::http::run(crate::$service::from_env, super::$module::$module, Some($crate::operation::PAGE_METHODS.to_owned()))
    };
    (@run queue $service:ident $module:ident ($queue:literal)) => {
        $crate::queue::run(crate::$service::from_env, super::$module::$module)
    };
    (@run stream $service:ident $module:ident ($table:literal)) => {
        $crate::stream::run(
            &$crate::operation::kebab(stringify!($module)),
            super::$module::STREAM_FILTER,
            super::$module::QUEUES,
            crate::publish::messages,
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
        Some($crate::http::lambda_with_methods($service.clone(), $module::$module, methods))
    }};
    (@lambda pages $operation:ident $service:ident $wiring:ident $module:ident ($($details:tt)*)) => {
        Some($crate::http::lambda_with_methods($service.clone(), $module::$module, Some($crate::operation::PAGE_METHODS.to_owned())))
    };
    (@lambda queue $operation:ident $service:ident $wiring:ident $module:ident ($queue:literal)) => {
        Some($crate::queue::lambda($service.clone(), $module::$module, ($wiring.queue)($queue)))
    };
    (@lambda stream $operation:ident $service:ident $wiring:ident $module:ident ($($details:tt)*)) => {{
        let dead_letters = $operation.dead_letter_queue().unwrap_or_default();
        let sender = ($wiring.sender)($operation.queues(), &dead_letters);
        Some($crate::stream::lambda(&$operation.name(), $module::STREAM_FILTER, crate::publish::messages, sender))
    }};
    (@lambda invoke $operation:ident $service:ident $wiring:ident $module:ident ()) => {
        Some($crate::invoke::lambda($service.clone(), $module::$module))
    };

    (@document []) => {};
    (@document [$($module:ident::$described:ident,)+]) => {
        /// What the API document says of this service.
        #[cfg(feature = "api-document")]
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($module::$described),+))]
        pub struct ApiDocument;
    };
    (@document [$($done:tt)*] http $module:ident ($method:ident $path:literal, $access:ident); $($rest:tt)*) => {
        $crate::operations!(@document [$($done)* $module::$module,] $($rest)*);
    };
    (@document [$($done:tt)*] http $module:ident
        ($method:ident $path:literal, $access:ident; $second:ident $other:literal, $to:ident, $described:ident); $($rest:tt)*) => {
        $crate::operations!(@document [$($done)* $module::$module, $module::$described,] $($rest)*);
    };
    (@document [$($done:tt)*] $kind:ident $module:ident ($($details:tt)*); $($rest:tt)*) => {
        $crate::operations!(@document [$($done)*] $($rest)*);
    };
}

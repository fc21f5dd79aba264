//! `GET /users`: lists the registered users, newest first, for admins.

use std::sync::Arc;

use shared::{
    http::{self, CursorKey, Page, Request, Response},
    problem::Problem,
};

use super::view::UserView;
use crate::{Users, error::UsersError};

/// Answers `200` with a page of users. Only admins may list them.
#[cfg_attr(feature = "api-document", utoipa::path(
    get,
    path = "/users",
    params(http::PageRequest),
    responses((status = 200, description = "A page of users, the newest first.", body = Page<UserView>)),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["admin"]))),
))]
pub async fn list_users(users: Arc<Users>, request: Request) -> Result<Response, Problem> {
    let admin = request.admin()?;
    let page = request.page()?;

    let now = users.clock.now();
    let scope = ["list-users", &admin.user_id.to_string()];
    let mut after = None;
    if page.has_cursor() {
        after = page.after(&cursor_key(&users).await?, &scope, now)?;
    }
    let found = users.store.list(after, page.limit).await?;

    let mut next_cursor = None;
    if let Some(last) = found.next {
        next_cursor = Some(page.next(&cursor_key(&users).await?, &scope, &last, now, &users.ids));
    }
    Ok(http::ok(&Page { items: found.items.iter().map(UserView::from).collect(), next_cursor }))
}

async fn cursor_key(users: &Users) -> Result<CursorKey, UsersError> {
    Ok(CursorKey::new(users.server_keys().await?.derive("cursor")))
}

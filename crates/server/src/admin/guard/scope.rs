//! Which scope each route needs, declared where the route is.
//!
//! `read(routes!(handler))` says it of an operation, and the OpenAPI document tells it to clients. A route
//! that nobody said anything of needs the highest scope.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::{
    OpenApi,
    path::{Operation, PathItem},
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::config::Scope;

/// The names of the ways to say who one is, in the OpenAPI document.
const SCHEMES: [&str; 2] = ["key", "user"];

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nobody has to be anybody.
    Nothing,
    Scope(Scope),
    /// There is no such route.
    Unknown,
}

/// What the routes need.
#[derive(Debug, Default)]
pub(in super::super) struct Needs(HashMap<(Method, String), Need>);

/// Routes for whoever may see. What else they take than GET still needs the highest scope.
pub(in super::super) fn read<S>(routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    declared(routes, Need::Scope(Scope::Read), |method| {
        *method == Method::GET
    })
}

/// Routes for whoever may publish.
pub(in super::super) fn publish<S>(routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    declared(routes, Need::Scope(Scope::Publish), |_| true)
}

/// Routes for everybody.
pub(in super::super) fn open<S>(routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
    declared(routes, Need::Nothing, |_| true)
}

impl Needs {
    /// Those that the operations of the document declare; the document is told of the others.
    pub(in super::super) fn of_document(document: &mut OpenApi) -> Self {
        let mut needs = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let need = declared_need(operation).unwrap_or(Need::Scope(Scope::Admin));
                operation.security = Some(requirements(need));
                needs.insert((method, path.clone()), need);
            }
        }
        let components = document.components.get_or_insert_default();
        let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        components.add_security_scheme(SCHEMES[0], http(HttpAuthScheme::Bearer));
        components.add_security_scheme(SCHEMES[1], http(HttpAuthScheme::Basic));
        Self(needs)
    }

    /// Lets whoever may see get these paths, which no document describes.
    pub(in super::super) fn and_read(mut self, paths: &[&str]) -> Self {
        for path in paths {
            let route = (Method::GET, (*path).to_owned());
            self.0.insert(route, Need::Scope(Scope::Read));
        }
        self
    }

    /// What a request for a route needs, which is given as it was declared: `/topics/{topic}`.
    pub(super) fn of(&self, method: &Method, route: &str) -> Need {
        // A HEAD is answered by what answers GET.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let known = self.0.get(&(method.clone(), route.to_owned()));
        known.copied().unwrap_or(Need::Scope(Scope::Admin))
    }
}

fn declared<S>(
    mut routes: UtoipaMethodRouter<S>,
    need: Need,
    of: impl Fn(&Method) -> bool,
) -> UtoipaMethodRouter<S> {
    for item in routes.1.paths.values_mut() {
        for (_, operation) in operations(item).filter(|(method, _)| of(method)) {
            operation.security = Some(requirements(need));
        }
    }
    routes
}

/// Any one of them is enough; OpenAPI 3.1 §4.8.30 lets names of roles stand in them.
fn requirements(need: Need) -> Vec<SecurityRequirement> {
    match need {
        Need::Nothing => Vec::new(),
        Need::Scope(scope) => SCHEMES
            .map(|scheme| SecurityRequirement::new(scheme, [scope.word()]))
            .into(),
        Need::Unknown => SCHEMES
            .map(|scheme| SecurityRequirement::new(scheme, [Scope::Admin.word()]))
            .into(),
    }
}

/// What was declared with [`read`] and its kind.
fn declared_need(operation: &Operation) -> Option<Need> {
    let security = operation.security.as_ref()?;
    if security.is_empty() {
        return Some(Need::Nothing);
    }
    let one_of = |scope: &Scope| *security == requirements(Need::Scope(*scope));
    Scope::ALL.into_iter().find(one_of).map(Need::Scope)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::OPTIONS, &mut item.options),
        (Method::HEAD, &mut item.head),
        (Method::PATCH, &mut item.patch),
        (Method::TRACE, &mut item.trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use utoipa_axum::{router::OpenApiRouter, routes};

    use super::*;

    #[utoipa::path(get, path = "/things/{id}", responses((status = 200)))]
    async fn see() {}
    #[utoipa::path(post, path = "/things/{id}", responses((status = 200)))]
    async fn say() {}
    #[utoipa::path(delete, path = "/things/{id}", responses((status = 200)))]
    async fn forgotten() {}
    #[utoipa::path(get, path = "/live", responses((status = 200)))]
    async fn live() {}
    #[utoipa::path(get, path = "/level", responses((status = 200)))]
    async fn level() {}
    #[utoipa::path(put, path = "/level", responses((status = 200)))]
    async fn set_level() {}

    #[test]
    fn a_route_needs_what_it_says_and_the_highest_scope_when_it_says_nothing() {
        let router: OpenApiRouter = OpenApiRouter::new()
            .routes(read(routes!(see)))
            .routes(publish(routes!(say)))
            .routes(routes!(forgotten))
            .routes(open(routes!(live)))
            .routes(read(routes!(level, set_level)));
        let (_, mut document) = OpenApiRouter::new().nest("/v1", router).split_for_parts();
        let needs = Needs::of_document(&mut document).and_read(&["/"]);
        for (method, path, need) in [
            (Method::GET, "/v1/things/{id}", Need::Scope(Scope::Read)),
            (Method::HEAD, "/v1/things/{id}", Need::Scope(Scope::Read)),
            (Method::POST, "/v1/things/{id}", Need::Scope(Scope::Publish)),
            (Method::DELETE, "/v1/things/{id}", Need::Scope(Scope::Admin)),
            (Method::PUT, "/v1/things/{id}", Need::Scope(Scope::Admin)),
            (Method::GET, "/v1/live", Need::Nothing),
            (Method::POST, "/v1/live", Need::Scope(Scope::Admin)),
            (Method::GET, "/v1/level", Need::Scope(Scope::Read)),
            (Method::PUT, "/v1/level", Need::Scope(Scope::Admin)),
            (Method::GET, "/", Need::Scope(Scope::Read)),
            (Method::GET, "/of/nobody", Need::Scope(Scope::Admin)),
        ] {
            assert_eq!(needs.of(&method, path), need, "{method} {path}");
        }
        let text = serde_json::to_value(&document).expect("a document is JSON");
        assert_eq!(
            text["paths"]["/v1/things/{id}"]["delete"]["security"],
            serde_json::json!([{ "key": ["admin"] }, { "user": ["admin"] }])
        );
        assert_eq!(
            text["components"]["securitySchemes"]["key"]["scheme"],
            "bearer"
        );
    }
}

//! The routes, and who may use them.

mod chat;
mod completions;
mod embeddings;
mod identity;
mod images;
mod models;
mod sampling;
mod stream;
mod tasks;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Json, Router};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use chat::MAX_MESSAGES;
pub(crate) use completions::DEFAULT_TOKENS;
pub(crate) use sampling::{MAX_CHOICES, MAX_STOPS, MOST_PENALTY, MOST_TOKENS};
pub(crate) use tasks::MOST_LISTED;

use crate::access::Access;
use crate::desk::{Done, Job, Placed};
use crate::error::TASK_HEADER;
use crate::gateway::{Asked, Gateway};
use crate::journal::Endpoint;
use crate::limits::Caller;
use crate::openapi::{self, Operation, operations};
use crate::served::Served;
use crate::signed::{self, Signed};
use crate::{ApiError, desk, render};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Whoever has a key, or signs for an account that is known.
    Key,
    /// Anybody.
    Public,
}

/// A route.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: &'static str,
    /// Who may use it.
    pub class: Class,
    /// What it does, for the document.
    pub(crate) operation: fn() -> Operation,
    handler: MethodRouter<Arc<Gateway>>,
}

fn route<T: 'static>(
    method: Method,
    path: &'static str,
    handler: impl Handler<T, Arc<Gateway>>,
    operation: fn() -> Operation,
) -> Route {
    let filter = match method {
        Method::POST => MethodFilter::POST,
        _ => MethodFilter::GET,
    };
    Route {
        method,
        path,
        class: Class::Key,
        operation,
        handler: on(filter, handler),
    }
}

fn public(route: Route) -> Route {
    Route {
        class: Class::Public,
        ..route
    }
}

/// All routes: there are no others.
pub fn routes() -> Vec<Route> {
    use operations as does;
    let (get, post) = (Method::GET, Method::POST);
    let answered = |endpoint: Endpoint| endpoint.path();
    vec![
        public(route(
            get.clone(),
            "/openapi.json",
            openapi::serve,
            does::document,
        )),
        public(route(
            get.clone(),
            "/v1/gateway",
            identity::show,
            does::identity,
        )),
        route(get.clone(), "/v1/models", models::list, does::models),
        route(get.clone(), "/v1/models/{id}", models::one, does::model),
        route(
            post.clone(),
            answered(Endpoint::Chat),
            chat::ask,
            does::chat,
        ),
        route(
            post.clone(),
            answered(Endpoint::Completion),
            completions::ask,
            does::completion,
        ),
        route(
            post.clone(),
            answered(Endpoint::Embedding),
            embeddings::ask,
            does::embedding,
        ),
        route(
            post.clone(),
            answered(Endpoint::Image),
            images::ask,
            does::image,
        ),
        route(
            post.clone(),
            "/v1/tokenize",
            tokens::tokenize,
            does::tokenize,
        ),
        route(
            post.clone(),
            "/v1/detokenize",
            tokens::detokenize,
            does::detokenize,
        ),
        route(post, "/v1/tasks", tasks::post, does::post_task),
        route(get.clone(), "/v1/tasks", tasks::list, does::tasks),
        route(get.clone(), "/v1/tasks/{id}", tasks::one, does::one_task),
        route(
            get.clone(),
            "/v1/tasks/{id}/events",
            tasks::events,
            does::events,
        ),
        route(get, "/v1/tasks/{id}/receipt", tasks::receipt, does::receipt),
    ]
}

/// The interface of a gateway.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let mut classes = BTreeMap::new();
    let mut router = Router::new();
    for Route {
        path,
        class,
        handler,
        ..
    } in routes()
    {
        classes.insert(path, class);
        router = router.route(path, handler);
    }
    let guard = Guard {
        gateway: Arc::clone(&gateway),
        classes: Arc::new(classes),
    };
    router
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(guard, admit))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(gateway)
}

#[derive(Clone)]
struct Guard {
    gateway: Arc<Gateway>,
    classes: Arc<BTreeMap<&'static str, Class>>,
}

/// What is not known to be public wants a key or a signature.
async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let class = path.and_then(|path| guard.classes.get(path.as_str()));
    if class != Some(&Class::Public) {
        match identified(&guard.gateway, request).await {
            Ok((caller, known)) => {
                request = known;
                request.extensions_mut().insert(caller);
            }
            Err(refused) => return refused.into_response(),
        }
    }
    next.run(request).await
}

/// Who asks, by a signature or a key, and the request for the next to read.
async fn identified(gateway: &Gateway, request: Request) -> Result<(Caller, Request), ApiError> {
    if let Access::Keys(ring) = &gateway.access
        && let Some(said) = Signed::read(request.headers())?
    {
        return signed::admit(gateway, ring, said, request).await;
    }
    let caller = gateway.access.caller(request.headers())?;
    Ok((caller, request))
}

async fn unknown(request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("There is no {method} {path}");
    ApiError::client(StatusCode::NOT_FOUND, "unknown_url", message)
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    ApiError::client(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    ApiError::network(status, "internal_error", "Something broke in the gateway").into_response()
}

/// A request's body within the bounds of size and time.
pub(crate) async fn body(gateway: &Gateway, body: Body) -> Result<Bytes, ApiError> {
    let options = &gateway.options;
    let read = to_bytes(body, options.max_body);
    match tokio::time::timeout(options.body_time, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            match source.is_some_and(|text| text.contains("length limit")) {
                true => Err(ApiError::client(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request_too_large",
                    format!("A request has at most {} bytes", options.max_body),
                )),
                false => Err(ApiError::request(
                    "incomplete_body",
                    "The body ends too early",
                )),
            }
        }
        Err(_) => Err(ApiError::client(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The request came in too slowly",
        )),
    }
}

/// What a path names.
struct Named(String);

impl FromRequestParts<Arc<Gateway>> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Named, ApiError> {
        let path = Path::<String>::from_request_parts(parts, gateway).await;
        let refused = |e: PathRejection| ApiError::request("invalid_value", e.body_text());
        path.map(|Path(name)| Named(name)).map_err(refused)
    }
}

/// What the handlers of requests take.
type Caught = (State<Arc<Gateway>>, Extension<Caller>, HeaderMap, Body);

/// What a request comes down to before anything is posted.
struct Plan {
    served: Arc<Served>,
    jobs: Vec<Job>,
    /// Answers to one prompt.
    per_prompt: usize,
    stop: Vec<String>,
    base64: bool,
    /// A stream, with usage or without.
    stream: Option<stream::StreamOptions>,
}

impl Plan {
    fn of(served: Arc<Served>, jobs: Vec<Job>) -> Plan {
        Plan {
            served,
            jobs,
            per_prompt: 1,
            stop: Vec::new(),
            base64: false,
            stream: None,
        }
    }
}

/// The plan of a request.
type Planner = fn(&Gateway, &Caller, &mut Asked) -> Result<Plan, ApiError>;

fn planner(endpoint: Endpoint) -> Planner {
    match endpoint {
        Endpoint::Chat => chat::plan,
        Endpoint::Completion => completions::plan,
        Endpoint::Embedding => embeddings::plan,
        Endpoint::Image => images::plan,
    }
}

/// Plans a request and posts its tasks.
async fn place(
    gateway: &Gateway,
    caller: &Caller,
    endpoint: Endpoint,
    mut asked: Asked,
) -> Result<(Plan, Vec<Placed>), ApiError> {
    let mut plan = planner(endpoint)(gateway, caller, &mut asked)?;
    let Asked {
        fields,
        digest,
        idempotency,
    } = asked;
    fields.end()?;
    let request = desk::Request {
        endpoint,
        idempotency,
        digest,
        model: plan.served.name.clone(),
        stop: plan.stop.clone(),
        base64: plan.base64,
    };
    let jobs = std::mem::take(&mut plan.jobs);
    let placed = gateway.desk.place(caller, request, jobs).await?;
    Ok((plan, placed))
}

/// Answers a request, whole or as a stream.
async fn respond(endpoint: Endpoint, caught: Caught) -> Result<Response, ApiError> {
    let (State(gateway), Extension(caller), headers, sent) = caught;
    let running = gateway.limits.enter(&caller).await?;
    let sent = body(&gateway, sent).await?;
    let asked = Asked::read(endpoint.path(), &headers, &sent)?;
    let (plan, placed) = place(&gateway, &caller, endpoint, asked).await?;
    if let Some(options) = plan.stream {
        return Ok(stream::stream(gateway, plan, options, placed, running));
    }
    let until = Instant::now() + gateway.options.wait;
    let mut done = Vec::new();
    for placed in placed {
        done.push(gateway.desk.wait(placed, until).await?);
    }
    let answer = render::answer(&plan.served, &done, plan.per_prompt)?;
    let mut response = Json(answer).into_response();
    tell(response.headers_mut(), &done);
    Ok(response)
}

/// Headers of a result.
fn tell(headers: &mut HeaderMap, done: &[Done]) {
    if let Some(first) = done.first() {
        headers.insert(TASK_HEADER, first.placed.task.into());
        let receipt = render::receipt_header(first);
        if let Some(value) = receipt.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert("x-gavel-receipt", value);
        }
    }
}

//! Routes: reading only.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use gavel_node::Address;
use gavel_trace::Digest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tower_http::catch_panic::CatchPanicLayer;

use crate::state::Shared;
use crate::views::{Answer, DisputeFilter, Missing, Page, TaskFilter, View};
use crate::{layout, page};

/// Items of a list where nobody says how many.
const LIMIT: usize = 50;
/// Most items of a list.
const LIMIT_MAX: usize = 200;
/// Longest search.
const QUERY_MAX: usize = 200;

type Shares = State<Arc<Shared>>;
type Params = Query<HashMap<String, String>>;

/// The interface and the page.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/status", get(status))
        .route("/activity", get(activity))
        .route("/auction", get(auction))
        .route("/tasks", get(tasks))
        .route("/tasks/{id}", get(task))
        .route("/providers", get(providers))
        .route("/providers/{address}", get(provider))
        .route("/accounts/{address}", get(account))
        .route("/models", get(models))
        .route("/models/{id}", get(model))
        .route("/models/{id}/graph", get(graph))
        .route("/models/{id}/graph.svg", get(graph_svg))
        .route("/disputes", get(disputes))
        .route("/disputes/{id}", get(dispute))
        .route("/audits", get(audits))
        .route("/audits/{task}/{attempt}", get(audit))
        .route("/parameters", get(parameters))
        .route("/trust", get(trust))
        .route("/search", get(search))
        .route("/events", get(events))
        .fallback(no_route)
        .method_not_allowed_fallback(not_allowed)
        .with_state(shared);
    guarded(Router::new().nest("/api/v1", api).fallback(the_page))
}

/// A panic is an answer like others, and is guarded like them.
fn guarded(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(guard))
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the answer could not be made",
        None,
        Some("the server's log says why"),
    )
}

/// What every answer says of itself, and what is never answered.
async fn guard(request: Request, next: Next) -> Response<Body> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => not_allowed().await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

async fn the_page(request: Request) -> Response<Body> {
    page::serve(request.uri().path())
}

async fn no_route(request: Request) -> Response<Body> {
    let what = format!("there is nothing at {}", request.uri().path());
    error(
        StatusCode::NOT_FOUND,
        "not_found",
        &what,
        None,
        Some("docs/reference/explorer-api.md lists the routes"),
    )
}

async fn not_allowed() -> Response<Body> {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this interface only reads",
        Some("GET or HEAD"),
        None,
    )
}

fn error(
    status: StatusCode,
    code: &str,
    message: &str,
    expected: Option<&str>,
    hint: Option<&str>,
) -> Response<Body> {
    let body =
        json!({"error": {"code": code, "message": message, "expected": expected, "hint": hint}});
    let mut response = json_response(&body);
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn json_response(body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A wrong request.
#[derive(Debug)]
struct Wrong {
    message: String,
    expected: &'static str,
}

impl Wrong {
    fn response(&self) -> Response<Body> {
        error(
            StatusCode::BAD_REQUEST,
            "bad_request",
            &self.message,
            Some(self.expected),
            None,
        )
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response<Body> {
        self.response()
    }
}

/// What stands in a path.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Wrong;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, Wrong> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        let Path(read) = read.map_err(|_| Wrong {
            message: "the path cannot be read".to_owned(),
            expected: "percent-encoded UTF-8",
        })?;
        Ok(InPath(read))
    }
}

fn parsed<T: FromStr>(what: &str, text: &str, expected: &'static str) -> Result<T, Wrong> {
    text.parse().map_err(|_| Wrong {
        message: format!("{what} {text:?} cannot be read"),
        expected,
    })
}

fn param<T: FromStr>(
    params: &HashMap<String, String>,
    name: &str,
    expected: &'static str,
) -> Result<Option<T>, Wrong> {
    let given = params.get(name).filter(|text| !text.is_empty());
    given.map(|text| parsed(name, text, expected)).transpose()
}

const ADDRESS: &str = "an address: 0x and 40 hex digits";
const DIGEST: &str = "a digest: 0x and 64 hex digits";
const ID: &str = "a number from 1";

fn page_of(params: &HashMap<String, String>) -> Result<Page, Wrong> {
    let limit: usize = param(params, "limit", "a number from 1 to 200")?.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Wrong {
            message: format!("limit {limit} is out of range"),
            expected: "a number from 1 to 200",
        });
    }
    let before = param(params, "before", "the `next` of an earlier page")?;
    Ok(Page { before, limit })
}

/// Answers from the state, unless the client has the answer already.
fn answer(
    shared: &Shared,
    headers: &HeaderMap,
    make: impl FnOnce(View<'_>) -> Result<Answer, Wrong>,
) -> Response<Body> {
    let state = shared.read();
    if !state.read {
        let reason = state
            .error
            .clone()
            .unwrap_or_else(|| "the chain is being read".to_owned());
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            &reason,
            None,
            Some("try again in a moment"),
        );
    }
    let etag = format!("W/\"{}-{}\"", shared.bus.epoch(), state.version);
    if is_known(headers, &etag) {
        return not_modified(&etag);
    }
    let made = make(View {
        state: &state,
        shared,
    });
    drop(state);
    let mut response = match made {
        Err(wrong) => return wrong.response(),
        Ok(Err(missing)) => return missing_response(&missing),
        Ok(Ok(body)) => json_response(&body),
    };
    set_etag(&mut response, &etag);
    response
}

fn missing_response(missing: &Missing) -> Response<Body> {
    match missing {
        Missing::Never {
            what,
            expected,
            hint,
        } => error(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("there is no {what}"),
            Some(expected),
            Some(hint),
        ),
        Missing::Forgotten { what } => error(
            StatusCode::GONE,
            "forgotten",
            &format!("{what} is older than what this server keeps"),
            None,
            Some("the chain has it: gavel task show, gavel dispute explain"),
        ),
    }
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    given.is_some_and(|given| {
        given
            .split(',')
            .any(|one| one.trim() == etag || one.trim() == "*")
    })
}

fn not_modified(etag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    set_etag(&mut response, etag);
    response
}

fn set_etag(response: &mut Response<Body>, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

async fn status(State(shared): Shares) -> Response<Body> {
    let state = shared.read();
    json_response(
        &View {
            state: &state,
            shared: &shared,
        }
        .status(),
    )
}

async fn activity(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    answer(&shared, &headers, |view| {
        Ok(Ok(view.activity(page_of(&q)?)))
    })
}

async fn auction(State(shared): Shares, headers: HeaderMap) -> Response<Body> {
    answer(&shared, &headers, |view| Ok(Ok(view.auction())))
}

async fn tasks(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let filter = TaskFilter {
            state: q.get("state").cloned(),
            requester: param(&q, "requester", ADDRESS)?,
            provider: param(&q, "provider", ADDRESS)?,
            model: param(&q, "model", DIGEST)?,
        };
        Ok(Ok(view.tasks(&filter, page_of(&q)?)))
    })
}

async fn task(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(id): InPath<String>,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        Ok(view.task(parsed("task", &id, ID)?))
    })
}

async fn providers(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    answer(&shared, &headers, |view| {
        Ok(Ok(view.providers(page_of(&q)?)))
    })
}

async fn provider(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(who): InPath<String>,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let who: Address = parsed("provider", &who, ADDRESS)?;
        Ok(view.provider(&who))
    })
}

async fn account(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(who): InPath<String>,
    Query(q): Params,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let who: Address = parsed("account", &who, ADDRESS)?;
        Ok(view.account_page(&who, page_of(&q)?))
    })
}

async fn models(State(shared): Shares, headers: HeaderMap) -> Response<Body> {
    answer(&shared, &headers, |view| Ok(Ok(view.models())))
}

async fn model(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(id): InPath<String>,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let id: Digest = parsed("model", &id, DIGEST)?;
        Ok(view.model_page(&id))
    })
}

async fn disputes(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let filter = DisputeFilter {
            state: q.get("state").cloned(),
            open: param(&q, "open", "true or false")?,
            task: param(&q, "task", ID)?,
            provider: param(&q, "provider", ADDRESS)?,
        };
        Ok(Ok(view.disputes(&filter, page_of(&q)?)))
    })
}

async fn dispute(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(id): InPath<String>,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        Ok(view.dispute(parsed("dispute", &id, ID)?))
    })
}

async fn audits(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    answer(&shared, &headers, |view| Ok(Ok(view.audits(page_of(&q)?))))
}

async fn audit(
    State(shared): Shares,
    headers: HeaderMap,
    InPath((task, attempt)): InPath<(String, String)>,
) -> Response<Body> {
    answer(&shared, &headers, |view| {
        let task = parsed("task", &task, ID)?;
        Ok(view.audit(task, parsed("attempt", &attempt, "a number from 0")?))
    })
}

async fn parameters(State(shared): Shares, headers: HeaderMap) -> Response<Body> {
    answer(&shared, &headers, |view| Ok(Ok(view.parameters())))
}

async fn trust(State(shared): Shares, headers: HeaderMap) -> Response<Body> {
    answer(&shared, &headers, |view| Ok(Ok(view.trust())))
}

async fn search(State(shared): Shares, headers: HeaderMap, Query(q): Params) -> Response<Body> {
    let query = q.get("q").cloned().unwrap_or_default();
    if query.len() > QUERY_MAX {
        let wrong = Wrong {
            message: "the search is too long".to_owned(),
            expected: "at most 200 bytes",
        };
        return wrong.response();
    }
    answer(&shared, &headers, |view| Ok(Ok(view.search(&query))))
}

/// The drawing of a model: it depends on nothing but the model and on what is opened.
async fn drawn(
    shared: &Shared,
    headers: &HeaderMap,
    id: &str,
    q: &HashMap<String, String>,
    shown: fn(&layout::Drawing) -> Response<Body>,
) -> Response<Body> {
    let id: Digest = match parsed("model", id, DIGEST) {
        Ok(id) => id,
        Err(wrong) => return wrong.response(),
    };
    let Some(known) = shared.catalogue.known(&id).cloned() else {
        return missing_response(&Missing::Never {
            what: format!("graph of model {id} here"),
            expected: "a model whose file this server has: `has_graph` is true".to_owned(),
            hint: "gavel explorer --model FILE",
        });
    };
    let open = layout::Open::parse(q.get("expand").map_or("", String::as_str));
    let mut hasher = DefaultHasher::new();
    open.hash(&mut hasher);
    let etag = format!("W/\"{}-{:x}\"", shared.bus.epoch(), hasher.finish());
    if is_known(headers, &etag) {
        return not_modified(&etag);
    }
    // a large model keeps a thread busy for a while
    let drawing =
        tokio::task::spawn_blocking(move || shown(&layout::draw(&known.name, &known.model, &open)));
    match drawing.await {
        Ok(mut response) => {
            set_etag(&mut response, &etag);
            response
        }
        Err(failed) => panicked(Box::new(failed)),
    }
}

async fn graph(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(id): InPath<String>,
    Query(q): Params,
) -> Response<Body> {
    drawn(&shared, &headers, &id, &q, |drawing| {
        json_response(&drawing.json())
    })
    .await
}

async fn graph_svg(
    State(shared): Shares,
    headers: HeaderMap,
    InPath(id): InPath<String>,
    Query(q): Params,
) -> Response<Body> {
    drawn(&shared, &headers, &id, &q, |drawing| {
        let mut response = Response::new(Body::from(drawing.svg()));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("image/svg+xml"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    })
    .await
}

async fn events(State(shared): Shares, headers: HeaderMap) -> Response<Body> {
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok());
    let mut subscription = shared.bus.subscribe(last);
    let missed = std::mem::take(&mut subscription.missed);
    let mut next = subscription.next;
    let stream = async_stream::stream! {
        for frame in missed {
            shared.bus.deliver();
            yield Ok::<Bytes, std::convert::Infallible>(frame);
        }
        loop {
            match next.recv().await {
                Ok(frame) => {
                    shared.bus.deliver();
                    yield Ok(frame);
                }
                // who has fallen too far behind is let go, and comes back with its last id
                Err(RecvError::Lagged(_)) => {
                    shared.bus.let_go();
                    break;
                }
                Err(RecvError::Closed) => break,
            }
        }
    };
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tower::ServiceExt as _;

    use super::*;

    async fn breaks() -> Response<Body> {
        panic!("a bug")
    }

    #[tokio::test]
    async fn a_bug_is_answered_like_any_other_error() {
        let router = guarded(Router::new().route("/", get(breaks)));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers().clone();
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "internal");
    }
}

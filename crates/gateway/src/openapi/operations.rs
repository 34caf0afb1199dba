//! What each route does: named beside its handler in the table of routes.

use serde_json::{Value, json};

use super::Operation;
use crate::gateway::MAX_IDEMPOTENCY;
use crate::routes::MOST_LISTED;

/// What a request for an answer may be refused with.
const ASKED: &[u16] = &[400, 404, 408, 409, 413, 422, 429, 502, 503, 504];
const STREAM: &str = "With `stream`: chunks of the answer as `data:`, comments while the task is under way, `[DONE]` at the end. The last chunk before it has `gavel`. An error takes the place of a chunk.";
const TOLD: &[&str] = &["X-Gavel-Task-Id", "X-Gavel-Receipt"];

fn parameter(place: &str, name: &str, description: &str, schema: Value) -> Value {
    json!({"in": place, "name": name, "required": place == "path", "description": description, "schema": schema})
}

fn repeatable() -> Vec<Value> {
    vec![parameter(
        "header",
        "Idempotency-Key",
        "The same request with the same key is the same task, also after a restart of the gateway; another request is a 422",
        json!({"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY}),
    )]
}

fn task() -> Vec<Value> {
    vec![parameter(
        "path",
        "id",
        "Number of a task",
        json!({"type": "integer", "minimum": 1}),
    )]
}

/// An answer that is waited for.
fn answer(
    id: &'static str,
    summary: &'static str,
    request: &'static str,
    schema: &'static str,
) -> Operation {
    Operation::new(id, "answers", summary, schema)
        .reads(request)
        .takes(repeatable())
        .answers(200, "The answer, with its receipt", TOLD)
        .refuses(ASKED)
}

pub(crate) fn document() -> Operation {
    Operation::new("getDocument", "gateway", "This document", "Document")
}

pub(crate) fn identity() -> Operation {
    let summary = "What a signed request is for: this gateway, its network and its clock";
    Operation::new("getGateway", "gateway", summary, "GatewayIdentity")
        .says("Taken from the gateway itself it binds a signature to whoever answers here. A client that was told the account beforehand compares.")
}

pub(crate) fn models() -> Operation {
    let summary = "The models of this gateway";
    Operation::new("listModels", "models", summary, "ModelList")
}

pub(crate) fn model() -> Operation {
    let named = "Name of the model, or its `class_id`";
    Operation::new("getModel", "models", "One model", "Model")
        .takes(vec![parameter(
            "path",
            "id",
            named,
            json!({"type": "string"}),
        )])
        .refuses(&[400, 404])
}

pub(crate) fn chat() -> Operation {
    answer(
        "createChatCompletion",
        "Answer a conversation, by the model's chat template",
        "ChatRequest",
        "ChatCompletion",
    )
    .streams("ChatChunk", STREAM)
}

pub(crate) fn completion() -> Operation {
    answer(
        "createCompletion",
        "Go on with a text",
        "CompletionRequest",
        "Completion",
    )
    .streams("CompletionChunk", STREAM)
}

pub(crate) fn embedding() -> Operation {
    answer(
        "createEmbedding",
        "Vectors of texts",
        "EmbeddingRequest",
        "Embeddings",
    )
    .says("The first output of the model with one row for the text, else the mean of its tokens' rows, not scaled.")
}

pub(crate) fn image() -> Operation {
    answer(
        "createImage",
        "Draw a few words",
        "ImageRequest",
        "Pictures",
    )
}

pub(crate) fn tokenize() -> Operation {
    let summary = "The tokens of a text or of a conversation";
    Operation::new("tokenize", "tokens", summary, "Tokens")
        .reads("TokenizeRequest")
        .refuses(&[400, 404, 408, 413, 429])
}

pub(crate) fn detokenize() -> Operation {
    let summary = "The text of tokens";
    Operation::new("detokenize", "tokens", summary, "Text")
        .reads("DetokenizeRequest")
        .refuses(&[400, 404, 408, 413, 429])
}

pub(crate) fn post_task() -> Operation {
    let summary = "Post a request whose answers are fetched later";
    Operation::new("createTask", "tasks", summary, "TaskList")
        .reads("TaskRequest")
        .takes(repeatable())
        .answers(202, "The tasks, posted", &["X-Gavel-Task-Id"])
        .refuses(&[400, 404, 408, 409, 413, 422, 429, 503])
}

pub(crate) fn tasks() -> Operation {
    let most = json!({"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": 20});
    let cursor = "`next_cursor` of the page before";
    Operation::new(
        "listTasks",
        "tasks",
        "The tasks of this key, newest first",
        "TaskPage",
    )
    .takes(vec![
        parameter("query", "limit", "Tasks on a page", most),
        parameter(
            "query",
            "cursor",
            cursor,
            json!({"type": "integer", "minimum": 0}),
        ),
    ])
    .refuses(&[400, 429])
}

pub(crate) fn one_task() -> Operation {
    let summary = "A task, with its answer once there is one";
    Operation::new("getTask", "tasks", summary, "TaskWithResponse")
        .takes(task())
        .answers(
            200,
            "Where it stands; the headers come with the answer",
            TOLD,
        )
        .refuses(&[400, 404, 410, 429, 502, 503])
}

pub(crate) fn events() -> Operation {
    let events = "An event `task` at once and whenever its state changes, until nothing can happen to it any more; comments between them.";
    Operation::new("followTask", "tasks", "Follow a task to its end", "Task")
        .takes(task())
        .answers(200, "The events", &[])
        .streams("Task", events)
        .only_streams()
        .refuses(&[400, 404, 410, 429])
}

pub(crate) fn receipt() -> Operation {
    let summary =
        "The receipt with all that it is about: what `gavel verify FILE --model MODEL` takes";
    Operation::new("getReceipt", "tasks", summary, "ReceiptFile")
        .takes(task())
        .refuses(&[400, 404, 409, 410, 429, 503])
}

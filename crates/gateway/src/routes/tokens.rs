//! `POST /v1/tokenize`, `POST /v1/detokenize`: the tokens that a request would have.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::completions::{Prompt, prompts};
use super::{body, chat};
use crate::gateway::{Asked, Gateway};
use crate::limits::Caller;
use crate::served::Kind;
use crate::{ApiError, fields};

pub(super) async fn tokenize(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Value>, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let sent = body(&gateway, sent).await?;
    let mut fields = Asked::read("/v1/tokenize", &headers, &sent)?.fields;
    let served = gateway.model(&fields.needed_text("model")?)?;
    let tokens = match (&served.kind, fields.value("messages")) {
        (Kind::Language(language), Some(value)) => {
            language.conversation(&chat::messages(value)?)?
        }
        (_, Some(_)) => return Err(served.unfit("holds no conversations")),
        (kind, None) => {
            let text = fields.needed_text("prompt")?;
            match kind {
                Kind::Language(language) => language.prompt(&text)?,
                Kind::Encoder(encoder) => encoder.tokens(&served, &text)?,
                Kind::Pictures(_) => return Err(served.unfit("has no tokenizer here")),
            }
        }
    };
    fields.end()?;
    Ok(Json(json!({
        "tokens": tokens, "count": tokens.len(), "max_model_len": served.context(),
    })))
}

pub(super) async fn detokenize(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Value>, ApiError> {
    let _running = gateway.limits.enter(&caller).await?;
    let sent = body(&gateway, sent).await?;
    let mut fields = Asked::read("/v1/detokenize", &headers, &sent)?.fields;
    let served = gateway.model(&fields.needed_text("model")?)?;
    let tokenizer = served.tokenizer()?;
    let found = prompts("tokens", fields.needed("tokens")?)?;
    fields.end()?;
    match found.as_slice() {
        [Prompt::Tokens(tokens)] => Ok(Json(json!({"prompt": tokenizer.decode(tokens)}))),
        _ => Err(fields::expected("tokens", "a list of token ids")),
    }
}

//! What there is to say of a language model.

use gavel_model::llama::{self, LanguageModel, LayerRoles, LlamaConfig, Matrix, RopeScaling};
use gavel_numerics::WeightFormat;
use gavel_trace::{CHUNK_BYTES, chunk_count, height};
use serde_json::{Value, json};

use super::{bytes, committed_bytes, first_line, printable, weight_bytes, weight_values};
use crate::failure::{Exit, Failure};
use crate::output::{Output, count};

pub(super) fn inspect(
    name: &str,
    model: &LanguageModel,
    context: Option<u32>,
    out: Output,
) -> Result<Exit, Failure> {
    let formats = formats(model);
    let cost = Cost::of(model);
    if out.is_json() {
        out.json(&as_json(model, &formats, &cost))?;
        return Ok(Exit::Done);
    }
    let (config, header) = (&model.config, model.model.header());
    out.facts(&[
        ("model", name.to_owned()),
        ("model_id", model.model.model_id().to_string()),
        ("family", family(config)),
        ("attention", attention(config)),
        ("rotation", rotation(config)),
        (
            "context",
            format!(
                "{} tokens, prompt and answer together",
                count(config.context.into())
            ),
        ),
        (
            "vocabulary",
            format!(
                "{} tokens; {}",
                count(config.vocabulary.into()),
                ends(config)
            ),
        ),
        (
            "weights",
            format!(
                "{} in {} tensors",
                bytes(weight_bytes(&model.model)),
                model.model.weights().len(),
            ),
        ),
        (
            "versions",
            format!(
                "numerics v{}, lowering v{}",
                header.numerics_version, header.lowering_version
            ),
        ),
    ]);
    out.heading("Matrices");
    let rows = formats.iter().map(|role| {
        vec![
            role.name.to_owned(),
            role.shape.clone(),
            role.listed(),
            bytes(role.bytes),
        ]
    });
    out.table(
        &["role", "rows x values", "formats", "size"],
        rows.collect(),
        &[1, 3],
    );
    out.heading("Commit points of a step");
    let header = [
        "segment",
        "operators",
        "ends after",
        "committed tensors",
        "of bytes",
    ];
    out.table(&header, segments(model), &[0, 1, 3, 4]);
    out.heading("A token costs");
    out.facts(&[
        ("reading", format!("{} of weights", bytes(cost.weights))),
        ("operations", count(model.model.header().work)),
        ("cache", format!("{} more", bytes(cost.cache))),
        (
            "hashing",
            format!(
                "about {} ({} of keys and values, {} of residuals)",
                bytes(cost.hashed),
                bytes(cost.cache),
                bytes(cost.residuals)
            ),
        ),
    ]);
    out.heading("Assets");
    let assets = model.model.assets().iter().map(|(name, content)| {
        let shown = match name.as_str() {
            llama::TOKENIZER_ASSET => tokenizer_kind(content),
            _ => first_line(content),
        };
        vec![printable(name), bytes(content.len() as u64), shown]
    });
    out.table(&["name", "size", "content"], assets.collect(), &[1]);
    let context = context.map_or_else(String::new, |n| format!(" --context {n}"));
    out.next(format!(
        "gavel generate {name}{context} --prompt \"Once upon a time\""
    ));
    Ok(Exit::Done)
}

fn family(config: &LlamaConfig) -> String {
    format!(
        "{}: {} layer{} of width {}, feed-forward {}{}",
        config.architecture.name(),
        config.layers,
        if config.layers == 1 { "" } else { "s" },
        count(config.width.into()),
        count(config.hidden.into()),
        match config.tied {
            true => ", head tied to the embedding",
            false => "",
        }
    )
}

fn attention(config: &LlamaConfig) -> String {
    let mut text = format!(
        "{} heads of {} over {} of keys and values",
        config.heads, config.head_dim, config.kv_heads
    );
    if config.window > 0 {
        text += &format!(", window {}", count(config.window.into()));
    }
    if config.bias {
        text += ", biases";
    }
    if config.head_norms {
        text += ", norms of heads";
    }
    text
}

fn rotation(config: &LlamaConfig) -> String {
    let rope = &config.rope;
    let scaling = match &rope.scaling {
        RopeScaling::None => "not scaled".to_owned(),
        RopeScaling::Linear { factor } => format!("linear scaling by {factor}"),
        RopeScaling::Factors(_) => "scaled by the file's factors".to_owned(),
        RopeScaling::Llama3 { factor, .. } => format!("Llama 3 scaling by {factor}"),
        RopeScaling::Yarn { factor, .. } => format!("YaRN by {factor}"),
    };
    let pairs = match rope.halves {
        true => "halves",
        false => "neighbours",
    };
    format!(
        "{} of {} values, pairs of {pairs}, base {}, {scaling}",
        rope.rotary, config.head_dim, rope.base
    )
}

fn ends(config: &LlamaConfig) -> String {
    let listed: Vec<_> = config.end.iter().take(4).map(i32::to_string).collect();
    match (config.end.len(), listed.join(", ")) {
        (0, _) => "none ends an answer".to_owned(),
        (1..=4, listed) => format!("{listed} ends an answer"),
        (more, listed) => format!("{listed} and {} more end an answer", more - 4),
    }
}

/// The matrices that have one role in all layers.
struct Role {
    name: &'static str,
    shape: String,
    /// Formats with how many matrices have them.
    formats: Vec<(WeightFormat, usize)>,
    bytes: u64,
}

impl Role {
    fn of(model: &LanguageModel, name: &'static str, matrices: &[Matrix]) -> Role {
        let (mut formats, mut bytes, mut shape) = (Vec::new(), 0, String::new());
        for matrix in matrices {
            match formats.iter_mut().find(|(f, _)| *f == matrix.format) {
                Some((_, n)) => *n += 1,
                None => formats.push((matrix.format, 1)),
            }
            let Some(weight) = model.model.weights().get(matrix.weight as usize) else {
                continue;
            };
            bytes += weight.value.byte_len() as u64;
            if let &[rows, extent] = weight.value.ty().dims.as_slice() {
                let values = match matrix.format {
                    WeightFormat::F32 => Some(extent as usize),
                    format => format.row_values(extent as usize),
                };
                shape = format!("{rows} x {}", values.unwrap_or_default());
            }
        }
        Role {
            name,
            shape,
            formats,
            bytes,
        }
    }

    fn listed(&self) -> String {
        let each = self.formats.iter().map(|(format, n)| match n {
            1 => format.name().to_owned(),
            n => format!("{n} {}", format.name()),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

fn formats(model: &LanguageModel) -> Vec<Role> {
    let layers = &model.roles.layers;
    let all = |of: fn(&LayerRoles) -> Matrix| layers.iter().map(of).collect::<Vec<_>>();
    let mut roles = vec![
        Role::of(model, "embedding", &[model.roles.embedding]),
        Role::of(model, "query", &all(|l| l.query)),
        Role::of(model, "key", &all(|l| l.key)),
        Role::of(model, "value", &all(|l| l.value)),
        Role::of(model, "output", &all(|l| l.output)),
        Role::of(model, "gate", &all(|l| l.gate)),
        Role::of(model, "up", &all(|l| l.up)),
        Role::of(model, "down", &all(|l| l.down)),
    ];
    if !model.config.tied {
        roles.push(Role::of(model, "head", &[model.roles.head]));
    }
    roles
}

/// The layer that a segment ends with, or what comes after the last one.
fn segments(model: &LanguageModel) -> Vec<Vec<String>> {
    let committed = committed_bytes(&model.model);
    let rows = model.model.segments().iter().zip(committed).enumerate();
    rows.map(|(i, (segment, committed))| {
        let last = (segment.first_node + segment.op_count).saturating_sub(1);
        let layers = model.roles.layers.iter();
        let layer = layers.enumerate().find(|(_, l)| l.residual_node == last);
        vec![
            i.to_string(),
            segment.op_count.to_string(),
            layer.map_or("the sampled token".to_owned(), |(l, _)| {
                format!("layer {l}")
            }),
            segment.live.len().to_string(),
            bytes(committed),
        ]
    })
    .collect()
}

/// What a step reads and hashes.
struct Cost {
    weights: u64,
    cache: u64,
    residuals: u64,
    hashed: u64,
}

impl Cost {
    fn of(model: &LanguageModel) -> Cost {
        const NODE: u64 = 64;
        let config = &model.config;
        let matrices = model
            .roles
            .layers
            .iter()
            .flat_map(|l| [l.query, l.key, l.value, l.output, l.gate, l.up, l.down]);
        let bytes = |matrix: Matrix| {
            let weight = model.model.weights().get(matrix.weight as usize);
            weight.map_or(0, |w| w.value.byte_len() as u64)
        };
        let row = 4 * u64::from(config.kv_width());
        let caches = 2 * u64::from(config.layers);
        let cuts = model.model.segments().len() as u64;
        let residuals = cuts.saturating_sub(1) * 4 * u64::from(config.width);
        // a cache's new row, and the nodes above it
        let path = NODE * u64::from(height(chunk_count(u64::from(config.context) * row)));
        let live: u64 = model
            .model
            .segments()
            .iter()
            .map(|s| s.live.len() as u64)
            .sum();
        Cost {
            weights: matrices.chain([model.roles.head]).map(bytes).sum(),
            cache: caches * row,
            residuals,
            hashed: caches * (row + path) + residuals + NODE * live + CHUNK_BYTES as u64,
        }
    }
}

/// The kind of a vocabulary.
fn tokenizer_kind(asset: &[u8]) -> String {
    let gguf = gavel_model::gguf::Gguf::parse(asset.to_vec().into());
    let Ok(gguf) = gguf else {
        return "tokenizer.json".to_owned();
    };
    let text = |key: &str| match gguf.string(key) {
        Ok(Some(found)) => printable(found),
        _ => "?".to_owned(),
    };
    match text("tokenizer.ggml.model").as_str() {
        "gpt2" => format!("byte-level BPE, split as {}", text("tokenizer.ggml.pre")),
        "llama" => "SentencePiece".to_owned(),
        other => other.to_owned(),
    }
}

fn as_json(model: &LanguageModel, formats: &[Role], cost: &Cost) -> Value {
    let header = model.model.header();
    let committed = committed_bytes(&model.model);
    let segments: Vec<_> = model.model.segments().iter().zip(committed).map(|(s, bytes)| {
        json!({"first_node": s.first_node, "operators": s.op_count, "committed": s.live.len(), "bytes": bytes})
    }).collect();
    let matrices: Vec<_> = formats
        .iter()
        .map(|role| {
            let formats: serde_json::Map<_, _> = role
                .formats
                .iter()
                .map(|(format, n)| (format.name().to_owned(), json!(n)))
                .collect();
            json!({"role": role.name, "formats": formats, "bytes": role.bytes})
        })
        .collect();
    let assets: serde_json::Map<_, _> = model
        .model
        .assets()
        .iter()
        .map(|(name, content)| (name.clone(), json!({"bytes": content.len()})))
        .collect();
    json!({
        "model_id": model.model.model_id(),
        "numerics_version": header.numerics_version,
        "lowering_version": header.lowering_version,
        "work": header.work,
        "commit_points": header.commit_points,
        "max_steps": header.max_steps,
        "weight_values": weight_values(&model.model),
        "weight_bytes": weight_bytes(&model.model),
        "language": {
            "config": model.config,
            "matrices": matrices,
            "tokenizer": model.model.assets().get(llama::TOKENIZER_ASSET).map(|a| tokenizer_kind(a)),
            "chat_template": model.model.assets().get(llama::CHAT_TEMPLATE_ASSET)
                .map(|a| String::from_utf8_lossy(a)),
            "weight_bytes_per_token": cost.weights,
            "cache_bytes_per_token": cost.cache,
            "hashed_bytes_per_token": cost.hashed,
        },
        "nodes": model.model.graph().nodes.len(),
        "segments": segments,
        "assets": assets,
    })
}

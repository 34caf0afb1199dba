//! From a folder of the Hugging Face hub (`config.json`, safetensors, tokenizer) to a language model. Tensors without a
//! role and features that the graph has not are refused by name.

use std::collections::{BTreeMap, BTreeSet};

use gavel_numerics::WeightFormat;
use serde_json::{Map, Value};

use super::from_gguf::yarn_magnitude;
use super::load::{self, FileTensor};
use super::{
    Architecture, CHAT_TEMPLATE_ASSET, Formats, ImportOptions, LanguageModel, LayerFormats,
    LlamaConfig, Rope, RopeScaling, StepGraph, TOKENIZER_ASSET, TOKENIZER_CONFIG_ASSET,
};
use crate::safetensors::Safetensors;
use crate::{Hashing, ModelError};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// Tensors that follow from the configuration; old files have them.
const DERIVED: &str = ".self_attn.rotary_emb.inv_freq";
/// Largest JSON file that is looked into.
const MAX_JSON: usize = 4 << 20;

/// The files of a model, by content.
#[derive(Clone, Debug, Default)]
pub struct HfFiles {
    /// `config.json`
    pub config: Vec<u8>,
    /// `generation_config.json`: more tokens that end an answer.
    pub generation_config: Option<Vec<u8>>,
    /// `tokenizer.json`; the asset `tokenizer`.
    pub tokenizer: Option<Vec<u8>>,
    /// `tokenizer_config.json`; the asset `tokenizer_config`.
    pub tokenizer_config: Option<Vec<u8>>,
    /// `chat_template.jinja`; otherwise the template of `tokenizer_config.json`.
    pub chat_template: Option<Vec<u8>>,
    /// The safetensors files.
    pub shards: Vec<Safetensors>,
}

/// Reads a model of the Llama family.
///
/// # Errors
/// An architecture, a feature or a type that is not supported, by name; fields and tensors that are missing, of another
/// type than expected, or unknown.
pub fn from_hf(
    files: &HfFiles,
    options: &ImportOptions,
    hashing: &mut Hashing<'_>,
) -> Result<LanguageModel, ModelError> {
    let tensors = Tensors::new(&files.shards)?;
    let config = hf_config(files, &tensors, options)?;
    let formats = tensors.formats(&config)?;
    let step = StepGraph::new(&config, &formats)?;
    let known: BTreeSet<String> = step.weights.iter().map(|w| hf_name(&w.name)).collect();
    let ignored = |name: &str| name.ends_with(DERIVED) || (config.tied && name == HEAD);
    if let Some(name) = tensors
        .0
        .keys()
        .find(|name| !known.contains(**name) && !ignored(name))
    {
        return Err(ModelError::Tensor {
            name: (*name).to_owned(),
            reason: format!(
                "no model of the family {} has such a tensor",
                config.architecture.name()
            ),
        });
    }
    LanguageModel::new(
        config,
        &formats,
        assets(files)?,
        options.segments,
        hashing,
        |spec| {
            let name = hf_name(&spec.name);
            load::tensor(spec, &name, &tensors.get(&name)?)
        },
    )
}

/// The name of a weight in these files.
fn hf_name(name: &str) -> String {
    let outside = match name {
        "token_embd.weight" => EMBEDDING,
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => HEAD,
        _ => "",
    };
    let parts: Vec<&str> = name.split('.').collect();
    let ["blk", layer, part, kind] = parts[..] else {
        return outside.to_owned();
    };
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        other => other,
    };
    format!("model.layers.{layer}.{part}.{kind}")
}

/// The tensors of all shards.
struct Tensors<'a>(BTreeMap<&'a str, &'a Safetensors>);

impl<'a> Tensors<'a> {
    fn new(shards: &'a [Safetensors]) -> Result<Tensors<'a>, ModelError> {
        let mut all = BTreeMap::new();
        for shard in shards {
            for (name, _) in shard.tensors() {
                if all.insert(name, shard).is_some() {
                    return Err(ModelError::Tensor {
                        name: name.to_owned(),
                        reason: "it is in two of the files".to_owned(),
                    });
                }
            }
        }
        Ok(Tensors(all))
    }

    fn get(&self, name: &str) -> Result<FileTensor, ModelError> {
        let found = self.0.get(name).and_then(|shard| {
            let info = shard.tensor(name)?;
            Some(FileTensor {
                kind: info.dtype.to_owned(),
                format: format_of(info.dtype),
                dims: info.dims.clone(),
                bytes: shard.bytes(info),
            })
        });
        found.ok_or_else(|| load::missing(name))
    }

    fn formats(&self, config: &LlamaConfig) -> Result<Formats, ModelError> {
        let of = |name: &str| {
            let name = hf_name(name);
            let found = self.get(&name)?;
            load::format(&name, &found.kind, found.format)
        };
        let embedding = of("token_embd.weight")?;
        let layers = (0..config.layers)
            .map(|i| LayerFormats::read(i, of))
            .collect::<Result<_, ModelError>>()?;
        Ok(Formats {
            embedding,
            layers,
            head: match config.tied {
                true => embedding,
                false => of("output.weight")?,
            },
        })
    }
}

/// The rows that a type of these files is.
fn format_of(dtype: &str) -> Option<WeightFormat> {
    match dtype {
        "F32" => Some(WeightFormat::F32),
        "F16" => Some(WeightFormat::F16),
        "BF16" => Some(WeightFormat::Bf16),
        _ => None,
    }
}

fn assets(files: &HfFiles) -> Result<BTreeMap<String, Vec<u8>>, ModelError> {
    let template = match (&files.chat_template, &files.tokenizer_config) {
        (Some(template), _) => Some(template.clone()),
        (None, Some(config)) => {
            let config = object("tokenizer_config.json", config)?;
            let template = match config.get("chat_template") {
                Some(Value::Array(named)) => named
                    .iter()
                    .find(|t| t["name"] == "default")
                    .and_then(|t| t["template"].as_str()),
                other => other.and_then(Value::as_str),
            };
            template.map(|text| text.as_bytes().to_vec())
        }
        (None, None) => None,
    };
    let named = [
        (TOKENIZER_ASSET, files.tokenizer.clone()),
        (TOKENIZER_CONFIG_ASSET, files.tokenizer_config.clone()),
        (CHAT_TEMPLATE_ASSET, template),
    ];
    Ok(named
        .into_iter()
        .filter_map(|(name, content)| Some((name.to_owned(), content?)))
        .collect())
}

fn hf_config(
    files: &HfFiles,
    tensors: &Tensors<'_>,
    options: &ImportOptions,
) -> Result<LlamaConfig, ModelError> {
    let fields = Fields(object("config.json", &files.config)?);
    let architecture = architecture(&fields)?;
    for (field, neutral) in [
        ("hidden_act", Value::from("silu")),
        ("attention_bias", Value::from(false)),
        ("mlp_bias", Value::from(false)),
        ("partial_rotary_factor", Value::from(1.0)),
        ("quantization_config", Value::Null),
    ] {
        // biases of q, k and v alone are known by their tensors, and this field asks for one more
        match fields.0.get(field) {
            None | Some(Value::Null) => {}
            Some(found) if *found == neutral => {}
            // 1 is 1.0
            Some(found) if found.is_number() && found.as_f64() == neutral.as_f64() => {}
            Some(found) => {
                return Err(wrong(field, format!("{} is not supported", show(found))));
            }
        }
    }
    let (width, heads) = (
        fields.need("hidden_size")?,
        fields.need("num_attention_heads")?,
    );
    let head_dim = match fields.u32("head_dim")? {
        Some(found) => found,
        None => width.checked_div(heads).unwrap_or(0),
    };
    let trained = fields.need("max_position_embeddings")?;
    let context = options.context(trained)?;
    let layers = fields.need("num_hidden_layers")?;
    let mut end = tokens(&fields, "eos_token_id")?;
    if let Some(more) = &files.generation_config {
        let more = Fields(object("generation_config.json", more)?);
        end.extend(tokens(&more, "eos_token_id")?);
    }
    end.sort_unstable();
    end.dedup();
    let embedding = tensors.get(EMBEDDING)?.dims.first().copied().unwrap_or(0);
    let config = LlamaConfig {
        architecture,
        context,
        vocabulary: embedding.try_into().unwrap_or(u32::MAX),
        width,
        hidden: fields.need("intermediate_size")?,
        layers,
        heads,
        kv_heads: fields.u32("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        epsilon: fields.float("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        window: window(&fields, architecture, layers, context)?,
        bias: tensors.0.contains_key(&*hf_name("blk.0.attn_q.bias")),
        head_norms: architecture == Architecture::Qwen3,
        tied: fields.bool("tie_word_embeddings")?.unwrap_or(false),
        rope: Rope {
            halves: true,
            rotary: head_dim,
            base: rope_base(&fields)?,
            scaling: scaling(&fields, trained)?,
        },
        bos: tokens(&fields, "bos_token_id")?.first().copied(),
        end,
    };
    config.check()?;
    Ok(config)
}

fn architecture(fields: &Fields) -> Result<Architecture, ModelError> {
    let field = "model_type";
    let name = fields
        .text(field)?
        .ok_or_else(|| wrong(field, "the field is missing".to_owned()))?;
    let found = Architecture::from_name(name).ok_or_else(|| {
        let supported = Architecture::ALL.map(Architecture::name).join(", ");
        wrong(
            field,
            format!("{name:?} is not supported (supported: {supported})"),
        )
    })?;
    let classes = fields.0.get("architectures").and_then(Value::as_array);
    let mut classes = classes.into_iter().flatten().filter_map(Value::as_str);
    match classes.find(|class| !class.ends_with("ForCausalLM")) {
        None => Ok(found),
        Some(class) => Err(wrong(
            "architectures",
            format!("{class:?} is no language model"),
        )),
    }
}

/// Positions that attention sees; 0: all.
fn window(
    fields: &Fields,
    architecture: Architecture,
    layers: u32,
    context: u32,
) -> Result<u32, ModelError> {
    let qwen = matches!(architecture, Architecture::Qwen2 | Architecture::Qwen3);
    let used = fields.bool("use_sliding_window")?.unwrap_or(!qwen);
    let window = fields
        .u32("sliding_window")?
        .filter(|&w| used && w < context);
    let Some(window) = window else {
        return Ok(0);
    };
    let types = fields.0.get("layer_types").and_then(Value::as_array);
    let sliding = match types {
        Some(types) => types.iter().filter(|t| **t == "sliding_attention").count() as u64,
        None if qwen => {
            let full = fields.u32("max_window_layers")?.unwrap_or(layers);
            layers.saturating_sub(full).into()
        }
        None => layers.into(),
    };
    match sliding {
        0 => Ok(0),
        all if all == u64::from(layers) => Ok(window),
        some => Err(wrong(
            "sliding_window",
            format!("{some} of {layers} layers with a window is not supported"),
        )),
    }
}

fn rope_base(fields: &Fields) -> Result<f64, ModelError> {
    let inner = fields.object("rope_parameters")?;
    let found = match &inner {
        Some(inner) => inner.float("rope_theta")?,
        None => None,
    };
    match found {
        Some(base) => Ok(base),
        None => Ok(fields.float("rope_theta")?.unwrap_or(10_000.0)),
    }
}

fn scaling(fields: &Fields, trained: u32) -> Result<RopeScaling, ModelError> {
    let name = "rope_scaling";
    let inner = match fields.object(name)? {
        Some(inner) => inner,
        None => match fields.object("rope_parameters")? {
            Some(inner) => inner,
            None => return Ok(RopeScaling::None),
        },
    };
    let kind = match inner.text("rope_type")? {
        Some(kind) => Some(kind),
        None => inner.text("type")?,
    };
    let number = |field: &str| {
        inner.float(field)?.ok_or_else(|| {
            wrong(
                &format!("{name}.{field}"),
                "the field is missing".to_owned(),
            )
        })
    };
    let original = inner
        .u32("original_max_position_embeddings")?
        .unwrap_or(trained);
    match kind.unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear {
            factor: number("factor")?,
        }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original_context: original,
        }),
        "yarn" => {
            for field in ["mscale", "mscale_all_dim"] {
                if inner.float(field)?.is_some() {
                    return Err(wrong(
                        &format!("{name}.{field}"),
                        "what it asks for is not supported".to_owned(),
                    ));
                }
            }
            if inner.bool("truncate")? == Some(false) {
                return Err(wrong(
                    &format!("{name}.truncate"),
                    "false is not supported".to_owned(),
                ));
            }
            let factor = number("factor")?;
            Ok(RopeScaling::Yarn {
                factor,
                original_context: original,
                fast: inner.float("beta_fast")?.unwrap_or(32.0),
                slow: inner.float("beta_slow")?.unwrap_or(1.0),
                magnitude: inner
                    .float("attention_factor")?
                    .unwrap_or_else(|| yarn_magnitude(factor)),
            })
        }
        other => Err(wrong(
            name,
            format!("{other:?} is not supported (supported: default, linear, llama3, yarn)"),
        )),
    }
}

/// A token, a list of them, or none.
fn tokens(fields: &Fields, field: &str) -> Result<Vec<i32>, ModelError> {
    let one = |value: &Value| {
        let token = value.as_i64().and_then(|t| i32::try_from(t).ok());
        token.ok_or_else(|| wrong(field, format!("{} is no token", show(value))))
    };
    match fields.0.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

fn object(file: &str, text: &[u8]) -> Result<Map<String, Value>, ModelError> {
    if text.len() > MAX_JSON {
        return Err(wrong(
            file,
            format!("{} bytes are above {MAX_JSON}", text.len()),
        ));
    }
    serde_json::from_slice(text).map_err(|e| wrong(file, e.to_string()))
}

/// A value for people; what holds others by its kind.
fn show(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn wrong(field: &str, reason: String) -> ModelError {
    ModelError::Config {
        field: field.to_owned(),
        reason,
    }
}

/// A JSON object, read by type; null is absent.
struct Fields(Map<String, Value>);

impl Fields {
    fn get<'a, T>(
        &'a self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(found) => Ok(Some(found)),
                None => Err(wrong(
                    field,
                    format!("expected {expected}, found {}", show(value)),
                )),
            },
        }
    }

    fn u32(&self, field: &str) -> Result<Option<u32>, ModelError> {
        self.get(field, "an integer of 32 bits without sign", |v| {
            u32::try_from(v.as_u64()?).ok()
        })
    }

    fn need(&self, field: &str) -> Result<u32, ModelError> {
        self.u32(field)?
            .ok_or_else(|| wrong(field, "the field is missing".to_owned()))
    }

    fn float(&self, field: &str) -> Result<Option<f64>, ModelError> {
        self.get(field, "a number", Value::as_f64)
    }

    fn bool(&self, field: &str) -> Result<Option<bool>, ModelError> {
        self.get(field, "true or false", Value::as_bool)
    }

    fn text(&self, field: &str) -> Result<Option<&str>, ModelError> {
        self.get(field, "a text", Value::as_str)
    }

    fn object(&self, field: &str) -> Result<Option<Fields>, ModelError> {
        self.get(field, "an object", |v| Some(Fields(v.as_object()?.clone())))
    }
}

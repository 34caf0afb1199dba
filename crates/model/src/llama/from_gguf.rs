//! From a GGUF file to a language model. Every key of the architecture and every tensor must be known: what is not
//! understood is refused by name, never ignored.

use std::collections::{BTreeMap, BTreeSet};

use gavel_numerics::WeightFormat;

use super::load::{self, FileTensor};
use super::{
    Architecture, CHAT_TEMPLATE_ASSET, Formats, ImportOptions, LanguageModel, LayerFormats,
    LlamaConfig, Rope, RopeScaling, StepGraph, TOKENIZER_ASSET,
};
use crate::gguf::{Gguf, required};
use crate::{Hashing, ModelError};

const CHAT_TEMPLATE: &str = "tokenizer.chat_template";
const TOKENS: &str = "tokenizer.ggml.tokens";
const ROPE_FACTORS: &str = "rope_freqs.weight";
const CONTROL: i32 = 3;

/// Keys `<architecture>.*` that are read, or that nothing of the graph depends on.
const KNOWN_KEYS: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
    "vocab_size",
];

/// Keys that ask for something that the graph has not, unless they have this value.
const NEUTRAL_KEYS: &[(&str, f64)] = &[
    ("attention.causal", 1.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("expert_count", 0.0),
    ("expert_shared_count", 0.0),
    ("expert_used_count", 0.0),
    ("final_logit_softcapping", 0.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];

/// Texts of control tokens that end an answer, whatever else the file says of them.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
];

/// Reads a model of the Llama family.
///
/// # Errors
/// An architecture, a feature or a format that is not supported, by name; keys and tensors that are missing, of another
/// type than expected, or unknown.
pub fn from_gguf(
    file: &Gguf,
    options: &ImportOptions,
    hashing: &mut Hashing<'_>,
) -> Result<LanguageModel, ModelError> {
    let config = gguf_config(file, options)?;
    let formats = formats(file, &config)?;
    let step = StepGraph::new(&config, &formats)?;
    let mut known: BTreeSet<&str> = step.weights.iter().map(|w| w.name.as_str()).collect();
    known.insert(ROPE_FACTORS);
    if let Some((name, _)) = file.tensors().find(|(name, _)| !known.contains(name)) {
        return Err(ModelError::Tensor {
            name: name.to_owned(),
            reason: format!(
                "no model of the family {} has such a tensor",
                config.architecture.name()
            ),
        });
    }
    LanguageModel::new(
        config,
        &formats,
        assets(file)?,
        options.segments,
        hashing,
        |spec| load::tensor(spec, &spec.name, &file_tensor(file, &spec.name)?),
    )
}

/// What the metadata of a file says.
///
/// # Errors
/// As [`from_gguf`].
pub fn gguf_config(file: &Gguf, options: &ImportOptions) -> Result<LlamaConfig, ModelError> {
    let architecture = architecture(file)?;
    let keys = Keys {
        file,
        prefix: architecture.name(),
    };
    keys.check_known()?;
    let heads = keys.need_u32("attention.head_count")?;
    let width = keys.need_u32("embedding_length")?;
    let head_dim = match keys.u32("attention.key_length")? {
        Some(length) => length,
        None => width.checked_div(heads).unwrap_or(0),
    };
    let values = keys.u32("attention.value_length")?.unwrap_or(head_dim);
    if values != head_dim {
        return Err(keys.wrong(
            "attention.value_length",
            format!("heads of {values} values beside keys of {head_dim} are not supported"),
        ));
    }
    let trained = keys.need_u32("context_length")?;
    let context = options.context(trained)?;
    let embedding = file
        .tensor("token_embd.weight")
        .ok_or_else(|| load::missing("token_embd.weight"))?;
    let config = LlamaConfig {
        architecture,
        context,
        vocabulary: embedding.dims[0].try_into().unwrap_or(u32::MAX),
        width,
        hidden: keys.need_u32("feed_forward_length")?,
        layers: keys.need_u32("block_count")?,
        heads,
        kv_heads: keys.u32("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        epsilon: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
        window: keys
            .u32("attention.sliding_window")?
            .filter(|&w| w < context)
            .unwrap_or(0),
        bias: file.tensor("blk.0.attn_q.bias").is_some(),
        head_norms: architecture == Architecture::Qwen3,
        tied: file.tensor("output.weight").is_none(),
        rope: Rope {
            // converters reorder the heads of this family, so that pairs are neighbours
            halves: !matches!(architecture, Architecture::Llama | Architecture::Mistral),
            rotary: keys.u32("rope.dimension_count")?.unwrap_or(head_dim),
            base: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
            scaling: scaling(&keys, trained)?,
        },
        bos: token(file, "bos")?,
        end: end_tokens(file)?,
    };
    config.check()?;
    Ok(config)
}

fn architecture(file: &Gguf) -> Result<Architecture, ModelError> {
    let wrong = |field: &str, reason: String| ModelError::Config {
        field: field.to_owned(),
        reason,
    };
    match file.string("general.type")? {
        None | Some("model") => {}
        Some(other) => return Err(wrong("general.type", format!("{other:?} is no model"))),
    }
    if file.u32("split.count")?.is_some_and(|n| n > 1) {
        return Err(wrong(
            "split.count",
            "a model in several GGUF files is not supported; merge them".to_owned(),
        ));
    }
    let key = "general.architecture";
    let name = required(key, file.string(key)?)?;
    Architecture::from_name(name).ok_or_else(|| {
        let supported = Architecture::ALL.map(Architecture::name).join(", ");
        wrong(
            key,
            format!("{name:?} is not supported (supported: {supported})"),
        )
    })
}

/// The keys of the architecture.
struct Keys<'a> {
    file: &'a Gguf,
    prefix: &'static str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn wrong(&self, name: &str, reason: String) -> ModelError {
        ModelError::Config {
            field: self.key(name),
            reason,
        }
    }

    fn u32(&self, name: &str) -> Result<Option<u32>, ModelError> {
        self.file.u32(&self.key(name))
    }

    fn need_u32(&self, name: &str) -> Result<u32, ModelError> {
        required(&self.key(name), self.u32(name)?)
    }

    fn float(&self, name: &str) -> Result<Option<f64>, ModelError> {
        self.file.float(&self.key(name))
    }

    fn need_float(&self, name: &str) -> Result<f64, ModelError> {
        required(&self.key(name), self.float(name)?)
    }

    fn check_known(&self) -> Result<(), ModelError> {
        let own = self.file.keys().filter_map(|key| {
            let (prefix, name) = key.split_once('.')?;
            (prefix == self.prefix).then_some(name)
        });
        for name in own {
            if KNOWN_KEYS.contains(&name) {
                continue;
            }
            match NEUTRAL_KEYS.iter().find(|(known, _)| *known == name) {
                Some((_, neutral)) if self.file.number(&self.key(name))? == Some(*neutral) => {}
                Some(_) => {
                    return Err(self.wrong(name, "what it asks for is not supported".to_owned()));
                }
                None => return Err(self.wrong(name, "the key is not known".to_owned())),
            }
        }
        Ok(())
    }
}

fn scaling(keys: &Keys<'_>, trained: u32) -> Result<RopeScaling, ModelError> {
    let factor = match keys.float("rope.scaling.factor")? {
        Some(factor) => factor,
        None => keys.float("rope.scale_linear")?.unwrap_or(1.0),
    };
    let kind = keys.key("rope.scaling.type");
    let kind = keys.file.string(&kind)?.unwrap_or("linear");
    let factors = keys.file.tensor(ROPE_FACTORS).map(|_| ROPE_FACTORS);
    match (kind, factors) {
        ("linear", None) if factor == 1.0 => Ok(RopeScaling::None),
        ("linear", None) => Ok(RopeScaling::Linear { factor }),
        ("none", None) => Ok(RopeScaling::None),
        ("none", Some(name)) => rope_factors(keys.file, name),
        ("linear", Some(name)) if factor == 1.0 => rope_factors(keys.file, name),
        ("yarn", None) => Ok(RopeScaling::Yarn {
            factor,
            original_context: keys
                .u32("rope.scaling.original_context_length")?
                .unwrap_or(trained),
            fast: keys.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            slow: keys.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            magnitude: yarn_magnitude(factor)
                * keys.float("rope.scaling.attn_factor")?.unwrap_or(1.0),
        }),
        (_, Some(name)) => Err(keys.wrong(
            "rope.scaling.type",
            format!("{kind:?} beside the tensor {name} is not supported"),
        )),
        (_, None) => Err(keys.wrong(
            "rope.scaling.type",
            format!("{kind:?} is not supported (supported: none, linear, yarn)"),
        )),
    }
}

/// What YaRN multiplies cosines and sines by, unless a file says otherwise.
pub(super) fn yarn_magnitude(factor: f64) -> f64 {
    match factor > 1.0 {
        true => 0.1 * libm::log(factor) + 1.0,
        false => 1.0,
    }
}

fn rope_factors(file: &Gguf, name: &str) -> Result<RopeScaling, ModelError> {
    let found = file_tensor(file, name)?;
    if found.format != Some(WeightFormat::F32) || found.dims.len() != 1 {
        return Err(ModelError::Tensor {
            name: name.to_owned(),
            reason: format!(
                "expected a vector of F32, found {} of extents {:?}",
                found.kind, found.dims
            ),
        });
    }
    let values = found.bytes.as_chunks().0.iter();
    Ok(RopeScaling::Factors(
        values.map(|&b| f32::from_le_bytes(b)).collect(),
    ))
}

fn token(file: &Gguf, name: &str) -> Result<Option<i32>, ModelError> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(found) = file.u32(&key)? else {
        return Ok(None);
    };
    match i32::try_from(found) {
        Ok(token) => Ok(Some(token)),
        Err(_) => Err(ModelError::Config {
            field: key,
            reason: format!("{found} is no token"),
        }),
    }
}

/// The tokens that the file calls ends of a text, a turn or a message, and control tokens with such texts.
fn end_tokens(file: &Gguf) -> Result<Vec<i32>, ModelError> {
    let mut end = Vec::new();
    for name in ["eos", "eot", "eom"] {
        end.extend(token(file, name)?);
    }
    let types = file.i32s("tokenizer.ggml.token_type")?.unwrap_or_default();
    let texts = file.strings(TOKENS)?.unwrap_or_default();
    for (i, (text, &kind)) in texts.iter().zip(&types).enumerate() {
        if kind == CONTROL && END_TEXTS.contains(text) {
            end.extend(i32::try_from(i).ok());
        }
    }
    end.sort_unstable();
    end.dedup();
    Ok(end)
}

fn file_tensor(file: &Gguf, name: &str) -> Result<FileTensor, ModelError> {
    let info = file.tensor(name).ok_or_else(|| load::missing(name))?;
    Ok(FileTensor {
        kind: info.kind.name().to_owned(),
        format: info.kind.format(),
        dims: info.dims.clone(),
        bytes: file.bytes(info),
    })
}

fn formats(file: &Gguf, config: &LlamaConfig) -> Result<Formats, ModelError> {
    let of = |name: &str| {
        let info = file.tensor(name).ok_or_else(|| load::missing(name))?;
        load::format(name, info.kind.name(), info.kind.format())
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

/// Vocabulary and template: the keys `tokenizer.*` as a GGUF file of their own, and the template as text.
fn assets(file: &Gguf) -> Result<BTreeMap<String, Vec<u8>>, ModelError> {
    let mut assets = BTreeMap::new();
    let vocabulary = |key: &str| key.starts_with("tokenizer.") && key != CHAT_TEMPLATE;
    if file.keys().any(vocabulary) {
        assets.insert(TOKENIZER_ASSET.to_owned(), file.metadata(vocabulary));
    }
    if let Some(template) = file.string(CHAT_TEMPLATE)? {
        assets.insert(CHAT_TEMPLATE_ASSET.to_owned(), template.as_bytes().to_vec());
    }
    Ok(assets)
}

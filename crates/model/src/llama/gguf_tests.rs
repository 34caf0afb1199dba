use bytes::Bytes;
use gavel_numerics::{DType, WeightFormat};

use super::*;
use crate::gguf::Gguf;
use crate::gguf::build::Builder;

const VOCABULARY: u32 = 64;

/// What a file says of the graph.
fn architecture_keys(config: &LlamaConfig) -> Builder {
    let name = config.architecture.name();
    let key = |key: &str| format!("{name}.{key}");
    Builder::default()
        .string("general.architecture", name)
        .u32(&key("context_length"), config.context)
        .u32(&key("embedding_length"), config.width)
        .u32(&key("block_count"), config.layers)
        .u32(&key("feed_forward_length"), config.hidden)
        .u32(&key("attention.head_count"), config.heads)
        .u32(&key("attention.head_count_kv"), config.kv_heads)
        .u32(&key("attention.key_length"), config.head_dim)
        .u32(&key("attention.sliding_window"), config.window)
        .u32(&key("rope.dimension_count"), config.rope.rotary)
        .f32(&key("rope.freq_base"), config.rope.base as f32)
        .f32(&key("attention.layer_norm_rms_epsilon"), config.epsilon)
}

/// That, and a vocabulary.
fn keys(config: &LlamaConfig) -> Builder {
    let tokens: Vec<String> = (0..config.vocabulary).map(|i| format!("t{i}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    architecture_keys(config)
        .strings("tokenizer.ggml.tokens", &tokens)
        .u32("tokenizer.ggml.bos_token_id", 0)
        .u32("tokenizer.ggml.eos_token_id", config.vocabulary - 1)
        .string("tokenizer.chat_template", "{{ messages }}")
}

/// Adds the weights of `model` as a file has them.
fn tensors(mut file: Builder, model: &LanguageModel) -> Builder {
    let step = StepGraph::new(&model.config, &formats_of(model)).unwrap();
    for (spec, weight) in step.weights.iter().zip(model.model.weights()) {
        let (kind, dims) = match spec.kind {
            WeightKind::Matrix(format) => {
                let mut dims = spec.ty.dims.clone();
                if format != WeightFormat::F32 {
                    dims[1] = format.row_values(dims[1] as usize).unwrap() as u64;
                }
                (format.name(), dims)
            }
            WeightKind::Vector => ("F32", spec.ty.dims.clone()),
            _ => continue,
        };
        let bytes = weight.value.with_le_bytes(<[u8]>::to_vec);
        file = file.tensor(&spec.name, kind, &dims, &bytes);
    }
    file
}

fn formats_of(model: &LanguageModel) -> Formats {
    formats(&model.model, &model.config).unwrap()
}

fn small(architecture: Architecture) -> LlamaConfig {
    LlamaConfig {
        vocabulary: VOCABULARY,
        width: 64,
        hidden: 96,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        end: vec![VOCABULARY as i32 - 1],
        rope: Rope {
            rotary: 16,
            ..tiny(architecture).rope
        },
        ..tiny(architecture)
    }
}

fn import(file: &Builder) -> Result<LanguageModel, ModelError> {
    let file = Gguf::parse(Bytes::from(file.build()))?;
    Hashing::quiet(|hashing| from_gguf(&file, &ImportOptions::default(), hashing))
}

fn refusal(file: &Builder) -> String {
    import(file).unwrap_err().to_string()
}

fn model(architecture: Architecture, format: WeightFormat) -> LanguageModel {
    let config = small(architecture);
    random(&config, &Formats::uniform(&config, format), 8).unwrap()
}

#[test]
fn what_is_written_is_the_model_that_is_read() {
    for architecture in Architecture::ALL {
        for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Q8_0] {
            let made = model(architecture, format);
            let file = tensors(keys(&made.config), &made);
            let read = import(&file).unwrap();
            assert_eq!(read.config, made.config);
            assert_eq!(read.roles, made.roles);
            let digests = |m: &LanguageModel| {
                let count = m.model.weights().len() as u32;
                (0..count)
                    .map(|i| m.model.weight_digest(i))
                    .collect::<Vec<_>>()
            };
            assert_eq!(digests(&read), digests(&made));
            let assets: Vec<&str> = read.model.assets().keys().map(String::as_str).collect();
            assert_eq!(assets, ["chat_template", "config", "tokenizer"]);
            let vocabulary = read.model.assets()[TOKENIZER_ASSET].clone();
            let vocabulary = Gguf::parse(vocabulary.into()).unwrap();
            let tokens = vocabulary.strings("tokenizer.ggml.tokens").unwrap();
            assert_eq!(tokens.unwrap().len(), VOCABULARY as usize);
            assert!(vocabulary.keys().all(|k| k != "tokenizer.chat_template"));
            assert_eq!(
                LanguageModel::from_model(read.model).unwrap().roles,
                made.roles
            );
        }
    }
}

#[test]
fn matrices_stay_where_the_file_is() {
    let made = model(Architecture::Llama, WeightFormat::Q8_0);
    let bytes = Bytes::from(tensors(keys(&made.config), &made).build());
    let file = Gguf::parse(bytes.clone()).unwrap();
    let read = Hashing::quiet(|h| from_gguf(&file, &ImportOptions::default(), h)).unwrap();
    for weight in read.model.weights() {
        let inside = (weight.value).with_le_bytes(|b| bytes.as_ptr_range().contains(&b.as_ptr()));
        assert_eq!(inside, weight.value.ty().dtype == DType::U8);
    }
}

#[test]
fn the_context_is_the_files_unless_a_shorter_one_is_asked_for() {
    let made = model(Architecture::Mistral, WeightFormat::Q4_0);
    let file = tensors(keys(&made.config), &made).build();
    let file = Gguf::parse(Bytes::from(file)).unwrap();
    let with = |context: Option<u32>| {
        let options = ImportOptions {
            context,
            ..ImportOptions::default()
        };
        Hashing::quiet(|hashing| from_gguf(&file, &options, hashing))
    };
    assert_eq!(with(None).unwrap().model.header().max_steps, 48);
    let short = with(Some(10)).unwrap();
    assert_eq!(short.model.header().max_steps, 10);
    assert_eq!(short.config.window, 0, "it sees all ten");
    assert_eq!(
        with(Some(49)).unwrap_err().to_string(),
        "configuration, context: 49 positions asked for, the model has 48"
    );
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let made = model(Architecture::Llama, WeightFormat::Q8_0);
    let file = tensors(keys(&made.config), &made);
    type Change = fn(Builder) -> Builder;
    let cases: [(Change, &str); 12] = [
        (
            |f| f.u32("llama.expert_count", 8),
            "configuration, llama.expert_count: what it asks for is not supported",
        ),
        (
            |f| f.f32("llama.attn_logit_softcapping", 50.0),
            "configuration, llama.attn_logit_softcapping: what it asks for",
        ),
        (
            |f| f.key("llama.attention.causal", 7, &[0]),
            "configuration, llama.attention.causal: what it asks for",
        ),
        (
            |f| f.u32("llama.new_feature", 1),
            "configuration, llama.new_feature: the key is not known",
        ),
        (
            |f| f.string("llama.rope.scaling.type", "longrope"),
            "configuration, llama.rope.scaling.type: \"longrope\" is not supported",
        ),
        (
            |f| f.u32("llama.attention.value_length", 8),
            "configuration, llama.attention.value_length: heads of 8",
        ),
        (
            |f| f.u32("split.count", 3),
            "configuration, split.count: a model in several GGUF files",
        ),
        (
            |f| f.string("general.type", "adapter"),
            "configuration, general.type: \"adapter\" is no model",
        ),
        (
            |f| f.u32("tokenizer.ggml.eot_token_id", 64),
            "configuration, bos or end: token 64 is outside of the vocabulary of 64",
        ),
        (
            |f| f.tensor("blk.0.attn_q.lora_a", "F32", &[1], &[0; 4]),
            "tensor blk.0.attn_q.lora_a: no model of the family llama has such a tensor",
        ),
        (
            |f| f.tensor("blk.2.attn_norm.weight", "F32", &[64], &[0; 256]),
            "tensor blk.2.attn_norm.weight: no model of the family llama",
        ),
        (
            |f| f.tensor("blk.0.attn_q.bias", "F32", &[64], &[0; 256]),
            "tensor blk.0.attn_k.bias: the file has no such tensor",
        ),
    ];
    for (change, expected) in cases {
        let text = refusal(&change(file.clone()));
        assert!(text.starts_with(expected), "{text}");
    }
    // keys that ask for nothing change nothing
    let neutral = file
        .clone()
        .u32("llama.expert_count", 0)
        .key("llama.attention.causal", 7, &[1])
        .f32("llama.rope.scaling.factor", 1.0);
    assert_eq!(
        import(&neutral).unwrap().model.model_id(),
        import(&file).unwrap().model.model_id()
    );
    let unknown = Builder::default().string("general.architecture", "gemma2");
    assert_eq!(
        refusal(&unknown),
        "configuration, general.architecture: \"gemma2\" is not supported (supported: llama, mistral, qwen2, qwen3)"
    );
    let missing = keys(&made.config);
    assert_eq!(
        refusal(&missing),
        "tensor token_embd.weight: the file has no such tensor"
    );
}

#[test]
fn formats_that_are_not_supported_are_named_with_their_tensor() {
    let config = small(Architecture::Llama);
    let blocks = vec![0; 64 * 2 * 22];
    let file = keys(&config).tensor("token_embd.weight", "Q5_0", &[64, 64], &blocks);
    assert_eq!(
        refusal(&file),
        "tensor token_embd.weight: its type Q5_0 is not supported (supported: F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K)"
    );
}

#[test]
fn scalings_and_end_tokens_are_read() {
    let config = small(Architecture::Llama);
    let base = || keys(&config).tensor("token_embd.weight", "F32", &[64, 64], &[0; 64 * 64 * 4]);
    let read = |file: Builder| {
        let file = Gguf::parse(Bytes::from(file.build())).unwrap();
        gguf_config(&file, &ImportOptions::default())
    };
    let scaling = |file: Builder| read(file).unwrap().rope.scaling;
    assert_eq!(scaling(base()), RopeScaling::None);
    assert_eq!(
        scaling(base().f32("llama.rope.scaling.factor", 4.0)),
        RopeScaling::Linear { factor: 4.0 }
    );
    let factors = [1f32, 1.5, 2.0, 8.0, 1.0, 1.0, 1.0, 3.0];
    let bytes: Vec<u8> = factors.iter().flat_map(|f| f.to_le_bytes()).collect();
    let with_factors = || base().tensor("rope_freqs.weight", "F32", &[8], &bytes);
    assert_eq!(
        scaling(with_factors()),
        RopeScaling::Factors(factors.to_vec())
    );
    let yarn = |file: Builder| {
        file.string("llama.rope.scaling.type", "yarn")
            .f32("llama.rope.scaling.factor", 4.0)
            .u32("llama.rope.scaling.original_context_length", 12)
    };
    assert_eq!(
        scaling(yarn(base())),
        RopeScaling::Yarn {
            factor: 4.0,
            original_context: 12,
            fast: 32.0,
            slow: 1.0,
            magnitude: 0.1 * libm::log(4.0) + 1.0,
        }
    );
    let text = read(yarn(with_factors())).unwrap_err().to_string();
    assert!(
        text.contains("beside the tensor rope_freqs.weight"),
        "{text}"
    );

    // the control token with such a text is an end, the normal one is not
    let kinds = (0..64).map(|i| if i == 7 { 3i32 } else { 1 });
    let kinds: Vec<_> = kinds.map(|k| k.to_le_bytes().to_vec()).collect();
    let mut texts = ["x"; 64];
    texts[7..9].fill("<|im_end|>");
    let file = architecture_keys(&config)
        .tensor("token_embd.weight", "F32", &[64, 64], &[0; 64 * 64 * 4])
        .u32("tokenizer.ggml.eot_token_id", 9)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .array("tokenizer.ggml.token_type", 5, &kinds)
        .strings("tokenizer.ggml.tokens", &texts);
    assert_eq!(read(file).unwrap().end, [2, 7, 9]);
}

/// Files of all families and formats, made by other programs; `GAVEL_GGUF_DIR` names their folder.
#[test]
fn files_of_other_programs_are_read() {
    let Some(folder) = std::env::var_os("GAVEL_GGUF_DIR") else {
        eprintln!("skipped: GAVEL_GGUF_DIR is not set");
        return;
    };
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("small-") || !name.ends_with(".gguf") {
            continue;
        }
        let file = Gguf::parse(crate::map(&path).unwrap()).unwrap();
        let model = Hashing::quiet(|h| from_gguf(&file, &ImportOptions::default(), h));
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(model.config.tied, name.contains("-tied"), "{name}");
        assert_eq!(model.config.bias, name.contains("qwen2"), "{name}");
        LanguageModel::from_model(model.model).unwrap();
        read += 1;
    }
    assert!(read > 0, "no files small-*.gguf there");
}

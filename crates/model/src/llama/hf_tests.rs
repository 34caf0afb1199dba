use bytes::Bytes;
use gavel_numerics::WeightFormat;
use serde_json::{Value, json};

use super::*;
use crate::safetensors::Safetensors;

/// `blk.1.attn_q.weight` as these files call it.
fn outside(name: &str) -> String {
    let name = name
        .replace("token_embd.", "model.embed_tokens.")
        .replace("output_norm.", "model.norm.");
    if let Some(kind) = name.strip_prefix("output.") {
        return format!("lm_head.{kind}");
    }
    let names = [
        ("blk.", "model.layers."),
        ("attn_norm", "input_layernorm"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    names
        .iter()
        .fold(name, |name, (from, to)| name.replace(from, to))
}

/// Tensors by name: type, extents, bytes.
type Content = Vec<(String, &'static str, Vec<u64>, Vec<u8>)>;

fn content(model: &LanguageModel) -> Content {
    let step = StepGraph::new(
        &model.config,
        &formats(&model.model, &model.config).unwrap(),
    )
    .unwrap();
    let weights = step.weights.iter().zip(model.model.weights());
    weights
        .filter_map(|(spec, weight)| {
            let mut dims = spec.ty.dims.clone();
            let dtype = match spec.kind {
                WeightKind::Matrix(WeightFormat::F32) | WeightKind::Vector => "F32",
                WeightKind::Matrix(format) => {
                    dims[1] /= 2;
                    format.name()
                }
                _ => return None,
            };
            let bytes = weight.value.with_le_bytes(<[u8]>::to_vec);
            Some((outside(&spec.name), dtype, dims, bytes))
        })
        .collect()
}

fn file(tensors: &[(String, &'static str, Vec<u64>, Vec<u8>)]) -> Safetensors {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, dims, bytes) in tensors {
        let end = data.len() + bytes.len();
        header.insert(
            name.clone(),
            json!({"dtype": dtype, "shape": dims, "data_offsets": [data.len(), end]}),
        );
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    Safetensors::parse(Bytes::from(file)).unwrap()
}

fn config(config: &LlamaConfig) -> Value {
    json!({
        "architectures": ["XForCausalLM"],
        "model_type": config.architecture.name(),
        "hidden_act": "silu",
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": config.rope.base,
        "rope_scaling": null,
        "sliding_window": match config.window { 0 => Value::Null, w => json!(w) },
        "tie_word_embeddings": config.tied,
        "bos_token_id": 0,
        "eos_token_id": config.end[0],
        "torch_dtype": "bfloat16",
    })
}

fn made(architecture: Architecture, format: WeightFormat) -> LanguageModel {
    let mut config = tiny(architecture);
    config.rope.halves = true;
    config.hidden = 96;
    random(&config, &Formats::uniform(&config, format), 11).unwrap()
}

fn import(config: &Value, shards: Vec<Safetensors>) -> Result<LanguageModel, ModelError> {
    let files = HfFiles {
        config: config.to_string().into_bytes(),
        tokenizer: Some(b"{}".to_vec()),
        tokenizer_config: Some(br#"{"chat_template": "{{ messages }}"}"#.to_vec()),
        shards,
        ..HfFiles::default()
    };
    Hashing::quiet(|hashing| from_hf(&files, &ImportOptions::default(), hashing))
}

#[test]
fn what_is_written_is_the_model_that_is_read_from_one_file_or_two() {
    for architecture in Architecture::ALL {
        for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Bf16] {
            let made = made(architecture, format);
            let content = content(&made);
            let (front, back) = content.split_at(content.len() / 2);
            for shards in [vec![file(&content)], vec![file(front), file(back)]] {
                let read = import(&config(&made.config), shards).unwrap();
                assert_eq!(read.config, made.config);
                assert_eq!(read.roles, made.roles);
                for i in 0..made.model.weights().len() as u32 {
                    assert_eq!(read.model.weight_digest(i), made.model.weight_digest(i));
                }
                let assets = read.model.assets();
                let names: Vec<&str> = assets.keys().map(String::as_str).collect();
                assert_eq!(
                    names,
                    ["chat_template", "config", "tokenizer", "tokenizer_config"]
                );
                assert_eq!(assets["chat_template"], b"{{ messages }}");
            }
        }
    }
}

#[test]
fn norms_of_sixteen_bits_become_f32_exactly() {
    let made = made(Architecture::Llama, WeightFormat::Bf16);
    let mut content = content(&made);
    for (_, dtype, dims, bytes) in &mut content {
        if dims.len() == 1 {
            // the upper half of each f32
            *dtype = "BF16";
            let values = bytes.as_chunks::<4>().0.iter();
            *bytes = values.flat_map(|b| [b[2], b[3]]).collect();
        }
    }
    let read = import(&config(&made.config), vec![file(&content)]).unwrap();
    let norm = |m: &LanguageModel| m.model.weights()[m.roles.norm as usize].value.tensor();
    let (read, made) = (norm(&read), norm(&made));
    let pairs = read.as_f32().unwrap().iter().zip(made.as_f32().unwrap());
    for (a, b) in pairs {
        assert_eq!(a.to_bits(), b.to_bits() & 0xffff_0000);
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let made = made(Architecture::Llama, WeightFormat::F16);
    let whole = content(&made);
    let with = |field: &str, value: Value| {
        let mut config = config(&made.config);
        config[field] = value;
        import(&config, vec![file(&whole)]).unwrap_err().to_string()
    };
    for (field, value, says) in [
        (
            "model_type",
            json!("mixtral"),
            "model_type: \"mixtral\" is not supported",
        ),
        (
            "architectures",
            json!(["LlamaForTokenClassification"]),
            "is no language model",
        ),
        (
            "hidden_act",
            json!("gelu"),
            "hidden_act: \"gelu\" is not supported",
        ),
        (
            "attention_bias",
            json!(true),
            "attention_bias: true is not supported",
        ),
        (
            "quantization_config",
            json!({"bits": 4}),
            "quantization_config: an object is not",
        ),
        (
            "partial_rotary_factor",
            json!(0.5),
            "partial_rotary_factor: 0.5",
        ),
        (
            "rope_scaling",
            json!({"type": "dynamic", "factor": 2.0}),
            "\"dynamic\" is not supported",
        ),
        (
            "rope_scaling",
            json!({"type": "linear"}),
            "rope_scaling.factor: the field is missing",
        ),
        (
            "rope_scaling",
            json!({"type": "yarn", "factor": 2.0, "mscale": 1.0}),
            "rope_scaling.mscale",
        ),
        (
            "hidden_size",
            json!(-1),
            "hidden_size: expected an integer of 32 bits without sign, found -1",
        ),
        (
            "hidden_size",
            json!(1e30),
            "hidden_size: expected an integer",
        ),
        (
            "num_hidden_layers",
            Value::Null,
            "num_hidden_layers: the field is missing",
        ),
        (
            "num_hidden_layers",
            json!(4_000_000_000u32),
            "layers: 4000000000 is outside",
        ),
        (
            "num_hidden_layers",
            json!(2),
            "tensor model.layers.2.input_layernorm.weight: no model",
        ),
        (
            "eos_token_id",
            json!([1, "x"]),
            "eos_token_id: \"x\" is no token",
        ),
        (
            "tie_word_embeddings",
            json!(1),
            "tie_word_embeddings: expected true or false, found 1",
        ),
        (
            "hidden_size",
            json!(128),
            "tensor model.embed_tokens.weight: expected extents [96, 128], found [96, 256]",
        ),
    ] {
        let text = with(field, value);
        assert!(text.contains(says), "{text}");
    }
    let twice = import(&config(&made.config), vec![file(&whole), file(&whole[..1])]);
    assert_eq!(
        twice.unwrap_err().to_string(),
        "tensor model.embed_tokens.weight: it is in two of the files"
    );
    let mut eight_bits = whole.clone();
    let (_, dtype, dims, _) = &mut eight_bits[0];
    (*dtype, dims[1]) = ("F8_E4M3", dims[1] * 2);
    assert!(
        import(&config(&made.config), vec![file(&eight_bits)])
            .unwrap_err()
            .to_string()
            .contains("its type F8_E4M3 is not supported")
    );
}

#[test]
fn scalings_windows_and_ends_are_read() {
    let made = made(Architecture::Qwen2, WeightFormat::F16);
    let whole = file(&content(&made));
    let with = |fields: Value| {
        let mut config = config(&made.config);
        for (field, value) in fields.as_object().unwrap() {
            config[field] = value.clone();
        }
        import(&config, vec![whole.clone()])
    };
    let scaling = |value: Value| {
        let read = with(json!({"rope_scaling": value})).unwrap();
        read.config.rope.scaling
    };
    assert_eq!(scaling(json!({"rope_type": "default"})), RopeScaling::None);
    assert_eq!(
        scaling(json!({"type": "linear", "factor": 2})),
        RopeScaling::Linear { factor: 2.0 }
    );
    assert_eq!(
        scaling(json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16
        })),
        RopeScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original_context: 16,
        }
    );
    assert_eq!(
        scaling(json!({"type": "yarn", "factor": 4.0, "attention_factor": 1.5})),
        RopeScaling::Yarn {
            factor: 4.0,
            original_context: 48,
            fast: 32.0,
            slow: 1.0,
            magnitude: 1.5,
        }
    );
    let newer = with(json!({
        "rope_theta": null, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 5e5}
    }));
    let rope = newer.unwrap().config.rope;
    assert_eq!(
        (rope.base, rope.scaling),
        (5e5, RopeScaling::Linear { factor: 3.0 })
    );

    let window = |fields: Value| with(fields).map(|m| m.config.window);
    assert_eq!(
        window(json!({"sliding_window": 8})).unwrap(),
        0,
        "off unless it is said"
    );
    let used = json!({"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 0});
    assert_eq!(window(used).unwrap(), 8);
    let some = json!({"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1});
    let text = window(some).unwrap_err().to_string();
    assert!(text.contains("2 of 3 layers with a window"), "{text}");

    let files = HfFiles {
        config: config(&made.config).to_string().into_bytes(),
        generation_config: Some(br#"{"eos_token_id": [95, 7]}"#.to_vec()),
        chat_template: Some(b"own file".to_vec()),
        shards: vec![whole.clone()],
        ..HfFiles::default()
    };
    let read = Hashing::quiet(|h| from_hf(&files, &ImportOptions::default(), h)).unwrap();
    assert_eq!(read.config.end, [7, 95]);
    assert_eq!(read.model.assets()["chat_template"], b"own file");
}

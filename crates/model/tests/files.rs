//! Models as files and folders.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use gavel_model::llama::{ImportOptions, LanguageModel};
use gavel_model::{Hashing, ModelError, open_language_model};
use serde_json::json;

fn open(path: &Path) -> Result<LanguageModel, ModelError> {
    Hashing::quiet(|hashing| open_language_model(path, &ImportOptions::default(), hashing))
}

/// Small tensors of a tied Llama, by the names of the hub.
fn tensors() -> Vec<(String, Vec<u64>)> {
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![8, 32])];
    for (part, dims) in [
        ("input_layernorm", vec![32]),
        ("self_attn.q_proj", vec![32, 32]),
        ("self_attn.k_proj", vec![16, 32]),
        ("self_attn.v_proj", vec![16, 32]),
        ("self_attn.o_proj", vec![32, 32]),
        ("post_attention_layernorm", vec![32]),
        ("mlp.gate_proj", vec![48, 32]),
        ("mlp.up_proj", vec![48, 32]),
        ("mlp.down_proj", vec![32, 48]),
    ] {
        all.push((format!("model.layers.0.{part}.weight"), dims));
    }
    all.push(("model.norm.weight".to_owned(), vec![32]));
    all
}

fn safetensors(tensors: &[(String, Vec<u64>)]) -> Vec<u8> {
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, dims) in tensors {
        let end = at + 2 * dims.iter().product::<u64>();
        let entry = json!({"dtype": "BF16", "shape": dims, "data_offsets": [at, end]});
        header.insert(name.clone(), entry);
        at = end;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let data = [0x80, 0x3f].repeat(at as usize / 2);
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16, "rms_norm_eps": 1e-5,
        "eos_token_id": 7, "tie_word_embeddings": true,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn a_gguf_file_opens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-qwen3-Q8_0.gguf");
    let model = open(&path).unwrap();
    assert!(model.config.head_norms && model.config.tied);
    let text = open(Path::new("none.gguf")).unwrap_err().to_string();
    assert!(text.starts_with("none.gguf: "), "{text}");
}

#[test]
fn a_folder_opens_whole_or_in_shards() {
    let whole = folder("hub-whole");
    let text = open(&whole).unwrap_err().to_string();
    assert!(text.contains("model.safetensors: "), "{text}");
    std::fs::write(whole.join("model.safetensors"), safetensors(&tensors())).unwrap();
    let one = open(&whole).unwrap();

    let sharded = folder("hub-shards");
    let tensors = tensors();
    let (front, back) = tensors.split_at(4);
    let mut map = serde_json::Map::new();
    for (name, part) in [("a.safetensors", front), ("b.safetensors", back)] {
        std::fs::write(sharded.join(name), safetensors(part)).unwrap();
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), json!(name))));
    }
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(sharded.join("model.safetensors.index.json"), index).unwrap();
    let two = open(&sharded).unwrap();
    assert_eq!(one.model.model_id(), two.model.model_id());

    std::fs::remove_file(sharded.join("config.json")).unwrap();
    let text = open(&sharded).unwrap_err().to_string();
    assert!(text.contains("config.json: "), "{text}");
}

//! Models as files and folders.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use gavel_model::llama::{ImportOptions, LanguageModel};
use gavel_model::{Hashing, Model, ModelError, files_beside, onnx, open_language_model};
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

/// A field of bytes, as protobuf writes it.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(tag.into(), &content.to_vec(), &mut out);
    out
}

/// An ONNX file: `y = x + w` with two numbers, which lie at the end of a file of this name, or inside.
fn adds(location: Option<&str>) -> Vec<u8> {
    let entry = |key: &str, value: &str| {
        field(
            13,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let place = match location {
        Some(name) => [
            entry("location", name),
            entry("offset", "4"),
            vec![14 << 3, 1],
        ]
        .concat(),
        None => field(9, &WEIGHTS),
    };
    let weight = [&[1 << 3, 2, 2 << 3, 1][..], &field(8, b"w"), &place].concat();
    let node = [
        field(1, b"x"),
        field(1, b"w"),
        field(2, b"y"),
        field(4, b"Add"),
    ]
    .concat();
    let dims = field(2, &field(1, &[1 << 3, 2]));
    let ty = field(1, &[vec![1 << 3, 1], dims].concat());
    let value = |name: &[u8]| [field(1, name), field(2, &ty)].concat();
    let graph = [
        field(1, &node),
        field(5, &weight),
        field(11, &value(b"x")),
        field(12, &value(b"y")),
    ];
    [field(8, &[2 << 3, 21]), field(7, &graph.concat())].concat()
}

/// 1 and 2 in binary32.
const WEIGHTS: [u8; 8] = [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];

fn open_onnx(path: &Path) -> Result<Model, ModelError> {
    let file = std::fs::read(path).unwrap().into();
    let mut options = onnx::ImportOptions::default();
    options.files = files_beside(path, &file)?;
    onnx::import_shared(file, &options)
}

#[cfg(unix)]
#[test]
fn files_of_tensors_lie_in_the_folder_of_the_model() {
    use std::fs::{create_dir, hard_link, remove_file, write};
    use std::os::unix::fs::symlink;

    let root = folder("external");
    let here = root.join("model");
    create_dir(&here).unwrap();
    let path = here.join("model.onnx");
    let data = [&[0xaa; 4][..], &WEIGHTS].concat();
    write(&path, adds(None)).unwrap();
    let whole = open_onnx(&path).unwrap().model_id();
    let open = |location: &str| {
        write(&path, adds(Some(location))).unwrap();
        open_onnx(&path)
    };
    let refused = |location: &str, words: &str| {
        let text = open(location).unwrap_err().to_string();
        assert!(text.contains(words), "{location}: {text}");
    };
    write(root.join("secret"), &data).unwrap();
    write(here.join("data"), &data).unwrap();
    create_dir(here.join("sub")).unwrap();
    write(here.join("sub/data"), &data).unwrap();
    symlink("sub/data", here.join("inner")).unwrap();
    symlink("sub", here.join("folder")).unwrap();
    for location in ["data", "sub/data", "inner", "folder/data"] {
        assert_eq!(open(location).unwrap().model_id(), whole, "{location}");
    }

    symlink("../secret", here.join("link")).unwrap();
    symlink(root.join("secret"), here.join("absolute")).unwrap();
    symlink("..", here.join("up")).unwrap();
    symlink("link", here.join("twice")).unwrap();
    for location in [
        "link",
        "absolute",
        "up/secret",
        "twice",
        "up/model/up/secret",
    ] {
        refused(location, "leads out of the folder");
    }
    symlink("loop", here.join("loop")).unwrap();
    refused("loop", "loop: ");
    refused("none", "none: ");
    refused("../secret", "no file in the folder");
    refused("sub", "no regular file");
    refused("up/model", "no regular file");
    let name = root.join("secret");
    refused(name.to_str().unwrap(), "no file in the folder");
    hard_link(root.join("secret"), here.join("hard")).unwrap();
    refused("hard", "hard links");
    write(here.join("short"), &data[..11]).unwrap();
    refused("short", "the file has 7");
    write(here.join("empty"), []).unwrap();
    refused("empty", "beyond the end");

    // a cache: names of a snapshot lead to files beside each other
    let (snapshot, blobs) = (root.join("snapshot"), root.join("blobs"));
    create_dir(&snapshot).unwrap();
    create_dir(&blobs).unwrap();
    write(blobs.join("one"), adds(Some("data"))).unwrap();
    write(blobs.join("two"), &data).unwrap();
    symlink("../blobs/one", snapshot.join("model.onnx")).unwrap();
    symlink("../blobs/two", snapshot.join("data")).unwrap();
    let cached = snapshot.join("model.onnx");
    assert_eq!(open_onnx(&cached).unwrap().model_id(), whole);
    for other in ["../model/data", "../secret", "../blobs/three/two"] {
        create_dir(blobs.join("three")).ok();
        write(blobs.join("three/two"), &data).unwrap();
        remove_file(snapshot.join("data")).unwrap();
        symlink(other, snapshot.join("data")).unwrap();
        let text = open_onnx(&cached).unwrap_err().to_string();
        assert!(text.contains("leads out of the folder"), "{text}");
    }
}

//! The vectors are what the code says, and what an independent reading of `spec/trace.md` says.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../examples/trace_vectors/cases.rs"]
mod cases;

use gavel_trace::{ChunkOpening, Digest, Opening, TensorHeader, fold};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn load(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(cases::folder().join(name)).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64));
    cases
}

fn raw(v: &Value) -> Vec<u8> {
    hex::decode(v.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

fn raws(v: &Value) -> Vec<Vec<u8>> {
    v.as_array().unwrap().iter().map(raw).collect()
}

fn digest(v: &Value) -> Digest {
    v.as_str().unwrap().parse().unwrap()
}

fn digests(v: &Value) -> Vec<Digest> {
    v.as_array().unwrap().iter().map(digest).collect()
}

fn int(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

/// SHA-256 of a list of parts: the only thing shared by all checks below.
fn h(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

/// Root of a padded tree, straight from the definition.
fn root(height: u64, leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut zero = vec![0; 32];
    let mut level = leaves.to_vec();
    for _ in 0..height {
        if level.len() % 2 == 1 {
            level.push(zero.clone());
        }
        level = level.chunks(2).map(|p| h(&[&[1], &p[0], &p[1]])).collect();
        zero = h(&[&[1], &zero, &zero]);
    }
    assert!(level.len() <= 1, "too many leaves");
    level.pop().unwrap_or(zero)
}

fn climb(leaf: Vec<u8>, index: u64, siblings: &Value) -> Vec<u8> {
    raws(siblings)
        .iter()
        .enumerate()
        .fold(leaf, |current, (k, sibling)| match index >> k & 1 {
            0 => h(&[&[1], &current, sibling]),
            _ => h(&[&[1], sibling, &current]),
        })
}

#[test]
fn files_are_up_to_date() {
    for (name, text) in cases::files().unwrap() {
        let on_disk = std::fs::read_to_string(cases::folder().join(name)).unwrap();
        assert!(
            on_disk == text,
            "{name} is stale: cargo run -p gavel-trace --example trace_vectors"
        );
    }
}

#[test]
fn leaves_nodes_and_zeros() {
    for c in load("chunk_leaf.json") {
        assert_eq!(h(&[&[0], &raw(&c["chunk"])]), raw(&c["leaf"]));
    }
    for c in load("node.json") {
        assert_eq!(
            h(&[&[1], &raw(&c["left"]), &raw(&c["right"])]),
            raw(&c["node"])
        );
    }
    for c in load("zero_subtree.json") {
        assert_eq!(root(int(&c["height"]), &[]), raw(&c["root"]));
    }
    for c in load("model_leaf.json") {
        let data = raw(&c["bytes"]);
        let expected = match int(&c["kind"]) {
            0 => h(&[&[6], &data]),
            kind => h(&[&[8, kind as u8], &data]),
        };
        assert_eq!(expected, raw(&c["leaf"]));
    }
}

#[test]
fn tensor_digests() {
    for c in load("tensor.json") {
        let data = raw(&c["bytes"]);
        let leaves: Vec<_> = data.chunks(1024).map(|chunk| h(&[&[0], chunk])).collect();
        let chunk_root = root(int(&c["chunk_height"]), &leaves);
        assert_eq!(chunk_root, raw(&c["chunk_root"]), "{}", c["name"]);
        let dims: Vec<u64> = c["dims"].as_array().unwrap().iter().map(int).collect();
        let mut header = vec![1, int(&c["dtype"]) as u8, dims.len() as u8];
        header.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        assert_eq!(header, raw(&c["header"]));
        assert_eq!(
            h(&[&[2], &header, &chunk_root]),
            raw(&c["digest"]),
            "{}",
            c["name"]
        );
    }
}

#[test]
fn openings_hold_or_are_rejected() {
    for c in load("opening.json") {
        let opening = Opening {
            index: int(&c["index"]),
            siblings: digests(&c["siblings"]),
        };
        let height = int(&c["height"]) as u8;
        let valid = opening.verify(height, &digest(&c["leaf"]), &digest(&c["root"]));
        assert_eq!(valid, c["valid"].as_bool().unwrap(), "{}", c["name"]);
        if valid {
            assert_eq!(
                climb(raw(&c["leaf"]), opening.index, &c["siblings"]),
                raw(&c["root"])
            );
        }
    }
}

#[test]
fn chunks_open_or_are_rejected() {
    for c in load("chunk_opening.json") {
        let header = raw(&c["header"]);
        let dims = header[3..]
            .chunks(8)
            .map(|d| u64::from_be_bytes(d.try_into().unwrap()));
        let opened = ChunkOpening {
            header: TensorHeader {
                dtype: header[1],
                dims: dims.collect(),
            },
            chunk: raw(&c["chunk"]),
            opening: Opening {
                index: int(&c["chunk_index"]),
                siblings: digests(&c["siblings"]),
            },
        };
        let valid = opened.tensor_digest() == Ok(digest(&c["digest"]));
        assert_eq!(valid, c["valid"].as_bool().unwrap(), "{}", c["name"]);
        if valid {
            let leaf = h(&[&[0], &raw(&c["chunk"])]);
            let chunk_root = climb(leaf, int(&c["chunk_index"]), &c["siblings"]);
            assert_eq!(h(&[&[2], &header, &chunk_root]), raw(&c["digest"]));
        }
    }
}

#[test]
fn rows_fold_or_are_rejected() {
    for c in load("row.json") {
        let (row, height) = (digests(&c["row"]), int(&c["height"]));
        let valid = row.len() == 1 << height.min(4) && fold(&row) == Ok(digest(&c["node"]));
        assert_eq!(valid, c["valid"].as_bool().unwrap(), "{}", c["name"]);
        let (tree_height, leaves) = (int(&c["tree_height"]), raws(&c["leaves"]));
        let first = (int(&c["index"]) as usize) << height;
        let last = leaves.len().min(first + (1 << height));
        let below = leaves.get(first..last).unwrap_or(&[]);
        assert_eq!(root(height, below), raw(&c["node"]));
        assert!(tree_height >= height);
    }
}

#[test]
fn trace_and_fine_roots() {
    for c in load("trace_root.json") {
        let level1 = root(int(&c["trace_height"]), &raws(&c["leaves"]));
        assert_eq!(level1, raw(&c["level1_root"]));
        let steps = (int(&c["steps"]) as u32).to_be_bytes();
        assert_eq!(h(&[&[3], &steps, &level1]), raw(&c["trace_root"]));
        assert_eq!(
            int(&c["output_index"]),
            int(&c["steps"]) * int(&c["commit_points"]) - 1
        );
        let opened = climb(
            raw(&c["output_digest"]),
            int(&c["output_index"]),
            &c["output_siblings"],
        );
        assert_eq!(opened, level1);
    }
    for c in load("fine_root.json") {
        let ops = root(int(&c["ops_height"]), &raws(&c["ops"]));
        let live = root(int(&c["live_height"]), &raws(&c["live"]));
        assert_eq!((&ops, &live), (&raw(&c["ops_root"]), &raw(&c["live_root"])));
        assert_eq!(h(&[&[1], &ops, &live]), raw(&c["fine_root"]));
        for (height, row, root_of_row) in [
            ("ops_height", "ops_row", ops),
            ("live_height", "live_row", live),
        ] {
            let row = raws(&c[row]);
            assert_eq!(row.len(), 1 << int(&c[height]).min(4));
            assert_eq!(root(row.len().trailing_zeros().into(), &row), root_of_row);
        }
    }
}

#[test]
fn model_and_audit() {
    for c in load("segment.json") {
        let mut preimage = vec![4];
        for field in ["index", "first_node", "op_count", "live_count"] {
            preimage.extend((int(&c[field]) as u32).to_be_bytes());
        }
        preimage.extend(raw(&c["live_list_root"]));
        let entry = h(&[&preimage]);
        assert_eq!(entry, raw(&c["entry"]));
        assert_eq!(
            climb(entry, int(&c["index"]), &c["siblings"]),
            raw(&c["segments_root"])
        );
    }
    for c in load("model_id.json") {
        let mut packed = Vec::new();
        for field in [
            "numerics_version",
            "lowering_version",
            "node_count",
            "max_steps",
            "commit_points",
        ] {
            packed.extend((int(&c[field]) as u32).to_be_bytes());
        }
        for field in ["trace_height", "ops_height", "live_height"] {
            packed.push(int(&c[field]) as u8);
        }
        packed.extend(int(&c["work"]).to_be_bytes());
        for field in [
            "nodes_root",
            "edges_root",
            "weights_root",
            "segments_root",
            "assets_root",
        ] {
            packed.extend(raw(&c[field]));
        }
        assert_eq!(packed, raw(&c["encoded"]));
        assert_eq!(h(&[&[5], &packed]), raw(&c["model_id"]));
    }
    for c in load("family.json") {
        let count = (int(&c["count"]) as u32).to_be_bytes();
        let root = raw(&c["bindings_root"]);
        let id = h(&[&[9], &count, &root, &raw(&c["domain"])]);
        assert_eq!(id, raw(&c["family_id"]));
        let index = int(&c["index"]);
        let place = (index as u32).to_be_bytes();
        let leaf = h(&[&[8, 5], &place, &raw(&c["model_id"])]);
        assert_eq!(leaf, raw(&c["leaf"]));
        assert_eq!(climb(leaf, index, &c["proof"]), root);
    }
    for c in load("audit.json") {
        let mut task = vec![0; 24];
        task.extend(int(&c["task"]).to_be_bytes());
        let leaf = h(&[&[7], &raw(&c["auditor"]), &task, &raw(&c["chunk"])]);
        assert_eq!(leaf, raw(&c["leaf"]));
        let tensor_root = climb(leaf, int(&c["chunk_index"]), &c["chunk_proof"]);
        assert_eq!(tensor_root, raw(&c["tensor_root"]));
        assert_eq!(
            climb(tensor_root, int(&c["slot"]), &c["live_proof"]),
            raw(&c["salted_root"])
        );
    }
}

//! The vectors of `spec/trace.md`, one file a subject.
//!
//! Every file is `{ "about", "count", "cases": [ .. ] }`; a case is a flat object of strings,
//! integers, booleans and arrays of them. Byte strings and digests are `0x` hex.

use gavel_trace::{
    AuditSalt, ChunkOpening, Digest, FamilyHeader, FineTrace, Level1, MerkleTree, ModelHeader,
    ModelLeaf, Opening, SegmentEntry, TensorHeader, TraceCommitment, TraceError, binding_leaf,
    bindings_tree, chunk_leaf, chunk_tree, graph_node_leaf, height, model_leaf, node,
    segments_tree, zero_subtree,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// Where the vectors live.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/trace")
}

/// File names and contents.
pub(crate) fn files() -> Result<Vec<(&'static str, String)>, TraceError> {
    let files = [
        ("chunk_leaf.json", "leaf = H(0x00 || chunk)", chunk_leaves()),
        ("node.json", "node = H(0x01 || left || right)", nodes()),
        (
            "zero_subtree.json",
            "root of a tree of that height without leaves",
            zeros(),
        ),
        (
            "tensor.json",
            "digest = H(0x02 || header || chunk_root); header = hash_id, dtype, rank, dims as u64 big-endian",
            tensors()?,
        ),
        (
            "opening.json",
            "leaf at index in a tree of that height under root; valid = false must be rejected",
            openings()?,
        ),
        (
            "chunk_opening.json",
            "a chunk opened up to its tensor's digest; the shape in header fixes chunk_height and the chunk's length; valid = false must be rejected",
            chunk_openings()?,
        ),
        (
            "row.json",
            "row of node (height, index) of the tree over leaves; folds to node when valid, must be rejected otherwise",
            rows()?,
        ),
        (
            "trace_root.json",
            "level 1 over live roots; output_digest is leaf steps * commit_points - 1; trace_root = H(0x03 || steps:u32 || level1_root)",
            trace_roots()?,
        ),
        (
            "fine_root.json",
            "fine_root = node(ops_root, live_root); the rows fold to the two roots",
            fine_roots()?,
        ),
        (
            "segment.json",
            "entry = H(0x04 || index:u32 || first_node:u32 || op_count:u32 || live_count:u32 || live_list_root), opened under segments_root at index",
            segments()?,
        ),
        (
            "model_id.json",
            "model_id = H(0x05 || encoded); encoded = packed header",
            model_ids(),
        ),
        (
            "model_leaf.json",
            "kind 0: H(0x06 || bytes); other kinds (1 edge, 2 weight, 3 asset, 4 live slot): H(0x08 || kind || bytes)",
            model_leaves(),
        ),
        (
            "family.json",
            "family_id = H(0x09 || count:u32 || bindings_root || domain); leaf = H(0x08 || 5 || index:u32 || model_id), opened by proof under bindings_root",
            families()?,
        ),
        (
            "audit.json",
            "leaf = H(0x07 || auditor || task:u256 || chunk), opened under tensor_root (chunk_proof) and that under salted_root at slot (live_proof)",
            audits()?,
        ),
    ];
    Ok(files
        .into_iter()
        .map(|(name, about, cases)| {
            let count = cases.len();
            let mut text = format!(
                "{{\n  \"about\": {},\n  \"count\": {count},\n  \"cases\": [\n",
                json!(about)
            );
            for (i, case) in cases.iter().enumerate() {
                let comma = if i + 1 < count { "," } else { "" };
                text.push_str(&format!("    {}{comma}\n", sorted(case)));
            }
            text.push_str("  ]\n}\n");
            (name, text)
        })
        .collect())
}

/// The case with its keys in alphabetical order, whatever map `serde_json` was built with.
fn sorted(case: &Value) -> Value {
    let fields: BTreeMap<_, _> = case.as_object().into_iter().flatten().collect();
    fields
        .into_iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Bytes without a pattern that a wrong order would keep.
fn bytes(len: usize, salt: u32) -> Vec<u8> {
    let mut state = salt.wrapping_mul(0x9e37_79b9) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        })
        .collect()
}

fn digests(n: usize, salt: u32) -> Vec<Digest> {
    (0..n)
        .map(|i| chunk_leaf(&bytes(8, salt + i as u32)))
        .collect()
}

fn chunk_leaves() -> Vec<Value> {
    [0usize, 1, 31, 32, 54, 55, 62, 63, 64, 118, 119, 127, 512, 1023, 1024]
        .into_iter()
        .map(|len| {
            let chunk = bytes(len, 1);
            json!({ "name": format!("{len} bytes"), "chunk": hex0x(&chunk), "leaf": chunk_leaf(&chunk) })
        })
        .collect()
}

fn nodes() -> Vec<Value> {
    let d = digests(4, 2);
    [
        ("zeros", Digest::ZERO, Digest::ZERO),
        ("left zero", Digest::ZERO, d[0]),
        ("right zero", d[0], Digest::ZERO),
        ("two leaves", d[0], d[1]),
        ("swapped", d[1], d[0]),
        ("all ones", Digest([255; 32]), Digest([255; 32])),
    ]
    .into_iter()
    .map(|(name, l, r)| json!({ "name": name, "left": l, "right": r, "node": node(&l, &r) }))
    .collect()
}

fn zeros() -> Vec<Value> {
    (0..=32u8)
        .map(|k| json!({ "height": k, "root": zero_subtree(k) }))
        .collect()
}

fn tensors() -> Result<Vec<Value>, TraceError> {
    let shapes: [(&str, u8, &[u64]); 16] = [
        ("empty", 4, &[0]),
        ("empty of rank 3", 1, &[2, 0, 5]),
        ("scalar f32", 1, &[]),
        ("scalar i64", 2, &[]),
        ("scalar bool", 5, &[]),
        ("one byte", 4, &[1]),
        ("one byte of rank 2", 4, &[1, 1]),
        ("one i8", 6, &[1]),
        ("1023 bytes", 4, &[1023]),
        ("1024 bytes", 4, &[1024]),
        ("1025 bytes", 4, &[1025]),
        ("256 f32: one full chunk", 1, &[256]),
        ("rank 4 f32", 1, &[1, 3, 5, 7]),
        ("rank 4 f32, three chunks", 1, &[2, 3, 8, 13]),
        ("i32, five chunks", 3, &[33, 33]),
        ("i64, eight chunks", 2, &[4, 256]),
    ];
    let mut out = Vec::new();
    for (i, (name, dtype, dims)) in shapes.into_iter().enumerate() {
        let header = TensorHeader::new(dtype, dims.to_vec())?;
        let data = bytes(header.byte_len()? as usize, 100 + i as u32);
        out.push(tensor(name, &header, &data)?);
    }
    let header = TensorHeader::new(1, vec![4])?;
    let special = [f32::to_bits(-0.0), 0x7fc0_0000, 0x0000_0001, 0xff80_0000];
    let data: Vec<u8> = special.iter().flat_map(|b| b.to_le_bytes()).collect();
    out.push(tensor(
        "f32: -0, NaN, smallest subnormal, -inf",
        &header,
        &data,
    )?);
    Ok(out)
}

fn tensor(name: &str, header: &TensorHeader, data: &[u8]) -> Result<Value, TraceError> {
    Ok(json!({
        "name": name,
        "dtype": header.dtype,
        "dims": header.dims,
        "bytes": hex0x(data),
        "header": hex0x(&header.encode()),
        "chunk_height": header.chunk_height()?,
        "chunk_root": chunk_tree(data)?.root(),
        "digest": header.digest_bytes(data)?,
    }))
}

fn openings() -> Result<Vec<Value>, TraceError> {
    let mut out = Vec::new();
    let mut push = |name: &str, h: u8, leaf: Digest, o: &Opening, root: Digest, valid: bool| {
        out.push(json!({
            "name": name, "height": h, "index": o.index, "leaf": leaf, "siblings": o.siblings,
            "root": root, "valid": valid,
        }));
    };
    for (name, h, n, i) in [
        ("a single leaf", 0u8, 1usize, 0u64),
        ("left of two", 1, 2, 0),
        ("right of two", 1, 2, 1),
        ("padding", 2, 3, 3),
        ("first of a full tree", 4, 16, 0),
        ("last of a full tree", 4, 16, 15),
        ("inner leaf", 5, 21, 13),
        ("one leaf in a tall tree", 32, 1, 0),
        ("last padding of a tall tree", 32, 3, u64::from(u32::MAX)),
        ("empty tree", 3, 0, 5),
    ] {
        let tree = MerkleTree::new(h, digests(n, 40))?;
        push(name, h, tree.leaf(i)?, &tree.open(i)?, tree.root(), true);
    }
    let h = 4;
    let tree = MerkleTree::new(h, digests(11, 60))?;
    let (good, leaf, root) = (tree.open(6)?, tree.leaf(6)?, tree.root());
    push("as given", h, leaf, &good, root, true);
    push("another leaf", h, tree.leaf(7)?, &good, root, false);
    push(
        "another index",
        h,
        leaf,
        &Opening {
            index: 7,
            ..good.clone()
        },
        root,
        false,
    );
    push(
        "index beyond the tree",
        h,
        leaf,
        &Opening {
            index: 6 + 16,
            ..good.clone()
        },
        root,
        false,
    );
    push("another root", h, leaf, &good, tree.leaf(0)?, false);
    let mut bad = good.clone();
    bad.siblings[2] = Digest::ZERO;
    push("another sibling", h, leaf, &bad, root, false);
    let mut bad = good.clone();
    bad.siblings.swap(0, 1);
    push("siblings swapped", h, leaf, &bad, root, false);
    let mut bad = good.clone();
    bad.siblings.pop();
    push("one sibling short", h, leaf, &bad, root, false);
    let mut bad = good.clone();
    bad.siblings.push(Digest::ZERO);
    push("one sibling too many", h, leaf, &bad, root, false);
    let parent = tree.node_at(1, 3)?;
    let above = Opening {
        index: 3,
        siblings: good.siblings[1..].to_vec(),
    };
    push(
        "an inner node posing as a leaf",
        h,
        parent,
        &above,
        root,
        false,
    );
    push(
        "the root posing as a leaf",
        h,
        root,
        &Opening {
            index: 0,
            siblings: vec![],
        },
        root,
        false,
    );
    Ok(out)
}

fn chunk_openings() -> Result<Vec<Value>, TraceError> {
    let mut out = Vec::new();
    let mut push =
        |name: &str, o: &ChunkOpening, digest: Digest, valid: bool| -> Result<(), TraceError> {
            out.push(json!({
                "name": name,
                "header": hex0x(&o.header.encode()),
                "chunk_height": o.header.chunk_height()?,
                "chunk_index": o.opening.index,
                "chunk": hex0x(&o.chunk),
                "siblings": o.opening.siblings,
                "digest": digest,
                "valid": valid,
            }));
            Ok(())
        };
    for (name, dims, chunk) in [
        ("only chunk", vec![3u64], 0u64),
        ("first of two", vec![257], 0),
        ("short last chunk", vec![257], 1),
        ("third of five", vec![5, 256], 2),
    ] {
        let header = TensorHeader::new(1, dims)?;
        let data = bytes(header.byte_len()? as usize, 9);
        let digest = header.digest_bytes(&data)?;
        push(
            name,
            &ChunkOpening::open(header, &data, chunk)?,
            digest,
            true,
        )?;
    }
    let header = TensorHeader::new(1, vec![5, 256])?;
    let data = bytes(header.byte_len()? as usize, 9);
    let digest = header.digest_bytes(&data)?;
    let good = ChunkOpening::open(header, &data, 2)?;
    let with = |change: &dyn Fn(&mut ChunkOpening)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad
    };
    for (name, bad) in [
        ("one byte changed", with(&|o| o.chunk[17] ^= 1)),
        ("chunk cut short", with(&|o| o.chunk.truncate(1023))),
        ("chunk too long", with(&|o| o.chunk.push(0))),
        ("chunk index of a neighbour", with(&|o| o.opening.index = 3)),
        (
            "chunk index beyond the tensor",
            with(&|o| o.opening.index = 5),
        ),
        ("another shape", with(&|o| o.header.dims = vec![256, 5])),
        ("another dtype", with(&|o| o.header.dtype = 3)),
        ("sibling missing", with(&|o| o.opening.siblings.truncate(2))),
    ] {
        push(name, &bad, digest, false)?;
    }
    Ok(out)
}

fn rows() -> Result<Vec<Value>, TraceError> {
    let mut out = Vec::new();
    for (h, n, g, i) in [
        (0u8, 1usize, 0u8, 0u64),
        (1, 2, 1, 0),
        (3, 5, 3, 0),
        (4, 16, 4, 0),
        (6, 40, 6, 0),
        (6, 40, 2, 9),
        (6, 40, 4, 3),
        (12, 50, 12, 0),
        (12, 50, 8, 1),
    ] {
        let leaves = digests(n, 80);
        let tree = MerkleTree::new(h, leaves.clone())?;
        out.push(json!({
            "name": format!("tree of height {h} over {n} leaves"),
            "tree_height": h, "leaves": leaves, "height": g, "index": i,
            "row": tree.row(g, i)?, "node": tree.node_at(g, i)?, "valid": true,
        }));
    }
    let tree = MerkleTree::new(4, digests(16, 80))?;
    let good = tree.row(4, 0)?;
    let mut bent = good.clone();
    bent[15] = Digest::ZERO;
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    let halves = vec![tree.node_at(3, 0)?, tree.node_at(3, 1)?];
    for (name, row) in [
        ("last digest changed", bent),
        ("two digests swapped", swapped),
        ("half a row", good[..8].to_vec()),
        ("15 digests", good[..15].to_vec()),
        ("17 digests", [&good[..], &[Digest::ZERO]].concat()),
        ("32 digests", [&good[..], &good[..]].concat()),
        ("two children instead of 16", halves),
        ("no digest", vec![]),
    ] {
        out.push(json!({
            "name": name, "tree_height": 4, "leaves": tree.leaves(), "height": 4, "index": 0,
            "row": row, "node": tree.root(), "valid": false,
        }));
    }
    Ok(out)
}

fn trace_roots() -> Result<Vec<Value>, TraceError> {
    let mut out = Vec::new();
    for (points, max_steps, steps) in [
        (1u32, 1u32, 1u32),
        (3, 1, 1),
        (4, 1, 1),
        (2, 8, 1),
        (2, 8, 8),
        (5, 100, 3),
        (1, u32::MAX, 2),
    ] {
        let leaves = digests((points * steps) as usize, 200);
        let level1 = Level1::new(points, max_steps, leaves.clone())?;
        let TraceCommitment {
            level1_root,
            trace_root,
            ..
        } = level1.commitment();
        let opening = level1.output_opening()?;
        out.push(json!({
            "name": format!("{steps} of {max_steps} steps, {points} commit points"),
            "commit_points": points, "max_steps": max_steps, "steps": steps,
            "trace_height": level1.tree().height(), "leaves": leaves,
            "level1_root": level1_root, "trace_root": trace_root,
            "output_digest": level1.output_digest(), "output_index": opening.index,
            "output_siblings": opening.siblings,
        }));
    }
    Ok(out)
}

fn fine_roots() -> Result<Vec<Value>, TraceError> {
    let mut out = Vec::new();
    for (ops_height, op_count, live_height, live_count) in [
        (0u8, 1usize, 0u8, 1usize),
        (2, 3, 1, 2),
        (4, 16, 0, 1),
        (7, 70, 3, 5),
        (3, 0, 1, 1),
    ] {
        let (ops, live) = (digests(op_count, 300), digests(live_count, 400));
        let fine = FineTrace::new(ops_height, ops.clone(), live_height, live.clone())?;
        out.push(json!({
            "name": format!("{op_count} operators, {live_count} live"),
            "ops_height": ops_height, "ops": ops, "ops_root": fine.ops_root(), "ops_row": fine.ops_row()?,
            "live_height": live_height, "live": live, "live_root": fine.live_root(), "live_row": fine.live_row()?,
            "fine_root": fine.fine_root(),
        }));
    }
    Ok(out)
}

fn segments() -> Result<Vec<Value>, TraceError> {
    let roots = digests(5, 500);
    let mut entries = Vec::new();
    let mut first_node = 0;
    for (i, (op_count, live_count)) in [(7, 1), (1, 2), (300, 3), (4, 1), (1, 1)]
        .into_iter()
        .enumerate()
    {
        let live_list_root = roots[i];
        entries.push(SegmentEntry {
            index: i as u32,
            first_node,
            op_count,
            live_count,
            live_list_root,
        });
        first_node += op_count;
    }
    let tree = segments_tree(&entries)?;
    entries
        .iter()
        .map(|e| {
            Ok(json!({
                "index": e.index, "first_node": e.first_node, "op_count": e.op_count,
                "live_count": e.live_count, "live_list_root": e.live_list_root, "entry": e.leaf(),
                "segments_height": tree.height(), "siblings": tree.open(u64::from(e.index))?.siblings,
                "segments_root": tree.root(),
            }))
        })
        .collect()
}

fn model_ids() -> Vec<Value> {
    let d = digests(5, 600);
    let small = ModelHeader {
        numerics_version: 1,
        lowering_version: 1,
        node_count: 12,
        max_steps: 1,
        commit_points: 3,
        trace_height: 2,
        ops_height: 3,
        live_height: 1,
        work: 1_234_567,
        nodes_root: d[0],
        edges_root: d[1],
        weights_root: d[2],
        segments_root: d[3],
        assets_root: Digest::ZERO,
    };
    let wide = ModelHeader {
        numerics_version: 0x0102_0304,
        lowering_version: 0x0506_0708,
        node_count: 0x090a_0b0c,
        max_steps: 4096,
        commit_points: 24,
        trace_height: height(4096 * 24),
        ops_height: 9,
        live_height: 6,
        work: 0x000d_0e0f_1011_1213,
        assets_root: d[4],
        ..small
    };
    [("classifier", small), ("every field wide", wide)]
        .into_iter()
        .map(|(name, h)| {
            json!({
                "name": name,
                "numerics_version": h.numerics_version, "lowering_version": h.lowering_version,
                "node_count": h.node_count, "max_steps": h.max_steps, "commit_points": h.commit_points,
                "trace_height": h.trace_height, "ops_height": h.ops_height, "live_height": h.live_height,
                "work": h.work, "nodes_root": h.nodes_root, "edges_root": h.edges_root,
                "weights_root": h.weights_root, "segments_root": h.segments_root,
                "assets_root": h.assets_root, "encoded": hex0x(&h.encode()), "model_id": h.model_id(),
            })
        })
        .collect()
}

fn model_leaves() -> Vec<Value> {
    let mut out = Vec::new();
    for data in [bytes(0, 1), bytes(1, 2), bytes(40, 3), bytes(200, 4)] {
        out.push(json!({ "kind": 0, "bytes": hex0x(&data), "leaf": graph_node_leaf(&data) }));
        for kind in [
            ModelLeaf::Edge,
            ModelLeaf::Weight,
            ModelLeaf::Asset,
            ModelLeaf::LiveSlot,
        ] {
            let leaf = model_leaf(kind, &data);
            out.push(json!({ "kind": kind as u8, "bytes": hex0x(&data), "leaf": leaf }));
        }
    }
    out
}

fn families() -> Result<Vec<Value>, TraceError> {
    let domain = |dims: &[(&str, u64, u64, u64)]| {
        let mut bytes = vec![dims.len() as u8];
        for (name, low, high, step) in dims {
            bytes.push(name.len() as u8);
            bytes.extend(name.as_bytes());
            for word in [low, high, step] {
                bytes.extend(word.to_be_bytes());
            }
        }
        bytes
    };
    let families = [
        (1u32, domain(&[("seq", 128, 128, 1)])),
        (3, domain(&[("seq", 16, 48, 16)])),
        (8, domain(&[("batch", 1, 2, 1), ("seq", 1, 4, 1)])),
    ];
    let mut out = Vec::new();
    for (n, (count, domain)) in (0..).zip(families) {
        let ids: Vec<Digest> = digests(count as usize, 900 + 16 * n);
        let tree = bindings_tree(&ids)?;
        let header = FamilyHeader {
            count,
            bindings_root: tree.root(),
            domain,
        };
        for (index, id) in (0..).zip(&ids) {
            out.push(json!({
                "count": count, "domain": hex0x(&header.domain), "bindings_root": tree.root(),
                "family_id": header.family_id(), "index": index, "model_id": id,
                "leaf": binding_leaf(index, id), "proof": tree.open(index.into())?.siblings,
            }));
        }
    }
    Ok(out)
}

fn audits() -> Result<Vec<Value>, TraceError> {
    let auditor: [u8; 20] = core::array::from_fn(|i| 0xa0 + i as u8);
    let live_lens = [
        (2u8, vec![2500usize, 4, 1024]),
        (0, vec![1]),
        (1, vec![1025, 0]),
    ];
    let mut out = Vec::new();
    for (task, (live_height, lens)) in live_lens.into_iter().enumerate() {
        let salt = AuditSalt::new(auditor, task as u64 + 1);
        let tensors: Vec<Vec<u8>> = lens
            .iter()
            .enumerate()
            .map(|(i, len)| bytes(*len, 700 + i as u32))
            .collect();
        let refs: Vec<&[u8]> = tensors.iter().map(Vec::as_slice).collect();
        let live = salt.live_tree(live_height, &refs)?;
        for (slot, data) in tensors.iter().enumerate() {
            let tree = salt.tensor_tree(data)?;
            for (index, chunk) in data.chunks(1024).enumerate() {
                out.push(json!({
                    "auditor": hex0x(&auditor), "task": task + 1, "chunk": hex0x(chunk),
                    "leaf": salt.leaf(chunk), "chunk_index": index, "chunk_height": tree.height(),
                    "chunk_proof": tree.open(index as u64)?.siblings, "tensor_root": tree.root(),
                    "slot": slot, "live_height": live_height,
                    "live_proof": live.open(slot as u64)?.siblings, "salted_root": live.root(),
                }));
            }
        }
    }
    Ok(out)
}

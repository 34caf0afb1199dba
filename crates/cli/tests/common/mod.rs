//! What the tests of the binary share.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Most address space of a command: some 90 MiB are the binary's own, and a template or a key's derivation may take 256.
const MEMORY_KIB: u32 = 400 * 1024;

/// Runs `gavel` in `dir` with bounded memory.
pub(crate) fn gavel_in(dir: &Path, args: &[&str]) -> Output {
    // the shell sets the limit, then becomes the binary
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_gavel"))
        .args(args)
        .current_dir(dir)
        .env_remove("GAVEL_ISA")
        // address space that the allocator sets aside for each thread is no memory
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn gavel(args: &[&str]) -> Output {
    gavel_in(&root(), args)
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The JSON object that a successful command prints.
pub(crate) fn json(args: &[&str]) -> serde_json::Value {
    let output = gavel(&[args, &["--json"]].concat());
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A protobuf field with this content: a message, string or packed list.
pub(crate) fn field(tag: u32, content: &[u8]) -> Vec<u8> {
    let mut out = varint((tag << 3 | 2).into());
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

/// A protobuf integer.
pub(crate) fn number(tag: u32, value: u64) -> Vec<u8> {
    [varint((tag << 3).into()), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// An ONNX value of f32 with these extents.
pub(crate) fn value(name: &str, dims: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| field(1, &number(1, d))).collect();
    let ty = field(1, &[number(1, 1), field(2, &dims)].concat());
    [field(1, name.as_bytes()), field(2, &ty)].concat()
}

/// An ONNX node.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        out.extend(field(1, input.as_bytes()));
    }
    out.extend(field(2, output.as_bytes()));
    out.extend(field(4, op.as_bytes()));
    for attribute in attributes {
        out.extend(field(5, attribute));
    }
    out
}

/// An attribute that is a list of integers.
pub(crate) fn ints(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&v| number(8, v)).collect();
    [field(1, name.as_bytes()), values, number(20, 7)].concat()
}

/// An ONNX file, opset 17, with one input `x` and one output `y`.
pub(crate) fn onnx(x: &[u64], y: &[u64], nodes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    let mut graph = Vec::new();
    for node in nodes {
        graph.extend(field(1, node));
    }
    for tensor in initializers {
        graph.extend(field(5, tensor));
    }
    graph.extend(field(11, &value("x", x)));
    graph.extend(field(12, &value("y", y)));
    [field(7, &graph), field(8, &number(2, 17))].concat()
}

/// An initializer of f32 that holds these bytes.
pub(crate) fn initializer(name: &str, dims: &[u64], raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| number(1, d)).collect();
    [dims, number(2, 1), field(8, name.as_bytes()), field(9, raw)].concat()
}

/// A `.npy` file with this header.
pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

//! How a vector is written down.
//!
//! Every file is `{ "about", "count", "cases": [ .. ] }`. A case has `name`, `inputs` and either `op` (an operator's id)
//! or `code` (a program's bytes), with its `attributes` (words); `output` is null where the shape program refuses, or
//! where the code is malformed.
//! A tensor is `{ "bytes", "dims", "dtype" }`: little-endian row-major elements as `0x` hex, the dtype of `spec/trace.md`.

use gavel_numerics::program::{Instruction, Opcode, Program};
use gavel_numerics::{DType, NumericsError, Op, scalar};
use serde_json::{Value, json};

/// A tensor by its bytes.
pub(crate) fn tensor(dtype: DType, dims: &[u64], bytes: &[u8]) -> Value {
    let bytes = format!("0x{}", hex::encode(bytes));
    json!({ "bytes": bytes, "dims": dims, "dtype": dtype.id() })
}

/// A tensor of f32 by the bits of its elements.
pub(crate) fn bits(dims: &[u64], bits: &[u32]) -> Value {
    let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    tensor(DType::F32, dims, &bytes)
}

/// A tensor of f32; its NaN is the one that can be seen.
pub(crate) fn floats(dims: &[u64], values: &[f32]) -> Value {
    let canonical: Vec<u32> = values
        .iter()
        .map(|&x| scalar::canonical(x).to_bits())
        .collect();
    bits(dims, &canonical)
}

/// A vector of f32.
pub(crate) fn row(values: &[f32]) -> Value {
    floats(&[values.len() as u64], values)
}

/// A tensor of i64.
pub(crate) fn integers(dims: &[u64], values: &[i64]) -> Value {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensor(DType::I64, dims, &bytes)
}

/// An operator and what it gives.
pub(crate) fn operator(name: &str, op: &Op, inputs: &[Value], output: Value) -> Value {
    let attributes = op.attributes();
    json!({ "attributes": attributes, "inputs": inputs, "name": name, "op": op.id(), "output": output })
}

/// An operator that its shape program refuses.
pub(crate) fn refused(name: &str, op: &Op, inputs: &[Value]) -> Value {
    operator(name, op, inputs, Value::Null)
}

/// One instruction applied element by element to up to three inputs of the same shape.
pub(crate) fn instruction(
    name: &str,
    opcode: Opcode,
    inputs: &[Value],
    output: Value,
) -> Result<Value, NumericsError> {
    let c = if inputs.len() > 2 { 4 } else { 0 };
    instruction_with(name, opcode, c, inputs, output)
}

/// The same with this immediate.
pub(crate) fn instruction_with(
    name: &str,
    opcode: Opcode,
    immediate: u32,
    inputs: &[Value],
    output: Value,
) -> Result<Value, NumericsError> {
    let make = |opcode, d, a, b, immediate| Instruction {
        opcode,
        d,
        a,
        b,
        immediate,
    };
    let mut code = Vec::new();
    for input in 0..inputs.len() as u8 {
        code.push(make(Opcode::Add, 10, 0, 0, input.into()));
        code.push(make(Opcode::Load, 2 + input, 1, 10, 0));
    }
    let b = if inputs.len() > 1 { 3 } else { 0 };
    code.push(make(opcode, 11, 2, b, immediate));
    code.push(make(Opcode::End, 0, 11, 0, 0));
    let code = format!("0x{}", hex::encode(Program::new(code)?.encode()));
    Ok(json!({ "attributes": [], "code": code, "inputs": inputs, "name": name, "output": output }))
}

/// Code that is no program.
pub(crate) fn malformed(name: &str, code: &[u8]) -> Value {
    let code = format!("0x{}", hex::encode(code));
    json!({ "attributes": [], "code": code, "inputs": [], "name": name, "output": null })
}

/// The text of a file: one case a line.
pub(crate) fn file(about: &str, cases: &[Value]) -> String {
    let lines: Vec<String> = cases.iter().map(|case| format!("    {case}")).collect();
    format!(
        "{{\n  \"about\": \"{about}\",\n  \"count\": {},\n  \"cases\": [\n{}\n  ]\n}}\n",
        cases.len(),
        lines.join(",\n")
    )
}

/// Deterministic values in -1..1.
pub(crate) fn values(len: usize, seed: u32) -> Vec<f32> {
    noise(len, seed)
        .map(|x| (x >> 8) as f32 / (1u32 << 23) as f32 - 1.0)
        .collect()
}

/// Deterministic words.
pub(crate) fn noise(len: usize, seed: u32) -> impl Iterator<Item = u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..len).map(move |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    })
}

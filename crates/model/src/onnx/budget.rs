//! What decoding a file would allocate, before it is decoded.
//!
//! A protobuf message of two bytes becomes a structure of hundreds, so a small file of empty messages would
//! ask for memory without bound. This walks the wire format, which allocates nothing, and adds up.

use super::proto::*;
use crate::ModelError;

/// Bytes allocated per byte of the file. The shipped models take less than 2.
const FACTOR: usize = 16;
/// Files whose structures stay below this are not looked at more closely.
const FREE_BYTES: usize = 4 << 20;
/// Messages inside of each other that are looked into; the decoder refuses more.
const DEPTH: usize = 128;

/// How a field is decoded.
#[derive(Clone, Copy)]
enum Field {
    /// A message: bytes of its structure, and its own fields.
    Message(usize, fn(u64) -> Field),
    /// A list element of this many bytes apart from its contents (a string).
    Element(usize),
    /// Packed or single varints, each decoded to this many bytes.
    Varints(usize),
    /// Nothing beyond the bytes in the file.
    Plain,
}

fn model(tag: u64) -> Field {
    match tag {
        7 => Field::Message(size_of::<GraphProto>(), graph),
        8 => Field::Element(size_of::<OperatorSetId>()),
        14 => Field::Element(size_of::<StringEntry>()),
        25 => Field::Message(size_of::<FunctionProto>(), function),
        _ => Field::Plain,
    }
}

fn function(tag: u64) -> Field {
    match tag {
        4..=6 => Field::Element(size_of::<String>()),
        7 => Field::Message(size_of::<NodeProto>(), node),
        9 => Field::Element(size_of::<OperatorSetId>()),
        11 => Field::Message(size_of::<AttributeProto>(), attribute),
        _ => Field::Plain,
    }
}

fn graph(tag: u64) -> Field {
    match tag {
        1 => Field::Message(size_of::<NodeProto>(), node),
        5 => Field::Message(size_of::<TensorProto>(), tensor),
        11 | 12 => Field::Message(size_of::<ValueInfo>(), value),
        15 => Field::Message(size_of::<SparseTensorProto>(), sparse),
        _ => Field::Plain,
    }
}

fn node(tag: u64) -> Field {
    match tag {
        1 | 2 => Field::Element(size_of::<String>()),
        5 => Field::Message(size_of::<AttributeProto>(), attribute),
        _ => Field::Plain,
    }
}

fn attribute(tag: u64) -> Field {
    match tag {
        5 => Field::Message(size_of::<TensorProto>(), tensor),
        6 => Field::Message(size_of::<GraphProto>(), graph),
        8 => Field::Varints(size_of::<i64>()),
        9 => Field::Element(size_of::<Vec<u8>>()),
        22 => Field::Message(size_of::<SparseTensorProto>(), sparse),
        _ => Field::Plain,
    }
}

/// Both tensors are part of the structure.
fn sparse(tag: u64) -> Field {
    match tag {
        1 | 2 => Field::Message(0, tensor),
        3 => Field::Varints(size_of::<i64>()),
        _ => Field::Plain,
    }
}

fn tensor(tag: u64) -> Field {
    match tag {
        1 | 7 => Field::Varints(size_of::<i64>()),
        5 => Field::Varints(size_of::<i32>()),
        11 => Field::Varints(size_of::<u64>()),
        13 => Field::Element(size_of::<StringEntry>()),
        _ => Field::Plain,
    }
}

fn value(tag: u64) -> Field {
    match tag {
        2 => Field::Message(0, of_type),
        _ => Field::Plain,
    }
}

/// Of a tensor's type only its dimensions are a list.
fn of_type(tag: u64) -> Field {
    match tag {
        1 => Field::Message(0, |tag| match tag {
            2 => Field::Message(0, |tag| match tag {
                1 => Field::Element(size_of::<DimProto>()),
                _ => Field::Plain,
            }),
            _ => Field::Plain,
        }),
        9 => Field::Message(size_of::<OptionalTypeProto>(), |tag| match tag {
            1 => Field::Message(0, of_type),
            _ => Field::Plain,
        }),
        _ => Field::Plain,
    }
}

/// Refuses a file that would take many times its size. What is malformed is left to the decoder.
pub(super) fn check(file: &[u8]) -> Result<(), ModelError> {
    let limit = file.len().saturating_mul(FACTOR).saturating_add(FREE_BYTES);
    let mut cost = 0usize;
    walk(file, model, &mut cost, DEPTH);
    if cost <= limit {
        return Ok(());
    }
    Err(ModelError::File(format!(
        "its {} bytes would unpack to {cost}; a model's graph takes at most {FACTOR} times its file",
        file.len()
    )))
}

fn walk(mut rest: &[u8], schema: fn(u64) -> Field, cost: &mut usize, depth: usize) {
    while let Some((key, after)) = varint(rest) {
        rest = after;
        let field = schema(key >> 3);
        let skipped = match key & 7 {
            0 => varint(rest).map(|(_, after)| {
                if let Field::Varints(size) = field {
                    *cost += size;
                }
                after
            }),
            1 => rest.get(8..),
            5 => rest.get(4..),
            2 => varint(rest).and_then(|(len, after)| {
                let (content, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
                match field {
                    Field::Message(size, schema) => {
                        *cost += size;
                        if depth > 0 {
                            walk(content, schema, cost, depth - 1);
                        }
                    }
                    Field::Element(size) => *cost += size,
                    Field::Varints(size) => {
                        *cost += size * content.iter().filter(|&b| b & 0x80 == 0).count();
                    }
                    Field::Plain => {}
                }
                Some(after)
            }),
            _ => None,
        };
        match skipped {
            Some(after) => rest = after,
            None => return,
        }
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped::MODELS;

    /// A message field with this content.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag << 3 | 2];
        let mut len = content.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(content);
        out
    }

    #[test]
    fn real_models_take_a_small_share_of_the_budget() {
        let foreign = include_bytes!("../../../../models/foreign/opt-mnist.onnx");
        for file in MODELS.iter().map(|m| m.1).chain([&foreign[..]]) {
            let mut cost = 0;
            walk(file, model, &mut cost, DEPTH);
            assert!(
                cost > 0 && cost < 2 * file.len(),
                "{cost} of {}",
                file.len()
            );
            check(file).unwrap();
        }
    }

    #[test]
    fn files_of_empty_messages_are_refused() {
        let empty_nodes = field(1, &[]).repeat(100_000);
        let attributes = field(1, &field(5, &[]).repeat(100_000));
        let dims = field(
            11,
            &field(2, &field(1, &field(2, &field(1, &[]).repeat(1_500_000)))),
        );
        let shape = field(2, &field(1, &[]).repeat(1_500_000));
        let optional = field(11, &field(2, &field(9, &field(1, &field(1, &shape)))));
        let sparse = field(15, &[]).repeat(100_000);
        let in_graph = [empty_nodes, attributes, dims, optional, sparse];
        let in_graph = in_graph.map(|graph| field(7, &graph));
        // a field behind the sixteenth takes two bytes for its tag
        let function = |content: &[u8]| {
            let mut found = vec![0xca, 0x01];
            found.extend(&field(0, content)[1..]);
            found
        };
        let nodes = field(7, &[]).repeat(100_000);
        let functions = [function(&[]).repeat(100_000), function(&nodes)];
        for file in in_graph.iter().chain(&functions) {
            let text = check(file).unwrap_err().to_string();
            assert!(text.contains("would unpack to"), "{text}");
        }
        // what is no protobuf is the decoder's to refuse
        check(&[0xff; 64]).unwrap();
        check(&[]).unwrap();
    }
}

//! The program table as a file.

use std::error::Error;
use std::fmt::Write;

use gavel_numerics::Op;
use gavel_numerics::program::{TABLE_LEN, program};
use gavel_trace::{Digest, MerkleTree, height};
use sha2::{Digest as _, Sha256};

/// Domain of other model leaves (`spec/trace.md`) and the sub-tag of a program.
const PROGRAM_TAG: [u8; 2] = [0x08, 0x70];

/// Root of the program table, from the definition.
pub(crate) fn root() -> Result<Digest, Box<dyn Error>> {
    let leaves = (0..TABLE_LEN).map(|id| match program(id) {
        None => Digest::ZERO,
        Some(program) => {
            let hash = Sha256::new()
                .chain_update(PROGRAM_TAG)
                .chain_update(id.to_be_bytes())
                .chain_update(program.encode());
            Digest::from(<[u8; 32]>::from(hash.finalize()))
        }
    });
    let tree = MerkleTree::new(height(TABLE_LEN.into()), leaves.collect())?;
    Ok(tree.root())
}

/// Name of the operator with this id.
fn name(id: u16) -> Option<&'static str> {
    let op = (0..=11).find_map(|words| Op::from_parts(id, &vec![1; words]))?;
    Some(op.name())
}

/// `programs.json`: one program a line.
pub(crate) fn file() -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "{\n  \"about\": \"program table of numerics version 1: the encoded instructions of every operator\",\n",
    );
    writeln!(text, "  \"root\": \"{}\",\n  \"programs\": [", root()?)?;
    let mut lines = Vec::new();
    for id in 0..TABLE_LEN {
        if let Some(program) = program(id) {
            let (name, bytes) = (name(id).ok_or("no operator")?, program.encode());
            lines.push(format!(
                "    {{\"id\":{id},\"name\":\"{name}\",\"code\":\"0x{}\"}}",
                hex::encode(bytes)
            ));
        }
    }
    writeln!(text, "{}\n  ]\n}}", lines.join(",\n"))?;
    Ok(text)
}

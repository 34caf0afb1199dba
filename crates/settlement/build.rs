//! Lists the committed contract artifacts, so that one that is added is found by name without a change here,
//! and writes the court's interface in the form that the binding generator takes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

use serde_json::{Value, json};

/// Where the parts of `Dispute` begin, and what they are called; the last ends before `openedAt`.
const PARTS: [(&str, &str); 5] = [
    ("node", "dissection"),
    ("leafIndex", "level1"),
    ("opsRoot", "level2"),
    ("isolatedIndex", "isolated"),
    ("isolatedAt", "ruling"),
];
const AFTER_PARTS: &str = "openedAt";

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = manifest.join("../../contracts/artifacts").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut table = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = file.file_stem().map(|s| s.to_string_lossy().into_owned());
        let (Some(name), Some(path)) = (name, file.to_str()) else {
            continue;
        };
        let _ = writeln!(table, "    ({name:?}, include_str!({path:?})),");
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("artifact_files.rs"), table)?;
    let court: Value = serde_json::from_str(&fs::read_to_string(folder.join("ICourt.json"))?)?;
    let court = split_dispute(court).ok_or_else(|| io::Error::other("ICourt.dispute changed"))?;
    fs::write(out.join("ICourt.json"), court.to_string())
}

/// Structs of more than 24 fields cannot be bound. The parts of `Dispute` become structs of their own; all
/// its fields are of fixed size, so its encoding is the same.
fn split_dispute(mut artifact: Value) -> Option<Value> {
    let functions = artifact.get_mut("abi")?.as_array_mut()?;
    let dispute = functions.iter_mut().find(|f| f["name"] == "dispute")?;
    let fields = dispute.pointer_mut("/outputs/0/components")?;
    let all = fields.as_array()?.clone();
    let find = |name: &str| all.iter().position(|f| f["name"] == name);
    let after = find(AFTER_PARTS)?;
    let mut split = all[..find(PARTS[0].0)?].to_vec();
    for (i, (first, name)) in PARTS.iter().enumerate() {
        let end = PARTS
            .get(i + 1)
            .map_or(Some(after), |(next, _)| find(next))?;
        let mut title = name.to_string();
        title[..1].make_ascii_uppercase();
        split.push(json!({
            "name": name,
            "type": "tuple",
            "internalType": format!("struct Dispute{title}"),
            "components": all.get(find(first)?..end)?,
        }));
    }
    split.extend_from_slice(&all[after..]);
    *fields = Value::Array(split);
    Some(artifact)
}

//! `gavel model id|inspect|operators|publish|fetch`

mod family;
mod language;
mod weights;

use gavel_model::diffusion::Diffusion;
use gavel_model::{Model, Source, onnx};
use serde_json::{Value, json};

pub(crate) use weights::{fetch, publish};

use crate::args::ModelFile;
use crate::failure::{Exit, Failure};
use crate::files::{self, Loaded};
use crate::output::{Output, count};

pub(crate) fn id(args: &ModelFile, out: Output) -> Result<Exit, Failure> {
    let model = match files::load(&args.model, args.context)? {
        Loaded::Network(model) => *model,
        Loaded::Language(language) => language.model,
        Loaded::Family(family) => {
            out.line(family.id().to_string());
            out.json(&json!({"family_id": family.id()}))?;
            return Ok(Exit::Done);
        }
    };
    out.line(model.model_id().to_string());
    out.json(&json!({"model_id": model.model_id()}))?;
    Ok(Exit::Done)
}

/// Names on a line.
const COLUMNS: usize = 4;

pub(crate) fn operators(out: Output) -> Result<Exit, Failure> {
    let names = onnx::operators();
    out.heading(&format!("{} operators of ONNX", names.len()));
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0) + 2;
    for names in names.chunks(COLUMNS) {
        let line: String = names.iter().map(|name| format!("{name:<width$}")).collect();
        out.line(line.trim_end());
    }
    out.next("gavel model inspect YOUR.onnx");
    out.json(&json!({"onnx": names}))?;
    Ok(Exit::Done)
}

pub(crate) fn inspect(args: &ModelFile, out: Output) -> Result<Exit, Failure> {
    let name = &args.model;
    let model = match files::load(name, args.context)? {
        Loaded::Network(model) => *model,
        Loaded::Language(found) => return language::inspect(name, &found, args.context, out),
        Loaded::Family(found) => return family::inspect(name, &found, out),
    };
    if out.is_json() {
        out.json(&as_json(&model))?;
        return Ok(Exit::Done);
    }
    let header = model.header();
    out.facts(&[
        ("model", name.clone()),
        ("model_id", model.model_id().to_string()),
        ("inputs", boundary(&model.graph().inputs)),
        ("outputs", boundary(&outputs(&model))),
        (
            "weights",
            format!(
                "{} values in {} tensors, {}",
                count(weight_values(&model)),
                model.weights().len(),
                bytes(weight_bytes(&model))
            ),
        ),
        ("work", format!("{} operations a step", count(header.work))),
        (
            "versions",
            format!(
                "numerics v{}, lowering v{}",
                header.numerics_version, header.lowering_version
            ),
        ),
    ]);
    let drawing = Diffusion::of(&model);
    if let Some(drawing) = &drawing {
        let scheduler = drawing.scheduler();
        let steps = format!("{}, {}", scheduler.steps(), printable(&scheduler.kind));
        out.facts(&[("steps", steps)]);
        for field in scheduler.vocabulary().lines() {
            let field: String = field.chars().filter(|c| !c.is_control()).collect();
            out.facts(&[("words", field)]);
        }
    }
    out.heading("Operators");
    out.table(
        &[
            "#", "segment", "operator", "name", "inputs", "output", "work",
        ],
        nodes(&model),
        &[0, 1, 6],
    );
    out.heading("Commit points");
    out.table(
        &["segment", "operators", "committed tensors", "bytes", "work"],
        segments(&model),
        &[0, 3, 4],
    );
    if !model.weights().is_empty() {
        out.heading("Weights");
        let rows = model.weights().iter().enumerate().map(|(i, w)| {
            vec![
                format!("w{i}"),
                printable(&w.name),
                w.value.ty().to_string(),
                short(model.weight_digest(i as u32)),
            ]
        });
        out.table(&["#", "name", "type", "tensor digest"], rows.collect(), &[]);
    }
    if !model.assets().is_empty() {
        out.heading("Assets");
        let rows = model.assets().iter().map(|(name, content)| {
            vec![
                name.clone(),
                bytes(content.len() as u64),
                first_line(content),
            ]
        });
        out.table(&["name", "size", "content"], rows.collect(), &[1]);
    }
    out.next(match drawing {
        Some(_) => format!("gavel generate-image WORDS --model {name}"),
        None => format!("gavel run {name} PICTURE.png"),
    });
    Ok(Exit::Done)
}

/// Names and types of the outputs.
fn outputs(model: &Model) -> Vec<(String, gavel_numerics::TensorType)> {
    let types = model.graph().outputs.iter();
    types
        .filter_map(|(name, source)| Some((name.clone(), model.type_of(*source)?.clone())))
        .collect()
}

fn boundary(named: &[(String, gavel_numerics::TensorType)]) -> String {
    let listed = named
        .iter()
        .map(|(name, ty)| format!("{} {ty}", printable(name)));
    listed.collect::<Vec<_>>().join(", ")
}

/// `x0`, `w3`, `12`: graph input, weight, node.
fn place(source: Source) -> String {
    match source {
        Source::Input(i) => format!("x{i}"),
        Source::Weight(i) => format!("w{i}"),
        Source::Node {
            step_offset: 0,
            node,
            ..
        } => node.to_string(),
        Source::Node {
            step_offset, node, ..
        } => format!("{node}@-{step_offset}"),
    }
}

fn places(sources: &[Source]) -> String {
    sources
        .iter()
        .map(|&s| place(s))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Work of every node, as the header counts it.
fn work(model: &Model) -> Vec<u64> {
    let of = |node: &gavel_model::Node| {
        let types: Option<Vec<_>> = node.inputs.iter().map(|&s| model.type_of(s)).collect();
        types.map_or(0, |types| node.op.work(&types, &node.output))
    };
    model.graph().nodes.iter().map(of).collect()
}

fn segment_of(model: &Model, node: usize) -> usize {
    model
        .segments()
        .partition_point(|s| (s.first_node as usize) <= node)
        .saturating_sub(1)
}

fn nodes(model: &Model) -> Vec<Vec<String>> {
    let work = work(model);
    let rows = model.graph().nodes.iter().zip(work).enumerate();
    rows.map(|(i, (node, work))| {
        vec![
            i.to_string(),
            segment_of(model, i).to_string(),
            node.op.name().to_owned(),
            printable(&node.name),
            places(&node.inputs),
            node.output.to_string(),
            count(work),
        ]
    })
    .collect()
}

/// Bytes committed at the end of each segment.
pub(crate) fn committed_bytes(model: &Model) -> Vec<u64> {
    let bytes = |source: &Source| {
        let ty = model.type_of(*source);
        ty.and_then(|ty| ty.byte_len().ok()).unwrap_or(0) as u64
    };
    let of = |s: &gavel_model::Segment| s.live.iter().map(bytes).sum();
    model.segments().iter().map(of).collect()
}

fn segments(model: &Model) -> Vec<Vec<String>> {
    let work = work(model);
    let total: u64 = work.iter().fold(0, |n: u64, &w| n.saturating_add(w)).max(1);
    let rows = model
        .segments()
        .iter()
        .zip(committed_bytes(model))
        .enumerate();
    rows.map(|(i, (s, committed))| {
        let range = s.first_node as usize..(s.first_node + s.op_count) as usize;
        let part = work.get(range).unwrap_or_default();
        let part = part.iter().fold(0u64, |n, &w| n.saturating_add(w));
        vec![
            i.to_string(),
            match s.op_count {
                1 => s.first_node.to_string(),
                _ => format!("{}-{}", s.first_node, s.first_node + s.op_count - 1),
            },
            places(&s.live),
            bytes(committed),
            format!("{:.1} %", 100.0 * part as f64 / total as f64),
        ]
    })
    .collect()
}

fn weight_values(model: &Model) -> u64 {
    model
        .weights()
        .iter()
        .map(|w| w.value.ty().elements().unwrap_or(0) as u64)
        .sum()
}

fn weight_bytes(model: &Model) -> u64 {
    let of = |w: &gavel_model::Weight| w.value.byte_len() as u64;
    model.weights().iter().map(of).sum()
}

fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

fn short(digest: Option<gavel_trace::Digest>) -> String {
    let text = digest.map(|d| d.to_string()).unwrap_or_default();
    let head = text.get(..18).unwrap_or(&text);
    format!("{head}…")
}

/// Names come from a stranger's file and go to a terminal.
fn printable(name: &str) -> String {
    let mut text: String = name.chars().filter(|c| !c.is_control()).take(48).collect();
    if name.chars().nth(48).is_some() {
        text.push('…');
    }
    text
}

fn first_line(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(&content[..content.len().min(256)]);
    printable(&text.lines().collect::<Vec<_>>().join(", "))
}

fn as_json(model: &Model) -> Value {
    let header = model.header();
    let ty = |ty: &gavel_numerics::TensorType| json!({"dtype": format!("{:?}", ty.dtype).to_lowercase(), "shape": ty.dims});
    let named = |list: Vec<(String, gavel_numerics::TensorType)>| -> Vec<Value> {
        list.iter()
            .map(|(name, t)| json!({"name": name, "type": ty(t)}))
            .collect()
    };
    let work = work(model);
    let nodes: Vec<Value> = model
        .graph()
        .nodes
        .iter()
        .zip(&work)
        .enumerate()
        .map(|(i, (node, work))| {
            json!({
                "index": i,
                "segment": segment_of(model, i),
                "operator": node.op.name(),
                "name": node.name,
                "inputs": node.inputs.iter().map(|&s| place(s)).collect::<Vec<_>>(),
                "output": ty(&node.output),
                "work": work,
            })
        })
        .collect();
    let segments: Vec<Value> = model
        .segments()
        .iter()
        .zip(committed_bytes(model))
        .map(|(s, committed)| {
            json!({
                "first_node": s.first_node,
                "operators": s.op_count,
                "committed": s.live.iter().map(|&s| place(s)).collect::<Vec<_>>(),
                "bytes": committed,
            })
        })
        .collect();
    let weights: Vec<Value> = model.weights().iter().enumerate().map(|(i, w)| {
        json!({"name": w.name, "type": ty(w.value.ty()), "digest": model.weight_digest(i as u32)})
    }).collect();
    let assets: serde_json::Map<String, Value> = model
        .assets()
        .iter()
        .map(|(name, content)| (name.clone(), String::from_utf8_lossy(content).into()))
        .collect();
    json!({
        "model_id": model.model_id(),
        "numerics_version": header.numerics_version,
        "lowering_version": header.lowering_version,
        "work": header.work,
        "max_steps": header.max_steps,
        "commit_points": header.commit_points,
        "weight_values": weight_values(model),
        "weight_bytes": weight_bytes(model),
        "inputs": named(model.graph().inputs.clone()),
        "outputs": named(outputs(model)),
        "nodes": nodes,
        "segments": segments,
        "weights": weights,
        "assets": assets,
    })
}

//! `gavel model inspect FILE@NAME=LOW..HIGH`

use gavel_model::family::Family;
use serde_json::json;

use super::{boundary, outputs};
use crate::failure::{Context as _, Exit, Failure};
use crate::output::{Output, count};

pub(super) fn inspect(name: &str, family: &Family, out: Output) -> Result<Exit, Failure> {
    let bindings = family.model_ids().len();
    let ends = [0, bindings.saturating_sub(1) as u32];
    let mut models = Vec::new();
    for index in ends {
        models.push((index, family.binding(index).at(name)?));
    }
    let extents = |index: u32| family.domain().extents(index);
    out.facts(&[
        ("family", name.to_owned()),
        ("family_id", family.id().to_string()),
        ("dimensions", family.domain().to_string()),
        ("bindings", count(bindings as u64)),
    ]);
    for (index, model) in &models {
        let header = model.header();
        out.heading(&family.told(*index));
        out.facts(&[
            ("model_id", model.model_id().to_string()),
            ("inputs", boundary(&model.graph().inputs)),
            ("outputs", boundary(&outputs(model))),
            ("work", format!("{} operations a step", count(header.work))),
            ("commit points", header.commit_points.to_string()),
        ]);
    }
    out.next(format!("gavel model register {name} --key KEYFILE"));
    let dimensions = family.domain().dimensions().iter();
    let dimensions: Vec<_> = dimensions
        .map(|d| json!({"name": d.name, "low": d.low, "high": d.high, "step": d.step}))
        .collect();
    let listed = (0..).zip(family.model_ids());
    let listed: Vec<_> = listed
        .map(|(index, id)| json!({"extents": extents(index), "model_id": id}))
        .collect();
    out.json(&json!({
        "family_id": family.id(),
        "bindings_root": family.header().bindings_root,
        "dimensions": dimensions,
        "bindings": listed,
    }))?;
    Ok(Exit::Done)
}

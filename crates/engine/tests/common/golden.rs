//! The models and inputs whose trace roots are pinned for all machines.

use gavel_engine::Engine;
use gavel_model::diffusion::Diffusion;
use gavel_model::onnx::{ImportOptions, import};
use gavel_model::{CommitPolicy, Model, preprocess, shipped};
use gavel_numerics::Tensor;

use super::{classifier, inputs};

/// The pinned trace roots, by family and item.
pub(crate) const PINNED: &str = include_str!("../../../../spec/vectors/numerics/trace_roots.json");

/// A seventh picture, beside the six that are shipped.
const SEVENTH: &[u8] = include_bytes!("../../../../models/images/digit-9-a.png");

/// Somebody else's model.
const FOREIGN: &[u8] = include_bytes!("../../../../models/foreign/opt-mnist.onnx");

/// A model and inputs: seven, where they are cheap.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) items: Vec<Vec<Tensor>>,
}

fn on_pictures(name: &'static str, model: Model) -> Family {
    let pictures = shipped::PICTURES.iter().map(|(_, _, png)| *png);
    let items = pictures
        .chain([SEVENTH])
        .map(|png| vec![preprocess::png_to_input(&model, png).unwrap()])
        .collect();
    Family { name, model, items }
}

/// Every family, in the order of the file of pinned roots.
pub(crate) fn families() -> Vec<Family> {
    let mut families: Vec<Family> = shipped::MODELS
        .iter()
        .map(|(name, _)| on_pictures(name, shipped::load(name).unwrap()))
        .collect();
    let foreign = import(FOREIGN, &ImportOptions::default()).unwrap();
    families.push(on_pictures("opt-mnist", foreign));
    let model = shipped::load("diffusion").unwrap();
    let drawing = Diffusion::of(&model).unwrap();
    let items = vec![drawing.task_inputs("a red circle on blue", 7).unwrap()];
    families.push(Family {
        name: "diffusion",
        model,
        items,
    });
    // every kind of operator, special values
    let model = classifier(&CommitPolicy::After(vec![2, 5, 9, 14]));
    let items = (1..=7).map(|seed| inputs(&model, seed)).collect();
    families.push(Family {
        name: "classifier",
        model,
        items,
    });
    families
}

/// The file of pinned roots as `engine` would write it, running `batch` items at a time.
pub(crate) fn file(engine: &Engine, families: &[Family], batch: usize) -> String {
    let lines = families.iter().map(|family| {
        let run = |items: &[Vec<Tensor>]| engine.run_batch(&family.model, items).unwrap();
        let runs = family.items.chunks(batch).flat_map(run);
        let roots: Vec<String> = runs
            .map(|run| format!("      \"{}\"", run.trace.trace_root()))
            .collect();
        format!("    \"{}\": [\n{}\n    ]", family.name, roots.join(",\n"))
    });
    let lines: Vec<String> = lines.collect();
    let about = "trace roots of crates/engine/tests/common/golden.rs: the same on every machine";
    let roots = lines.join(",\n");
    format!("{{\n  \"about\": \"{about}\",\n  \"roots\": {{\n{roots}\n  }}\n}}\n")
}

//! The step graph around a denoiser (`spec/model.md`, "Diffusion models").

use gavel_numerics::element::{Builder, Value as Word};
use gavel_numerics::{DType, Op, Tensor, TensorType};

use super::Scheduler;
use super::slots::{PICTURE, PROMPT, SEED, STEP, STOP};
use crate::onnx::random;
use crate::{Graph, ModelError, Node, Source, Weight};

/// The graph, and the weights of the denoiser with the scheduler's tables behind them.
pub(super) struct StepGraph {
    pub(super) graph: Graph,
    pub(super) weights: Vec<Weight>,
}

/// The denoiser's inputs by their names.
struct Denoiser {
    graph: Graph,
    sample: TensorType,
    timestep: TensorType,
    prompt: Option<TensorType>,
}

impl Denoiser {
    fn of(graph: Graph, fields: usize) -> Result<Denoiser, ModelError> {
        let fail = |name: &str, reason: String| ModelError::Boundary {
            what: "input",
            name: name.to_owned(),
            reason,
        };
        let known = ["sample", "timestep", "prompt"];
        if let Some((name, _)) = (graph.inputs.iter()).find(|(name, _)| !known.contains(&&**name)) {
            let reason = format!("a denoiser takes {}", known.join(", "));
            return Err(fail(name, reason));
        }
        let input = |name: &str| graph.inputs.iter().find(|(n, _)| n == name);
        let typed = |name: &str| {
            input(name)
                .map(|(_, ty)| ty.clone())
                .ok_or_else(|| fail(name, "a denoiser takes it, this has none".to_owned()))
        };
        let (sample, timestep) = (typed("sample")?, typed("timestep")?);
        let is_picture = matches!(sample.dims[..], [1, 1 | 3, h, w] if h > 0 && w > 0);
        if sample.dtype != DType::F32 || !is_picture {
            let reason = format!("{sample} is no picture F32[1x1xHxW] or F32[1x3xHxW]");
            return Err(fail("sample", reason));
        }
        if timestep.dtype != DType::F32 || timestep.elements() != Ok(1) {
            return Err(fail("timestep", format!("{timestep} is no F32[1]")));
        }
        let prompt = match input("prompt") {
            Some((_, ty)) if ty.dtype == DType::I64 && ty.elements() == Ok(fields) => {
                Some(ty.clone())
            }
            Some((name, ty)) => {
                return Err(fail(name, format!("{ty} is no I64 of {fields} fields")));
            }
            None if fields == 0 => None,
            None => {
                return Err(fail(
                    "prompt",
                    format!("{fields} fields and no input for them"),
                ));
            }
        };
        match graph.outputs.as_slice() {
            [(_, Source::Node { node, .. })]
                if graph.nodes.get(*node as usize).map(|n| &n.output) == Some(&sample) => {}
            _ => {
                return Err(ModelError::Boundary {
                    what: "output",
                    name: graph
                        .outputs
                        .first()
                        .map_or("", |(name, _)| name)
                        .to_owned(),
                    reason: format!("a denoiser has one output, {sample}"),
                });
            }
        }
        Ok(Denoiser {
            graph,
            sample,
            timestep,
            prompt,
        })
    }
}

impl StepGraph {
    pub(super) fn new(
        denoiser: Graph,
        weights: Vec<Weight>,
        scheduler: &Scheduler,
    ) -> Result<StepGraph, ModelError> {
        let denoiser = Denoiser::of(denoiser, scheduler.fields.len())?;
        let scalar = || TensorType::new(DType::I64, [1]);
        let mut inputs = vec![
            ("stop".to_owned(), scalar()),
            ("step".to_owned(), scalar()),
            ("picture".to_owned(), denoiser.sample.clone()),
            ("seed".to_owned(), scalar()),
        ];
        inputs.extend(denoiser.prompt.clone().map(|ty| ("prompt".to_owned(), ty)));
        let graph = Graph {
            inputs,
            ..Graph::default()
        };
        let mut writer = Writer { graph, weights };
        writer.write(denoiser, scheduler)?;
        Ok(StepGraph {
            graph: writer.graph,
            weights: writer.weights,
        })
    }
}

struct Writer {
    graph: Graph,
    weights: Vec<Weight>,
}

fn slot(index: usize) -> Source {
    Source::Input(index as u32)
}

impl Writer {
    fn write(&mut self, denoiser: Denoiser, scheduler: &Scheduler) -> Result<(), ModelError> {
        let [timestep, noise, keep, add] = {
            let columns = scheduler.columns();
            let mut found = Vec::with_capacity(columns.len());
            for (name, column) in columns {
                found.push(self.table(name, column)?);
            }
            <[Source; 4]>::try_from(found).unwrap_or([slot(STEP); 4])
        };
        let sample = self.noisy(&denoiser.sample, noise)?;
        let timestep = match denoiser.timestep.dims.len() {
            1 => timestep,
            _ => {
                let dims = denoiser.timestep.dims.clone();
                self.node("timestep", Op::Reshape { dims }, &[timestep])?
            }
        };
        let found = self.denoiser(denoiser, sample, timestep)?;
        let picture = self.map(
            "picture",
            DType::F32,
            &[sample, found, keep, add],
            |p, x| {
                let change = p.fmul(x[3], x[1]);
                p.fma(x[2], x[0], change)
            },
        )?;
        let steps = scheduler.steps();
        let stop = self.map("stop", DType::I64, &[slot(STOP), slot(STEP)], |p, x| {
            let (one, two, zero) = (p.number(1), p.number(2), p.number(0));
            let (next, steps) = (p.add(x[1], one), p.number(steps));
            let goes_on = p.less(next, steps);
            let found = p.select(goes_on, zero, one);
            p.select(x[0], two, found)
        })?;
        let step = self.node("advance", Op::Advance, &[slot(STEP)])?;
        let mut outputs = vec![stop, step, picture];
        for kept in SEED..self.graph.inputs.len() {
            let name = self.graph.inputs[kept].0.clone();
            outputs.push(self.node(name, Op::Identity, &[slot(kept)])?);
        }
        let names = self.graph.inputs.iter().map(|(name, _)| name.clone());
        self.graph.outputs = names.zip(outputs).collect();
        Ok(())
    }

    /// The row of a column that belongs to the step.
    fn table(&mut self, name: &str, column: &[f32]) -> Result<Source, ModelError> {
        let tensor = Tensor::f32([column.len() as u64], column.to_vec());
        let name = format!("scheduler.{name}");
        let weight = self.weight(&name, tensor.map_err(|e| shape(&name, e))?);
        self.node(name, Op::Gather { axis: 0 }, &[weight, slot(STEP)])
    }

    /// The picture with noise of the seed and the step, as much as a table says; before the first step there is no picture.
    fn noisy(&mut self, ty: &TensorType, amount: Source) -> Result<Source, ModelError> {
        let key = self.map(
            "noise.key",
            DType::I64,
            &[slot(SEED), slot(STEP)],
            |p, x| random::key(p, x[0], x[1]),
        )?;
        let numbers = random::numbers(&ty.dims).ok_or_else(|| ModelError::Boundary {
            what: "input",
            name: "sample".to_owned(),
            reason: format!("{ty} is too large"),
        })?;
        let mut inputs = vec![key];
        for tensor in numbers {
            inputs.push(self.weight("noise.number", tensor));
        }
        let noise = self.map("noise", DType::F32, &inputs, |p, x| {
            let word = random::word(p, x[0], &x[1..]);
            random::normal(p, word)
        })?;
        let inputs = [slot(PICTURE), noise, amount, slot(STEP)];
        self.map("sample", DType::F32, &inputs, |p, x| {
            let nothing = p.number(0);
            let picture = p.select(x[3], x[0], nothing);
            p.fma(x[1], x[2], picture)
        })
    }

    /// The denoiser's nodes on a picture and a time; what it finds.
    fn denoiser(
        &mut self,
        denoiser: Denoiser,
        sample: Source,
        timestep: Source,
    ) -> Result<Source, ModelError> {
        let first = self.graph.nodes.len() as u32;
        let graph = denoiser.graph;
        let inputs: Vec<Source> = (graph.inputs.iter())
            .map(|(name, _)| match name.as_str() {
                "sample" => sample,
                "timestep" => timestep,
                _ => slot(PROMPT),
            })
            .collect();
        let moved = |source: Source| match source {
            Source::Input(i) => inputs.get(i as usize).copied().unwrap_or(source),
            Source::Node { node, .. } => Source::node(first + node),
            Source::Weight(_) => source,
        };
        for mut node in graph.nodes {
            node.inputs.iter_mut().for_each(|s| *s = moved(*s));
            self.graph.nodes.push(node);
        }
        let output = graph.outputs.first().map(|(_, source)| moved(*source));
        Ok(output.unwrap_or(sample))
    }

    fn weight(&mut self, name: &str, tensor: Tensor) -> Source {
        self.weights.push(Weight {
            name: name.to_owned(),
            value: tensor.into(),
        });
        Source::Weight(self.weights.len() as u32 - 1)
    }

    fn map(
        &mut self,
        name: &str,
        dtype: DType,
        inputs: &[Source],
        program: impl FnOnce(&mut Builder, &[Word]) -> Word,
    ) -> Result<Source, ModelError> {
        let mut p = Builder::new();
        let loaded: Vec<Word> = (0..inputs.len()).map(|i| p.load(i as u8)).collect();
        let element = program(&mut p, &loaded);
        let code = p.finish(element).map_err(|e| shape(name, e))?;
        self.node(name, Op::Map { dtype, code }, inputs)
    }

    fn node(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[Source],
    ) -> Result<Source, ModelError> {
        let name = name.into();
        let types: Vec<&TensorType> = inputs.iter().map(|&s| self.type_of(s)).collect();
        let output = op.infer_type(&types).map_err(|e| shape(&name, e))?;
        let number = self.graph.nodes.len() as u32;
        self.graph.nodes.push(Node {
            name,
            op,
            inputs: inputs.to_vec(),
            output,
        });
        Ok(Source::node(number))
    }

    /// Type of a value of this writer's own making.
    fn type_of(&self, source: Source) -> &TensorType {
        match source {
            Source::Input(i) => &self.graph.inputs[i as usize].1,
            Source::Weight(i) => self.weights[i as usize].value.ty(),
            Source::Node { node, .. } => &self.graph.nodes[node as usize].output,
        }
    }
}

fn shape(node: &str, source: gavel_numerics::NumericsError) -> ModelError {
    ModelError::Shape {
        node: node.to_owned(),
        source,
    }
}

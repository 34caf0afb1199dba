//! What an appeal about each operator costs, on shapes of real networks and on those that scatter an element's operands most:
//! one number of its output is off by one unit, the referee is bought, and the game is played to the executed step.

use std::sync::Arc;

use gavel_dispute::SegmentFacts;
use gavel_dispute::appeal::{Case, Execution, OperatorCase, batch_proof};
use gavel_model::{CommitPolicy, Graph, Model, Node, Source, Weight};
use gavel_node::faults::OneUlp;
use gavel_node::{Address, appeal};
use gavel_numerics::element::{Builder, Extra};
use gavel_numerics::{
    Beyond, Combine, DType, Op, Reduction, Tensor, TensorType, ViewAxis, Window2d,
};
use gavel_settlement::evm::transaction_gas;
use gavel_trace::{Digest, Evidence};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use serde::Serialize;

use crate::language;
use crate::world::runtime;
use crate::{
    DemoOptions, DisputeReport, Fault, Input, Scenario, Stages, Workload, World, WorldError,
};

/// Calls of an appeal from the court to the executed step.
const CALLS: [&str; 9] = [
    "appeal",
    "openTensor",
    "revealChunkRow",
    "pickChunk",
    "revealChunk",
    "pickElement",
    "revealStates",
    "pickState",
    "step",
];
/// Seeds that are tried until the bought referee is drawn.
const SEEDS: u64 = 8;

/// An operator on inputs of these types; the first is the graph's input, the others are weights.
#[derive(Clone, Debug)]
pub struct OperatorRow {
    /// For people.
    pub name: &'static str,
    /// The operator.
    pub op: Op,
    /// Types of its inputs.
    pub inputs: Vec<TensorType>,
}

impl OperatorRow {
    fn shapes(&self) -> Vec<Vec<u64>> {
        self.inputs.iter().map(|ty| ty.dims.clone()).collect()
    }
}

/// What an appeal about an operator takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorGas {
    /// Name of the row.
    pub name: String,
    /// Extents of its inputs.
    pub shapes: Vec<Vec<u64>>,
    /// Batches of the element's run.
    pub batches: u64,
    /// Rounds of reveal and pick from the operator to the step.
    pub rounds: u32,
    /// Transactions from the appeal to the step.
    pub transactions: u32,
    /// Gas of all of them.
    pub appeal: u64,
    /// Gas of the executed step.
    pub step: u64,
    /// Least gas of a step that executes the batch of the run with the most calldata (EIP-7623).
    pub dearest: u64,
}

fn window(kernel: u32, stride: u32, pad: u32) -> Window2d {
    Window2d {
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [pad; 4],
    }
}

/// Every operator; some more than once.
pub fn operator_rows() -> Vec<OperatorRow> {
    let plane = vec![1, 64, 56, 56];
    let channels = || vec![64];
    let conv = |window| Op::Conv2d { window, groups: 1 };
    let gemm = |trans_b| Op::Gemm {
        alpha_bits: 1f32.to_bits(),
        beta_bits: 1f32.to_bits(),
        trans_a: false,
        trans_b,
    };
    let clip = Op::Clip {
        min_bits: 0,
        max_bits: 6f32.to_bits(),
    };
    let average = Op::AveragePool2d {
        window: window(3, 2, 1),
        count_include_pad: false,
    };
    let normal = Op::BatchNorm {
        epsilon_bits: 1e-5f32.to_bits(),
    };
    let arg_max = |axis| Op::ArgMax {
        axis,
        keepdims: false,
    };
    let max_pool = Op::MaxPool2d {
        window: window(3, 2, 1),
    };
    let row = |name, op, shapes: Vec<Vec<u64>>| {
        let inputs = shapes.into_iter();
        let inputs = inputs
            .map(|dims| TensorType::new(DType::F32, dims))
            .collect();
        OperatorRow { name, op, inputs }
    };
    let one = || vec![plane.clone()];
    let two = |b: &[u64]| vec![plane.clone(), b.to_vec()];
    let pooled = || vec![vec![1, 64, 112, 112]];
    vec![
        row(
            "Conv 3x3",
            conv(window(3, 1, 1)),
            vec![plane.clone(), vec![64, 64, 3, 3], channels()],
        ),
        row(
            "Conv 7x7 of 224",
            conv(window(7, 2, 3)),
            vec![vec![1, 3, 224, 224], vec![64, 3, 7, 7], channels()],
        ),
        row("Conv 1x1", conv(window(1, 1, 0)), two(&[256, 64, 1, 1])),
        row(
            "Gemm",
            gemm(true),
            vec![vec![1, 512], vec![1000, 512], vec![1000]],
        ),
        row(
            "Gemm, B by columns",
            gemm(false),
            vec![vec![1, 512], vec![512, 1000], vec![1000]],
        ),
        row(
            "MatMul 768",
            Op::MatMul,
            vec![vec![1, 128, 768], vec![768, 768]],
        ),
        row("Add", Op::Add, two(&plane)),
        row("Sub", Op::Sub, two(&plane)),
        row("Mul by channel", Op::Mul, two(&[64, 1, 1])),
        row("Div by one number", Op::Div, two(&[])),
        row("Relu", Op::Relu, one()),
        row("Clip", clip, one()),
        row("Sigmoid", Op::Sigmoid, one()),
        row("Tanh", Op::Tanh, one()),
        row("Exp", Op::Exp, one()),
        row("Softmax", Op::Softmax { axis: 1 }, vec![vec![1, 1000]]),
        row("Softmax across planes", Op::Softmax { axis: 1 }, one()),
        row("MaxPool 3x3", max_pool, pooled()),
        row("AveragePool 3x3", average, pooled()),
        row(
            "GlobalAveragePool",
            Op::GlobalAveragePool,
            vec![vec![1, 512, 7, 7]],
        ),
        row("GlobalMaxPool", Op::GlobalMaxPool, vec![vec![1, 512, 7, 7]]),
        row(
            "BatchNorm",
            normal,
            vec![
                plane.clone(),
                channels(),
                channels(),
                channels(),
                channels(),
            ],
        ),
        row(
            "Reshape",
            Op::Reshape {
                dims: vec![64, 3136],
            },
            one(),
        ),
        row(
            "Transpose",
            Op::Transpose {
                perm: vec![0, 2, 3, 1],
            },
            one(),
        ),
        row(
            "Concat",
            Op::Concat { axis: 1 },
            vec![plane.clone(), plane.clone(), plane.clone()],
        ),
        row("ArgMax", arg_max(1), vec![vec![1, 1000]]),
        row("ArgMax across planes", arg_max(1), one()),
        row("Identity", Op::Identity, one()),
    ]
    .into_iter()
    .chain(language::rows())
    .chain(general())
    .collect()
}

/// The operators that many of ONNX become.
fn general() -> Vec<OperatorRow> {
    let floats = |dims: &[u64]| TensorType::new(DType::F32, dims);
    let plane = floats(&[1, 64, 56, 56]);
    let reduce = |kind, axis| Op::Reduce {
        kind,
        axis,
        integers: false,
    };
    // one row and column on each side; the one before the first is the last but one of a period of 110
    let padded = [(1, 0), (64, 0), (58, 109), (58, 109)].map(|(extent, start)| ViewAxis {
        extent,
        start,
        step: 1,
        beyond: Beyond::Reflect,
    });
    let row = |name, op, inputs| OperatorRow { name, op, inputs };
    let mut rows = vec![
        row(
            "View, padded by reflection",
            Op::View {
                fill: 0,
                axes: padded.to_vec(),
            },
            vec![plane.clone()],
        ),
        row(
            "Reduce, a sum",
            reduce(Reduction::Sum, 2),
            vec![floats(&[1, 128, 768])],
        ),
        row(
            "Reduce, largest across planes",
            reduce(Reduction::Max, 1),
            vec![plane.clone()],
        ),
        row(
            "Gather",
            Op::Gather { axis: 0 },
            vec![floats(&[4096, 64]), TensorType::new(DType::I64, [1])],
        ),
        row(
            "Scatter, added",
            Op::Scatter {
                combine: Combine::Add,
                integers: false,
            },
            vec![
                floats(&[200, 64]),
                TensorType::new(DType::I64, [128]),
                floats(&[128, 64]),
            ],
        ),
        row(
            "TopK",
            Op::TopK {
                axis: 1,
                count: 5,
                largest: true,
                integers: false,
            },
            vec![floats(&[1, 64])],
        ),
        row(
            "Accumulate",
            Op::Accumulate {
                kind: Reduction::Sum,
                axis: 1,
                integers: false,
            },
            vec![floats(&[1, 1024, 8])],
        ),
    ];
    if let Ok(code) = gate() {
        let op = Op::Map {
            dtype: DType::F32,
            code,
        };
        let inputs = vec![plane, floats(&[64, 1, 1]), floats(&[64, 1, 1])];
        rows.push(row("Map, an affine tanh", op, inputs));
    }
    rows
}

/// `x * tanh(a * x + b)`
fn gate() -> Result<Vec<u64>, gavel_numerics::NumericsError> {
    let mut p = Builder::new();
    let (x, a, b) = (p.load(0), p.load(1), p.load(2));
    let line = p.fma(a, x, b);
    let tanh = p.function(Extra::Tanh, line);
    let element = p.fmul(x, tanh);
    p.finish(element)
}

/// Plays the appeal of one row.
///
/// # Errors
/// The operator does not take these inputs, or a world cannot be run.
pub fn operator_gas(row: &OperatorRow) -> Result<OperatorGas, WorldError> {
    let workload = Arc::new(workload(row)?);
    for seed in 1..=SEEDS {
        let scenario = Scenario::demo(&DemoOptions {
            seed,
            faults: vec![Fault::OneUlp, Fault::LyingReferee],
            watcher: true,
            audit_ppm: Some(130_000),
            providers: 5,
            inputs: 1,
        })
        .map_err(|e| WorldError::Unplayed(e.to_string()))?;
        let (report, shown) = runtime()?.block_on(async {
            let stages = Stages::default();
            let stage = stages.fork((&scenario).into(), workload.model()).await?;
            let blobs = gavel_node::Blobs::memory();
            let world = World::open(scenario.clone(), Arc::clone(&workload), stage, blobs).await?;
            world.run_showing(&mut |_| {}).await
        })?;
        let played = report.disputes.iter().find(|d| d.step.is_some());
        let evidence = played.and_then(|d| shown.iter().find(|(id, _)| *id == d.id));
        if let (Some(dispute), Some((_, evidence))) = (played, evidence) {
            return measured(row, dispute, evidence);
        }
    }
    Err(WorldError::Unplayed(row.name.to_owned()))
}

/// A model of the one operator, and one number of its output that is wrong: in the middle, where no tap is padding.
fn workload(row: &OperatorRow) -> Result<Workload, WorldError> {
    let mut rng = ChaCha12Rng::seed_from_u64(11);
    let tensors: Vec<Tensor> = (row.inputs.iter().enumerate())
        .map(|(input, ty)| match ty.dtype {
            DType::F32 => {
                let len = ty.dims.iter().product::<u64>();
                // values without zero bytes, which are the dearest
                let bits = |rng: &mut ChaCha12Rng| rng.random::<u32>() & 0x007f_7f7f | 0x3f01_0101;
                let values = (0..len).map(|_| f32::from_bits(bits(&mut rng))).collect();
                Tensor::f32(ty.dims.clone(), values)
            }
            _ => language::integers(&row.op, input, ty, &mut rng),
        })
        .collect::<Result<_, _>>()?;
    let types: Vec<&TensorType> = tensors.iter().map(Tensor::ty).collect();
    let output = row.op.infer_type(&types)?;
    let last = output.dims.last().copied().unwrap_or(0);
    let elements = output.elements()?;
    let element = (elements / 2 + (last / 2) as usize) % elements.max(1);
    let mut sources = vec![Source::Input(0)];
    sources.extend((0..tensors.len() as u32 - 1).map(Source::Weight));
    let mut tensors = tensors.into_iter();
    let input = tensors.next().into_iter().collect::<Vec<_>>();
    let graph = Graph {
        inputs: (row.inputs.iter().take(1))
            .map(|ty| ("x".to_owned(), ty.clone()))
            .collect(),
        nodes: vec![Node {
            name: String::new(),
            op: row.op.clone(),
            inputs: sources,
            output,
        }],
        outputs: vec![("y".to_owned(), Source::node(0))],
    };
    let weights = tensors.enumerate().map(|(i, tensor)| Weight {
        name: format!("w{i}"),
        value: tensor.into(),
    });
    let model = Model::build(
        graph,
        weights.collect(),
        Default::default(),
        &CommitPolicy::default(),
    )?;
    let input = Input {
        name: row.name.to_owned(),
        tensors: input,
        expected: None,
    };
    let workload = Workload::new(row.name, model, vec![input], Box::new(|_, _| None))?;
    Ok(workload.falsifying(OneUlp { node: 0, element }))
}

fn measured(
    row: &OperatorRow,
    dispute: &DisputeReport,
    evidence: &Evidence,
) -> Result<OperatorGas, WorldError> {
    let unplayed = || WorldError::Unplayed(row.name.to_owned());
    let calls = (dispute.moves.iter()).filter(|m| CALLS.contains(&m.call.as_str()));
    let step = (dispute.moves.iter()).find(|m| m.call == "step");
    let Some(Case::Operator(case)) = appeal::of_evidence(evidence) else {
        return Err(unplayed());
    };
    let element = evidence.element.as_ref().ok_or_else(unplayed)?.element;
    let execution = Execution::new(&case, element).ok_or_else(unplayed)?;
    let dearest = (0..execution.batches())
        .filter_map(|batch| calldata(evidence, &case, &execution, batch))
        .map(|data| transaction_gas(&data, 0));
    Ok(OperatorGas {
        name: row.name.to_owned(),
        shapes: row.shapes(),
        batches: execution.batches(),
        rounds: dispute.appeal_rounds,
        transactions: calls.clone().count() as u32,
        appeal: calls.map(|m| m.gas).sum(),
        step: step.ok_or_else(unplayed)?.gas,
        dearest: dearest.max().ok_or_else(unplayed)?,
    })
}

/// What an accuser would send to have a batch executed.
fn calldata(
    evidence: &Evidence,
    case: &OperatorCase,
    execution: &Execution<'_>,
    batch: u64,
) -> Option<Vec<u8>> {
    let entry = &evidence.segment.entry;
    let segment = SegmentFacts {
        leaf_index: evidence.leaf_index,
        leaf: evidence.leaf,
        previous_leaf: evidence.previous_leaf,
        first_node: entry.first_node,
        op_count: entry.op_count,
        live_count: entry.live_count,
        ops_root: evidence.ops_root,
    };
    let proof = batch_proof(&evidence.model, &segment, case, execution, batch)?;
    // addresses and digests have few zero bytes, which are the cheap ones
    let (court, end) = (Address::repeat_byte(0xff), Digest([0xff; 32]));
    Some(appeal::step_calldata(court, 1, end, proof))
}

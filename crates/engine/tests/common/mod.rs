//! Models made with the graph API, for the engine's tests.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod golden;

use std::collections::BTreeMap;

use gavel_model::{CommitPolicy, Graph, Model, Node, Source, Weight};
use gavel_numerics::{DType, Op, Tensor, TensorType, Window2d};

/// Deterministic values in -1..1, a few of them special.
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match i % 97 {
                13 => -0.0,
                29 => 1.0e-40,
                _ => (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0,
            }
        })
        .collect()
}

pub(crate) fn tensor(dims: &[u64], seed: u64) -> Tensor {
    let len = dims.iter().product::<u64>() as usize;
    Tensor::f32(dims.to_vec(), values(len, seed)).unwrap()
}

/// Builds a graph node by node; types come from the shape programs.
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    pub(crate) weights: Vec<Weight>,
}

impl Builder {
    pub(crate) fn new(inputs: &[(&str, &[u64])]) -> Builder {
        let inputs = inputs
            .iter()
            .map(|(name, dims)| (name.to_string(), TensorType::new(DType::F32, dims.to_vec())));
        Builder {
            graph: Graph {
                inputs: inputs.collect(),
                ..Graph::default()
            },
            weights: Vec::new(),
        }
    }

    pub(crate) fn weight(&mut self, dims: &[u64]) -> Source {
        let index = self.weights.len();
        let value = tensor(dims, 100 + index as u64).into();
        self.weights.push(Weight {
            name: format!("w{index}"),
            value,
        });
        Source::Weight(index as u32)
    }

    pub(crate) fn node(&mut self, op: Op, inputs: &[Source]) -> Source {
        let ty = |source: &Source| match *source {
            Source::Input(i) => &self.graph.inputs[i as usize].1,
            Source::Weight(i) => self.weights[i as usize].value.ty(),
            Source::Node { node, .. } => &self.graph.nodes[node as usize].output,
        };
        let output = op
            .infer_type(&inputs.iter().map(ty).collect::<Vec<_>>())
            .unwrap();
        let index = self.graph.nodes.len() as u32;
        let name = format!("{}_{index}", op.name());
        self.graph.nodes.push(Node {
            name,
            op,
            inputs: inputs.to_vec(),
            output,
        });
        Source::node(index)
    }

    pub(crate) fn build(mut self, outputs: &[Source], policy: &CommitPolicy) -> Model {
        self.graph.outputs = outputs
            .iter()
            .enumerate()
            .map(|(i, &s)| (format!("out{i}"), s))
            .collect();
        Model::build(self.graph, self.weights, BTreeMap::new(), policy).unwrap()
    }
}

pub(crate) fn window(k: u32, stride: u32, pad: u32) -> Window2d {
    Window2d {
        kernel: [k, k],
        strides: [stride, stride],
        dilations: [1, 1],
        pads: [pad; 4],
    }
}

pub(crate) fn gemm_op() -> Op {
    let one = 1.0f32.to_bits();
    Op::Gemm {
        alpha_bits: one,
        beta_bits: one,
        trans_a: false,
        trans_b: true,
    }
}

/// A convolutional classifier with a skip connection, every kind of operator, and a second input
/// that stays live to the end.
pub(crate) fn classifier(policy: &CommitPolicy) -> Model {
    let mut b = Builder::new(&[("image", &[1, 3, 17, 15]), ("shift", &[1, 10])]);
    let (x, shift) = (Source::Input(0), Source::Input(1));
    let (w, bias) = (b.weight(&[16, 3, 3, 3]), b.weight(&[16]));
    let x = b.node(
        Op::Conv2d {
            window: window(3, 1, 1),
            groups: 1,
        },
        &[x, w, bias],
    );
    let stats: Vec<Source> = (0..4).map(|_| b.weight(&[16])).collect();
    let x = b.node(
        Op::Clip {
            min_bits: (-0.75f32).to_bits(),
            max_bits: 6f32.to_bits(),
        },
        &[x],
    );
    let skip = b.node(Op::Relu, &[x]);
    let w = b.weight(&[16, 1, 3, 3]);
    let y = b.node(
        Op::Conv2d {
            window: window(3, 1, 1),
            groups: 16,
        },
        &[skip, w],
    );
    let y = b.node(
        Op::BatchNorm {
            epsilon_bits: 2f32.to_bits(),
        },
        &[y, stats[0], stats[1], stats[2], stats[3]],
    );
    let y = b.node(Op::Sigmoid, &[y]);
    let y = b.node(Op::Add, &[y, skip]);
    let y = b.node(
        Op::MaxPool2d {
            window: window(3, 2, 1),
        },
        &[y],
    );
    let w = b.weight(&[32, 16, 3, 3]);
    let y = b.node(
        Op::Conv2d {
            window: window(3, 2, 1),
            groups: 1,
        },
        &[y, w],
    );
    let y = b.node(Op::Tanh, &[y]);
    let y = b.node(
        Op::AveragePool2d {
            window: window(2, 1, 1),
            count_include_pad: false,
        },
        &[y],
    );
    let z = b.node(Op::GlobalAveragePool, &[y]);
    let m = b.node(Op::GlobalMaxPool, &[y]);
    let z = b.node(Op::Concat { axis: 1 }, &[z, m]);
    let z = b.node(Op::Reshape { dims: vec![1, 64] }, &[z]);
    let (w, c) = (b.weight(&[300, 64]), b.weight(&[300]));
    let z = b.node(gemm_op(), &[z, w, c]);
    let z = b.node(Op::Relu, &[z]);
    let w = b.weight(&[300, 10]);
    let z = b.node(Op::MatMul, &[z, w]);
    let z = b.node(Op::Sub, &[z, shift]);
    let probabilities = b.node(Op::Softmax { axis: 1 }, &[z]);
    let label = b.node(
        Op::ArgMax {
            axis: 1,
            keepdims: false,
        },
        &[probabilities],
    );
    b.build(&[probabilities, label], policy)
}

pub(crate) fn inputs(model: &Model, seed: u64) -> Vec<Tensor> {
    model
        .graph()
        .inputs
        .iter()
        .enumerate()
        .map(|(i, (_, ty))| tensor(&ty.dims, seed * 10 + i as u64))
        .collect()
}

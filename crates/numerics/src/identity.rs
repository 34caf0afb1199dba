//! What an operator is called where names do not count: its id and its attribute words.

use crate::{Beyond, Combine, DType, Op, Reduction, ViewAxis, WeightFormat, Window2d};

impl Op {
    /// Identity of the operator in the program table; never reused.
    pub fn id(&self) -> u16 {
        match self {
            Op::Conv2d { .. } => 1,
            Op::Gemm { .. } => 2,
            Op::MatMul => 3,
            Op::Add => 4,
            Op::Sub => 5,
            Op::Mul => 6,
            Op::Div => 7,
            Op::Relu => 8,
            Op::Clip { .. } => 9,
            Op::Sigmoid => 10,
            Op::Tanh => 11,
            Op::Exp => 12,
            Op::Softmax { .. } => 13,
            Op::MaxPool2d { .. } => 14,
            Op::AveragePool2d { .. } => 15,
            Op::GlobalAveragePool => 16,
            Op::GlobalMaxPool => 17,
            Op::BatchNorm { .. } => 18,
            Op::Reshape { .. } => 19,
            Op::Transpose { .. } => 20,
            Op::Concat { .. } => 21,
            Op::ArgMax { .. } => 22,
            Op::Identity => 23,
            Op::Embed { .. } => 24,
            Op::RmsNorm { .. } => 25,
            Op::Quantize => 26,
            Op::Linear { .. } => 27,
            Op::Rope { .. } => 28,
            Op::WriteRow => 29,
            Op::Attention { .. } => 30,
            Op::SwiGlu => 31,
            Op::Penalties => 32,
            Op::Filter => 33,
            Op::Sample => 34,
            Op::AppendToken => 35,
            Op::Stop => 36,
            Op::Advance => 37,
            Op::Map { .. } => 38,
            Op::View { .. } => 39,
            Op::Reduce { .. } => 40,
            Op::Gather { .. } => 41,
            Op::Scatter { .. } => 42,
            Op::TopK { .. } => 43,
            Op::Accumulate { .. } => 44,
        }
    }

    /// Name, as people write it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv2d { .. } => "Conv",
            Op::Gemm { .. } => "Gemm",
            Op::MatMul => "MatMul",
            Op::Add => "Add",
            Op::Sub => "Sub",
            Op::Mul => "Mul",
            Op::Div => "Div",
            Op::Relu => "Relu",
            Op::Clip { .. } => "Clip",
            Op::Sigmoid => "Sigmoid",
            Op::Tanh => "Tanh",
            Op::Exp => "Exp",
            Op::Softmax { .. } => "Softmax",
            Op::MaxPool2d { .. } => "MaxPool",
            Op::AveragePool2d { .. } => "AveragePool",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::GlobalMaxPool => "GlobalMaxPool",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Reshape { .. } => "Reshape",
            Op::Transpose { .. } => "Transpose",
            Op::Concat { .. } => "Concat",
            Op::ArgMax { .. } => "ArgMax",
            Op::Identity => "Identity",
            Op::Embed { .. } => "Embed",
            Op::RmsNorm { .. } => "RmsNorm",
            Op::Quantize => "Quantize",
            Op::Linear { .. } => "Linear",
            Op::Rope { .. } => "Rope",
            Op::WriteRow => "WriteRow",
            Op::Attention { .. } => "Attention",
            Op::SwiGlu => "SwiGlu",
            Op::Penalties => "Penalties",
            Op::Filter => "Filter",
            Op::Sample => "Sample",
            Op::AppendToken => "AppendToken",
            Op::Stop => "Stop",
            Op::Advance => "Advance",
            Op::Map { .. } => "Map",
            Op::View { .. } => "View",
            Op::Reduce { .. } => "Reduce",
            Op::Gather { .. } => "Gather",
            Op::Scatter { .. } => "Scatter",
            Op::TopK { .. } => "TopK",
            Op::Accumulate { .. } => "Accumulate",
        }
    }

    /// Attributes as a flat list of words, in the order of the variant's fields: what a program reads
    /// and what a model's canonical bytes carry.
    pub fn attributes(&self) -> Vec<u64> {
        fn window_words(w: &Window2d) -> Vec<u64> {
            w.kernel
                .iter()
                .chain(&w.strides)
                .chain(&w.dilations)
                .chain(&w.pads)
                .map(|&v| v.into())
                .collect()
        }
        match self {
            Op::Conv2d { window, groups } => {
                [window_words(window), vec![(*groups).into()]].concat()
            }
            Op::Gemm {
                alpha_bits,
                beta_bits,
                trans_a,
                trans_b,
            } => {
                vec![
                    (*alpha_bits).into(),
                    (*beta_bits).into(),
                    (*trans_a).into(),
                    (*trans_b).into(),
                ]
            }
            Op::Clip { min_bits, max_bits } => vec![(*min_bits).into(), (*max_bits).into()],
            Op::Softmax { axis } | Op::Concat { axis } => vec![(*axis).into()],
            Op::MaxPool2d { window } => window_words(window),
            Op::AveragePool2d {
                window,
                count_include_pad,
            } => [window_words(window), vec![(*count_include_pad).into()]].concat(),
            Op::BatchNorm { epsilon_bits } => vec![(*epsilon_bits).into()],
            Op::Reshape { dims } => dims.clone(),
            Op::Transpose { perm } => perm.iter().map(|&p| p.into()).collect(),
            Op::Reduce {
                kind,
                axis,
                integers,
            }
            | Op::Accumulate {
                kind,
                axis,
                integers,
            } => vec![(*axis).into(), *kind as u64, (*integers).into()],
            Op::Gather { axis } => vec![(*axis).into()],
            Op::Scatter { combine, integers } => vec![*combine as u64, (*integers).into()],
            Op::TopK {
                axis,
                count,
                largest,
                integers,
            } => vec![
                (*axis).into(),
                *count,
                (*largest).into(),
                (*integers).into(),
            ],
            Op::View { fill, axes } => {
                let words = axes.iter().flat_map(|axis| {
                    let (start, step) = (axis.start.cast_unsigned(), axis.step.cast_unsigned());
                    [axis.extent, start, step, axis.beyond as u64]
                });
                std::iter::once(*fill).chain(words).collect()
            }
            Op::Map { dtype, code } => [&[dtype.id().into()], code.as_slice()].concat(),
            Op::ArgMax { axis, keepdims } => vec![(*axis).into(), (*keepdims).into()],
            Op::Embed { format } | Op::Linear { format } => vec![format.id().into()],
            Op::RmsNorm { epsilon_bits } => vec![(*epsilon_bits).into()],
            Op::Rope {
                head_dim,
                halves,
                rotary,
            } => vec![(*head_dim).into(), (*halves).into(), (*rotary).into()],
            Op::Attention {
                head_dim,
                heads,
                kv_heads,
                scale_bits,
                window,
            } => [head_dim, heads, kv_heads, scale_bits, window]
                .map(|&w| w.into())
                .to_vec(),
            Op::MatMul
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Div
            | Op::Relu
            | Op::Sigmoid
            | Op::Tanh
            | Op::Exp
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::Identity
            | Op::Quantize
            | Op::WriteRow
            | Op::SwiGlu
            | Op::Penalties
            | Op::Filter
            | Op::Sample
            | Op::AppendToken
            | Op::Stop
            | Op::Advance => Vec::new(),
        }
    }

    /// The operator with this id and these attribute words; `None` if there is no such operator.
    pub fn from_parts(id: u16, words: &[u64]) -> Option<Op> {
        let word = |i: usize| u32::try_from(*words.get(i)?).ok();
        let flag = |i: usize| match words.get(i)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        let window = || {
            let mut w = [0u32; 10];
            for (i, to) in w.iter_mut().enumerate() {
                *to = word(i)?;
            }
            Some(Window2d {
                kernel: [w[0], w[1]],
                strides: [w[2], w[3]],
                dilations: [w[4], w[5]],
                pads: [w[6], w[7], w[8], w[9]],
            })
        };
        let format = || WeightFormat::from_id(word(0)?);
        let op = match id {
            1 => Op::Conv2d {
                window: window()?,
                groups: word(10)?,
            },
            2 => Op::Gemm {
                alpha_bits: word(0)?,
                beta_bits: word(1)?,
                trans_a: flag(2)?,
                trans_b: flag(3)?,
            },
            3 => Op::MatMul,
            4 => Op::Add,
            5 => Op::Sub,
            6 => Op::Mul,
            7 => Op::Div,
            8 => Op::Relu,
            9 => Op::Clip {
                min_bits: word(0)?,
                max_bits: word(1)?,
            },
            10 => Op::Sigmoid,
            11 => Op::Tanh,
            12 => Op::Exp,
            13 => Op::Softmax { axis: word(0)? },
            14 => Op::MaxPool2d { window: window()? },
            15 => Op::AveragePool2d {
                window: window()?,
                count_include_pad: flag(10)?,
            },
            16 => Op::GlobalAveragePool,
            17 => Op::GlobalMaxPool,
            18 => Op::BatchNorm {
                epsilon_bits: word(0)?,
            },
            19 => Op::Reshape {
                dims: words.to_vec(),
            },
            20 => Op::Transpose {
                perm: words
                    .iter()
                    .map(|&w| u32::try_from(w).ok())
                    .collect::<Option<_>>()?,
            },
            21 => Op::Concat { axis: word(0)? },
            22 => Op::ArgMax {
                axis: word(0)?,
                keepdims: flag(1)?,
            },
            23 => Op::Identity,
            24 => Op::Embed { format: format()? },
            25 => Op::RmsNorm {
                epsilon_bits: word(0)?,
            },
            26 => Op::Quantize,
            27 => Op::Linear { format: format()? },
            28 => Op::Rope {
                head_dim: word(0)?,
                halves: flag(1)?,
                rotary: word(2)?,
            },
            29 => Op::WriteRow,
            30 => Op::Attention {
                head_dim: word(0)?,
                heads: word(1)?,
                kv_heads: word(2)?,
                scale_bits: word(3)?,
                window: word(4)?,
            },
            31 => Op::SwiGlu,
            32 => Op::Penalties,
            33 => Op::Filter,
            34 => Op::Sample,
            35 => Op::AppendToken,
            36 => Op::Stop,
            37 => Op::Advance,
            38 => Op::Map {
                dtype: DType::from_id(u8::try_from(*words.first()?).ok()?)?,
                code: words[1..].to_vec(),
            },
            40 => Op::Reduce {
                axis: word(0)?,
                kind: Reduction::from_id(*words.get(1)?)?,
                integers: flag(2)?,
            },
            41 => Op::Gather { axis: word(0)? },
            42 => Op::Scatter {
                combine: Combine::from_id(*words.first()?)?,
                integers: flag(1)?,
            },
            43 => Op::TopK {
                axis: word(0)?,
                count: *words.get(1)?,
                largest: flag(2)?,
                integers: flag(3)?,
            },
            44 => Op::Accumulate {
                axis: word(0)?,
                kind: Reduction::from_id(*words.get(1)?)?,
                integers: flag(2)?,
            },
            39 => {
                let (fill, rest) = words.split_first()?;
                let (axes, rest) = rest.as_chunks::<4>();
                let axes = axes.iter().map(|&[extent, start, step, beyond]| {
                    Some(ViewAxis {
                        extent,
                        start: start.cast_signed(),
                        step: step.cast_signed(),
                        beyond: Beyond::from_id(beyond)?,
                    })
                });
                let axes = axes.collect::<Option<Vec<_>>>()?;
                let fill = *fill;
                rest.is_empty().then_some(Op::View { fill, axes })?
            }
            _ => return None,
        };
        // no words beyond the operator's own
        (op.attributes().len() == words.len()).then_some(op)
    }
}

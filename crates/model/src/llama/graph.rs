//! The canonical step graph of the Llama family (`spec/model.md`, "Language models").

use gavel_numerics::{DType, Op, TensorType, WeightFormat};

use super::config::{Formats, LayerFormats, LlamaConfig};
use super::roles::{
    self, LayerRoles, Matrix, PARAMS, POSITION, Roles, STOP, TOKENS, WeightKind, WeightSpec,
};
use crate::{CommitPolicy, Graph, ModelError, Node, Source};

/// Words of the sampling parameters.
const PARAMETERS: u64 = 16;

/// A step graph, the weights that it reads in their order, and what is what in both.
#[derive(Clone, Debug)]
pub struct StepGraph {
    /// The graph.
    pub graph: Graph,
    /// Weights by first use.
    pub weights: Vec<WeightSpec>,
    /// What is what.
    pub roles: Roles,
}

impl StepGraph {
    /// The step graph of a model with matrices in these formats.
    ///
    /// # Errors
    /// A configuration that does not fit together, or a row that is no whole number of its format's blocks.
    pub fn new(config: &LlamaConfig, formats: &Formats) -> Result<StepGraph, ModelError> {
        config.check()?;
        if formats.layers.len() != config.layers as usize {
            return Err(ModelError::Config {
                field: "layers".to_owned(),
                reason: format!(
                    "{} layers with formats of {}",
                    config.layers,
                    formats.layers.len()
                ),
            });
        }
        Writer::new(config).write(formats)
    }

    /// Cuts at the ends of layers into `segments` parts, the last of which has the head too; fewer where there are
    /// fewer layers.
    pub fn commits(&self, segments: u32) -> CommitPolicy {
        let layers = self.roles.layers.len();
        let parts = layers.min(segments.max(1) as usize);
        CommitPolicy::After(
            (1..parts)
                .filter_map(|i| self.roles.layers.get((layers * i).div_ceil(parts) - 1))
                .map(|layer| layer.residual_node)
                .collect(),
        )
    }
}

/// Appends nodes and weights in canonical order.
struct Writer<'a> {
    config: &'a LlamaConfig,
    graph: Graph,
    weights: Vec<WeightSpec>,
}

/// A value, and what Quantize makes of it once a product needs that.
struct Activation {
    value: Source,
    quantised: Option<Source>,
}

impl From<Source> for Activation {
    fn from(value: Source) -> Activation {
        Activation {
            value,
            quantised: None,
        }
    }
}

fn slot(index: usize) -> Source {
    Source::Input(index as u32)
}

impl<'a> Writer<'a> {
    fn new(config: &'a LlamaConfig) -> Writer<'a> {
        let context = u64::from(config.context);
        let scalar = TensorType::new(DType::I64, [1]);
        let cache = TensorType::new(DType::F32, [context, config.kv_width().into()]);
        let mut inputs = vec![
            ("stop".to_owned(), scalar.clone()),
            ("position".to_owned(), scalar),
            (
                "tokens".to_owned(),
                TensorType::new(DType::I32, [context + 1]),
            ),
            (
                "params".to_owned(),
                TensorType::new(DType::I64, [PARAMETERS]),
            ),
        ];
        for layer in 0..config.layers {
            inputs.push((format!("keys.{layer}"), cache.clone()));
            inputs.push((format!("values.{layer}"), cache.clone()));
        }
        Writer {
            config,
            graph: Graph {
                inputs,
                ..Graph::default()
            },
            weights: Vec::new(),
        }
    }

    fn write(mut self, formats: &Formats) -> Result<StepGraph, ModelError> {
        let config = self.config;
        let embedding = self.matrix(
            "token_embd.weight",
            formats.embedding,
            [config.vocabulary, config.width],
        )?;
        let mut x = self.node(
            "embed",
            Op::Embed {
                format: embedding.format,
            },
            &[
                Source::Weight(embedding.weight),
                slot(TOKENS),
                slot(POSITION),
            ],
        )?;
        let mut layers = Vec::with_capacity(formats.layers.len());
        let mut rope = None;
        for (i, &formats) in formats.layers.iter().enumerate() {
            let (layer, residual) = self.layer(i, formats, x, &mut rope)?;
            layers.push(layer);
            x = residual;
        }
        let norm = self.vector("output_norm.weight", config.width);
        let mut h = self.norm("norm", x, norm)?.into();
        let head = match config.tied {
            true => embedding,
            false => self.matrix(
                "output.weight",
                formats.head,
                [config.vocabulary, config.width],
            )?,
        };
        let logits = self.linear("logits", &mut h, head)?;
        let (sample, end) = self.sampling(logits)?;
        self.cache_outputs(&layers);
        Ok(StepGraph {
            roles: Roles {
                embedding,
                rope: rope.unwrap_or_default(),
                layers,
                norm,
                head,
                end,
                logits_node: number(logits),
                sample_node: number(sample),
            },
            graph: self.graph,
            weights: self.weights,
        })
    }

    /// Layer `i` on the residual `x`; the rope table is made where it is first read.
    fn layer(
        &mut self,
        i: usize,
        formats: LayerFormats,
        x: Source,
        rope: &mut Option<u32>,
    ) -> Result<(LayerRoles, Source), ModelError> {
        let config = self.config;
        let [width, hidden, q_width, kv_width] = [
            config.width,
            config.hidden,
            config.query_width(),
            config.kv_width(),
        ];
        let at = |part: &str| format!("blk.{i}.{part}");

        let attention_norm = self.vector(at("attn_norm.weight"), width);
        let mut h = self.norm(at("attn_norm"), x, attention_norm)?.into();
        let (query, query_bias, q) =
            self.projection(&at("attn_q"), &mut h, formats.query, [q_width, width])?;
        let (key, key_bias, k) =
            self.projection(&at("attn_k"), &mut h, formats.key, [kv_width, width])?;
        let (value, value_bias, v) =
            self.projection(&at("attn_v"), &mut h, formats.value, [kv_width, width])?;
        let (query_norm, q) = self.head_norm(at("attn_q_norm"), q)?;
        let (key_norm, k) = self.head_norm(at("attn_k_norm"), k)?;
        let table = *rope.get_or_insert_with(|| self.rope_table());
        let q = self.rotate(at("rope_q"), q, table)?;
        let k = self.rotate(at("rope_k"), k, table)?;
        let [keys_in, values_in] = [roles::keys(i), roles::values(i)].map(slot);
        let keys = self.node(at("keys"), Op::WriteRow, &[keys_in, k, slot(POSITION)])?;
        let values = self.node(at("values"), Op::WriteRow, &[values_in, v, slot(POSITION)])?;
        let attention = Op::Attention {
            head_dim: config.head_dim,
            heads: config.heads,
            kv_heads: config.kv_heads,
            scale_bits: config.attention_scale().to_bits(),
            window: config.window,
        };
        let mut a = self
            .node(at("attn"), attention, &[q, keys, values, slot(POSITION)])?
            .into();
        let output = self.matrix(at("attn_output.weight"), formats.output, [width, q_width])?;
        let o = self.linear(at("attn_output"), &mut a, output)?;
        let x = self.node(at("attn_residual"), Op::Add, &[x, o])?;

        let ffn_norm = self.vector(at("ffn_norm.weight"), width);
        let mut h = self.norm(at("ffn_norm"), x, ffn_norm)?.into();
        let gate = self.matrix(at("ffn_gate.weight"), formats.gate, [hidden, width])?;
        let g = self.linear(at("ffn_gate"), &mut h, gate)?;
        let up = self.matrix(at("ffn_up.weight"), formats.up, [hidden, width])?;
        let u = self.linear(at("ffn_up"), &mut h, up)?;
        let mut m = self.node(at("ffn_act"), Op::SwiGlu, &[g, u])?.into();
        let down = self.matrix(at("ffn_down.weight"), formats.down, [width, hidden])?;
        let d = self.linear(at("ffn_down"), &mut m, down)?;
        let x = self.node(at("residual"), Op::Add, &[x, d])?;
        let layer = LayerRoles {
            attention_norm,
            query,
            query_bias,
            key,
            key_bias,
            value,
            value_bias,
            query_norm,
            key_norm,
            output,
            ffn_norm,
            gate,
            up,
            down,
            keys_node: number(keys),
            values_node: number(values),
            residual_node: number(x),
        };
        Ok((layer, x))
    }

    /// From logits to the first four outputs; the sampled token, and the weight of end tokens.
    fn sampling(&mut self, logits: Source) -> Result<(Source, u32), ModelError> {
        let [stop, position, tokens, params] = [STOP, POSITION, TOKENS, PARAMS].map(slot);
        let penalised = self.node(
            "penalties",
            Op::Penalties,
            &[logits, tokens, position, params],
        )?;
        let filtered = self.node("filter", Op::Filter, &[penalised, params])?;
        let sample = self.node("sample", Op::Sample, &[filtered, position, params])?;
        let tokens = self.node(
            "append",
            Op::AppendToken,
            &[tokens, sample, position, params],
        )?;
        let end = self.weight(
            "end",
            WeightKind::End,
            TensorType::new(DType::I32, [self.config.end.len().max(1) as u64]),
        );
        let stop = self.node(
            "stop",
            Op::Stop,
            &[stop, tokens, position, params, Source::Weight(end)],
        )?;
        let position = self.node("advance", Op::Advance, &[position])?;
        let params = self.node("params", Op::Identity, &[params])?;
        for (slot, source) in [stop, position, tokens, params].into_iter().enumerate() {
            let name = self.graph.inputs[slot].0.clone();
            self.graph.outputs.push((name, source));
        }
        Ok((sample, end))
    }

    fn cache_outputs(&mut self, layers: &[LayerRoles]) {
        for (i, layer) in layers.iter().enumerate() {
            for (slot, node) in [
                (roles::keys(i), layer.keys_node),
                (roles::values(i), layer.values_node),
            ] {
                let name = self.graph.inputs[slot].0.clone();
                self.graph.outputs.push((name, Source::node(node)));
            }
        }
    }

    fn node(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[Source],
    ) -> Result<Source, ModelError> {
        let name = name.into();
        let types: Vec<&TensorType> = inputs.iter().map(|&s| self.type_of(s)).collect();
        let output = op.infer_type(&types).map_err(|source| ModelError::Shape {
            node: name.clone(),
            source,
        })?;
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
            Source::Weight(i) => &self.weights[i as usize].ty,
            Source::Node { node, .. } => &self.graph.nodes[node as usize].output,
        }
    }

    fn weight(&mut self, name: impl Into<String>, kind: WeightKind, ty: TensorType) -> u32 {
        self.weights.push(WeightSpec {
            name: name.into(),
            kind,
            ty,
        });
        (self.weights.len() - 1) as u32
    }

    fn vector(&mut self, name: impl Into<String>, extent: u32) -> u32 {
        let ty = TensorType::new(DType::F32, [u64::from(extent)]);
        self.weight(name, WeightKind::Vector, ty)
    }

    fn matrix(
        &mut self,
        name: impl Into<String>,
        format: WeightFormat,
        [rows, values]: [u32; 2],
    ) -> Result<Matrix, ModelError> {
        let name = name.into();
        let bytes = format
            .row_bytes(values as usize)
            .ok_or_else(|| ModelError::Tensor {
                name: name.clone(),
                reason: format!(
                    "rows of {values} values are no whole blocks of {}",
                    format.name()
                ),
            })?;
        let ty = match format {
            WeightFormat::F32 => TensorType::new(DType::F32, [rows.into(), values.into()]),
            _ => TensorType::new(DType::U8, [rows.into(), bytes as u64]),
        };
        let weight = self.weight(name, WeightKind::Matrix(format), ty);
        Ok(Matrix { weight, format })
    }

    fn rope_table(&mut self) -> u32 {
        let config = self.config;
        let ty = TensorType::new(
            DType::F32,
            [config.context.into(), config.rope.rotary.into()],
        );
        self.weight("rope", WeightKind::Rope, ty)
    }

    fn norm(
        &mut self,
        name: impl Into<String>,
        x: Source,
        weight: u32,
    ) -> Result<Source, ModelError> {
        let op = Op::RmsNorm {
            epsilon_bits: self.config.epsilon.to_bits(),
        };
        self.node(name, op, &[x, Source::Weight(weight)])
    }

    fn head_norm(&mut self, name: String, x: Source) -> Result<(Option<u32>, Source), ModelError> {
        if !self.config.head_norms {
            return Ok((None, x));
        }
        let weight = self.vector(format!("{name}.weight"), self.config.head_dim);
        Ok((Some(weight), self.norm(name, x, weight)?))
    }

    fn rotate(&mut self, name: String, x: Source, table: u32) -> Result<Source, ModelError> {
        let op = Op::Rope {
            head_dim: self.config.head_dim,
            halves: self.config.rope.halves,
            rotary: self.config.rope.rotary,
        };
        self.node(name, op, &[x, Source::Weight(table), slot(POSITION)])
    }

    /// A product; what it reads is quantised first where its format asks for that and nothing before it has.
    fn linear(
        &mut self,
        name: impl Into<String>,
        x: &mut Activation,
        matrix: Matrix,
    ) -> Result<Source, ModelError> {
        let name = name.into();
        let input = match (matrix.format.is_quantised(), x.quantised) {
            (false, _) => x.value,
            (true, Some(ready)) => ready,
            (true, None) => {
                let made = self.node(format!("{name}.quantize"), Op::Quantize, &[x.value])?;
                *x.quantised.insert(made)
            }
        };
        let op = Op::Linear {
            format: matrix.format,
        };
        self.node(name, op, &[input, Source::Weight(matrix.weight)])
    }

    /// A product with its bias, if there are biases.
    fn projection(
        &mut self,
        name: &str,
        x: &mut Activation,
        format: WeightFormat,
        extents: [u32; 2],
    ) -> Result<(Matrix, Option<u32>, Source), ModelError> {
        let matrix = self.matrix(format!("{name}.weight"), format, extents)?;
        let product = self.linear(name, x, matrix)?;
        if !self.config.bias {
            return Ok((matrix, None, product));
        }
        let bias = self.vector(format!("{name}.bias"), extents[0]);
        let sum = self.node(
            format!("{name}.biased"),
            Op::Add,
            &[product, Source::Weight(bias)],
        )?;
        Ok((matrix, Some(bias), sum))
    }
}

/// Number of a node that this module made.
fn number(source: Source) -> u32 {
    match source {
        Source::Node { node, .. } | Source::Input(node) | Source::Weight(node) => node,
    }
}

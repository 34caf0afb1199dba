//! Weights as a step reads them: matrices packed once, vectors as they are.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_model::llama::{LanguageModel, LayerRoles, Matrix};
use gavel_model::{Progress, page_out};
use gavel_numerics::kernels::{Activations, PackedMatrix, dequantise};
use gavel_numerics::{Tensor, WeightFormat};

use super::LanguageError;
use crate::team::Team;

/// A matrix, and what is added to a product with it.
pub(crate) struct Product {
    pub(crate) matrix: PackedMatrix,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Product {
    /// Which of the two kinds of activations it reads.
    pub(crate) fn input<'a>(&self, of: &'a Inputs) -> &'a Activations {
        match self.matrix.format().is_quantised() {
            true => &of.quantised,
            false => &of.plain,
        }
    }
}

/// Activations for products with matrices of different formats.
#[derive(Default)]
pub(crate) struct Inputs {
    pub(crate) plain: Activations,
    pub(crate) quantised: Activations,
}

/// Weights of a layer.
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Product,
    pub(crate) key: Product,
    pub(crate) value: Product,
    pub(crate) query_norm: Option<Vec<f32>>,
    pub(crate) key_norm: Option<Vec<f32>>,
    pub(crate) output: Product,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Product,
    pub(crate) up: Product,
    pub(crate) down: Product,
}

/// The table of embeddings, read where it lies: a step looks at one row of it.
pub(crate) struct Table {
    tensor: Arc<Tensor>,
    format: WeightFormat,
    row_bytes: usize,
    zeros: Vec<u8>,
}

impl Table {
    /// Writes the embedding of a token; that of zero bytes where there is no such token.
    pub(crate) fn row(&self, token: i32, out: &mut [f32]) {
        let bytes = self.tensor.le_bytes();
        let at = usize::try_from(token).ok();
        let at = at.and_then(|token| token.checked_mul(self.row_bytes));
        let row = at.and_then(|at| bytes.get(at..at.checked_add(self.row_bytes)?));
        dequantise(self.format, row.unwrap_or(&self.zeros), out);
    }
}

/// All weights.
pub(crate) struct Weights {
    pub(crate) embedding: Table,
    /// Cosines and sines, `[context, rotary]`.
    pub(crate) rope: Vec<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    pub(crate) head: Product,
    /// Tokens that end a run.
    pub(crate) end: Vec<i32>,
    /// Bytes of all matrices that a step reads whole.
    pub(crate) bytes: u64,
}

impl Weights {
    /// Packs the matrices of a model, one after the other, on all threads. The file's pages of one are let go before
    /// the next is packed, so that file and packed weights do not both stay in memory.
    pub(crate) fn pack(
        model: &LanguageModel,
        team: &Team,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Weights, LanguageError> {
        let roles = &model.roles;
        let matrices = roles
            .layers
            .iter()
            .flat_map(|l| [l.query, l.key, l.value, l.output, l.gate, l.up, l.down])
            .chain([roles.head]);
        let matrices: Vec<Matrix> = matrices.collect();
        let mut packer = Packer {
            model,
            team,
            progress,
            rooms: VecDeque::with_capacity(matrices.len()),
            done: 0,
            total: 0,
        };
        for &matrix in matrices.iter().rev() {
            packer.make_room(matrix)?;
        }
        let layers = roles.layers.iter().map(|l| packer.layer(l));
        let layers = layers.collect::<Result<_, _>>()?;
        let head = packer.product(roles.head, None)?;
        let table = packer.tensor(roles.embedding.weight)?;
        let row_bytes = table.le_bytes().len() / model.config.vocabulary.max(1) as usize;
        Ok(Weights {
            embedding: Table {
                tensor: table,
                format: roles.embedding.format,
                row_bytes,
                zeros: vec![0; row_bytes],
            },
            rope: packer.vector(roles.rope)?,
            layers,
            norm: packer.vector(roles.norm)?,
            head,
            end: packer.tokens(roles.end)?,
            bytes: packer.total,
        })
    }
}

struct Packer<'a> {
    model: &'a LanguageModel,
    team: &'a Team,
    progress: &'a mut dyn FnMut(Progress),
    /// Matrices to be filled, in order: made before the first is filled, so that their memory is one piece, of which the
    /// system makes huge pages.
    rooms: VecDeque<PackedMatrix>,
    done: u64,
    total: u64,
}

impl Packer<'_> {
    fn layer(&mut self, roles: &LayerRoles) -> Result<Layer, LanguageError> {
        Ok(Layer {
            attention_norm: self.vector(roles.attention_norm)?,
            query: self.product(roles.query, roles.query_bias)?,
            key: self.product(roles.key, roles.key_bias)?,
            value: self.product(roles.value, roles.value_bias)?,
            query_norm: roles.query_norm.map(|w| self.vector(w)).transpose()?,
            key_norm: roles.key_norm.map(|w| self.vector(w)).transpose()?,
            output: self.product(roles.output, None)?,
            ffn_norm: self.vector(roles.ffn_norm)?,
            gate: self.product(roles.gate, None)?,
            up: self.product(roles.up, None)?,
            down: self.product(roles.down, None)?,
        })
    }

    fn tensor(&self, weight: u32) -> Result<Arc<Tensor>, LanguageError> {
        let found = self.model.model.weights().get(weight as usize);
        found.map(|w| w.value.tensor()).ok_or_else(|| {
            let reason = "is not there".to_owned();
            self.wrong(weight, reason)
        })
    }

    fn wrong(&self, weight: u32, reason: String) -> LanguageError {
        let found = self.model.model.weights().get(weight as usize);
        let name = found.map_or_else(|| weight.to_string(), |w| w.name.clone());
        LanguageError::Weight { name, reason }
    }

    fn vector(&self, weight: u32) -> Result<Vec<f32>, LanguageError> {
        let tensor = self.tensor(weight)?;
        let values = tensor.as_f32();
        values
            .map(<[f32]>::to_vec)
            .ok_or_else(|| self.wrong(weight, "is not of f32".to_owned()))
    }

    fn tokens(&self, weight: u32) -> Result<Vec<i32>, LanguageError> {
        match self.tensor(weight)?.data() {
            gavel_numerics::Data::I32(values) => Ok(values.clone()),
            _ => Err(self.wrong(weight, "is not of i32".to_owned())),
        }
    }

    fn make_room(&mut self, of: Matrix) -> Result<(), LanguageError> {
        let tensor = self.tensor(of.weight)?;
        let extents = match *tensor.dims() {
            [rows, extent] => Some((rows as usize, extent as usize * tensor.dtype().size())),
            _ => None,
        };
        let extents = extents.and_then(|(n, bytes)| Some((n, of.format.row_values(bytes)?)));
        let (n, k) = extents.ok_or_else(|| {
            let name = of.format.name();
            self.wrong(of.weight, format!("{} is no matrix of {name}", tensor.ty()))
        })?;
        self.rooms.push_front(PackedMatrix::new(of.format, n, k)?);
        self.total += tensor.le_bytes().len() as u64;
        Ok(())
    }

    /// Fills the next matrix.
    fn product(&mut self, of: Matrix, bias: Option<u32>) -> Result<Product, LanguageError> {
        let tensor = self.tensor(of.weight)?;
        let bytes = tensor.le_bytes();
        let room = self.rooms.pop_front();
        let mut matrix = room.ok_or_else(|| self.wrong(of.weight, "has no room".to_owned()))?;
        let row_bytes = matrix.row_bytes();
        let mut panels: Vec<_> = matrix.panels_mut().collect();
        self.team.each(&mut panels, |panel| {
            let rows = panel.rows();
            panel.fill(&bytes[rows.start * row_bytes..rows.end * row_bytes]);
        });
        drop(panels);
        page_out(&bytes);
        self.done += bytes.len() as u64;
        (self.progress)(Progress {
            done: self.done,
            total: self.total,
        });
        let bias = bias.map(|w| self.vector(w)).transpose()?;
        Ok(Product { matrix, bias })
    }
}

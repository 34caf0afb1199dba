//! Operators that are done to an output before it is stored.

use gavel_model::Source;
use gavel_numerics::kernels::ChannelStats;
use gavel_numerics::kernels::fused::{Affine, Rows, Tail};
use gavel_numerics::{DType, Op};

use super::graph::{Readers, node_of};
use super::patterns::{affine_program, gate};

/// An operator of a tail, as a plan has it.
pub(super) enum After {
    Relu,
    Clip(f32, f32),
    Silu,
    Sigmoid,
    ErfGate {
        divisor: f32,
        addend: f32,
    },
    Scale(f32),
    Divide(f32),
    /// Another value of the output's shape.
    Add(Source),
    Mul(Source),
    /// A value with one element for each column.
    AddRow(Source),
    AddColumns(Vec<f32>),
    MulColumns(Vec<f32>),
    Affine(Affine),
}

impl After {
    /// Whether products do it to their tiles ([`Tail::is_simple`]).
    fn is_simple(&self) -> bool {
        !matches!(self, After::Silu | After::Sigmoid | After::ErfGate { .. })
    }

    /// The other value that it reads.
    pub(super) fn reads(&self) -> Option<Source> {
        match self {
            After::Add(source) | After::Mul(source) | After::AddRow(source) => Some(*source),
            _ => None,
        }
    }

    /// With the rows of the other value, if it reads one.
    pub(super) fn with<'a>(&'a self, other: Option<Rows<'a>>) -> Option<Tail<'a>> {
        Some(match self {
            After::Relu => Tail::Relu,
            After::Clip(low, high) => Tail::Clip(*low, *high),
            After::Silu => Tail::Silu,
            After::Sigmoid => Tail::Sigmoid,
            &After::ErfGate { divisor, addend } => Tail::ErfGate { divisor, addend },
            After::Scale(factor) => Tail::Scale(*factor),
            After::Divide(divisor) => Tail::Divide(*divisor),
            After::AddRow(_) => Tail::AddColumns(other?.values),
            After::Add(_) => Tail::Add(other?),
            After::Mul(_) => Tail::Mul(other?),
            After::AddColumns(columns) => Tail::AddColumns(columns),
            After::MulColumns(columns) => Tail::MulColumns(columns),
            After::Affine(affine) => Tail::Affine(affine),
        })
    }
}

/// The quotient by a constant; the product with its inverse where that is the same number before both are rounded.
fn divided_by(divisor: f32) -> After {
    let inverse = 1.0 / divisor;
    match divisor.to_bits() << 9 == 0 && divisor.is_normal() && inverse.is_normal() {
        true => After::Scale(inverse),
        false => After::Divide(divisor),
    }
}

/// How the columns of a tail lie in a value: channels of an image `[1, c, h, w]`, or the last axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    Channels,
    Last,
}

impl Columns {
    fn axis(self, dims: &[u64]) -> usize {
        match self {
            Columns::Channels => 1,
            Columns::Last => dims.len().saturating_sub(1),
        }
    }

    /// One value for each column, from a weight that broadcasts to `dims` and varies along no other axis.
    fn spread(self, readers: &Readers<'_>, weight: Source, dims: &[u64]) -> Option<Vec<f32>> {
        let (values, own) = (readers.weight(weight)?, readers.dims(weight)?);
        let axis = self.axis(dims);
        let lead = dims.len().checked_sub(own.len())?;
        let columns = *dims.get(axis)? as usize;
        let mut varies = own.iter().enumerate().filter(|(_, d)| **d != 1);
        match (varies.next(), varies.next()) {
            (None, _) => Some(vec![*values.first()?; columns]),
            (Some((at, _)), None) if at + lead == axis => Some(values.into_owned()),
            _ => None,
        }
    }
}

/// What node `index` does to the value `of`, which it reads.
pub(super) fn operator(
    readers: &Readers<'_>,
    columns: Columns,
    index: usize,
    of: Source,
) -> Option<After> {
    let node = readers.node(index);
    let dims = readers.dims(of)?;
    if node.output.dims != dims || !readers.is_f32(of) {
        return None;
    }
    let other = || {
        let [a, b] = *node.inputs.as_slice() else {
            return None;
        };
        let other = if a == of { b } else { a };
        (other != of && readers.is_f32(other)).then_some(other)
    };
    let same =
        |other: Source| !matches!(other, Source::Weight(_)) && readers.dims(other) == Some(dims);
    let first = node.inputs.first() == Some(&of);
    // one element for each column, of a value that is no weight
    let is_row = |other: Source| {
        let mut own = vec![1; dims.len()];
        let axis = columns.axis(dims);
        if let (Some(to), Some(&extent)) = (own.get_mut(axis), dims.get(axis)) {
            *to = extent;
        }
        !matches!(other, Source::Weight(_)) && readers.dims(other) == Some(own.as_slice())
    };
    Some(match &node.op {
        Op::Relu => After::Relu,
        Op::Clip { min_bits, max_bits } => {
            After::Clip(f32::from_bits(*min_bits), f32::from_bits(*max_bits))
        }
        Op::Sigmoid => After::Sigmoid,
        Op::Add => match other()? {
            other if same(other) => After::Add(other),
            other if is_row(other) => After::AddRow(other),
            other => After::AddColumns(columns.spread(readers, other, dims)?),
        },
        Op::Mul => match other()? {
            other if same(other) => After::Mul(other),
            other => match readers.scalar(other) {
                Some(factor) => After::Scale(factor),
                None => After::MulColumns(columns.spread(readers, other, dims)?),
            },
        },
        Op::Div if first => divided_by(readers.scalar(other()?)?),
        Op::Map {
            dtype: DType::F32,
            code,
        } if first && *code == affine_program() => {
            let weight = |i: usize| columns.spread(readers, *node.inputs.get(i)?, dims);
            After::Affine(Affine {
                factor: weight(1)?,
                addend: weight(2)?,
            })
        }
        Op::BatchNorm { epsilon_bits } if first && columns == Columns::Channels => {
            let weight = |i: usize| readers.weight(*node.inputs.get(i)?);
            After::Affine(Affine::normal(ChannelStats {
                scale: &weight(1)?,
                bias: &weight(2)?,
                mean: &weight(3)?,
                var: &weight(4)?,
                epsilon: f32::from_bits(*epsilon_bits),
            }))
        }
        _ => return None,
    })
}

/// The operators that may be done to the output of `nodes`, whose last node's value it is; their nodes are added. Only `simple`
/// ones, if need be.
pub(super) fn absorb(
    readers: &Readers<'_>,
    columns: Columns,
    simple: bool,
    nodes: &mut Vec<usize>,
) -> Vec<After> {
    let mut tail = Vec::new();
    while let Some(&last) = nodes.last()
        && tail.len() < MOST
    {
        let value = Source::node(last as u32);
        let next = match readers.only(last).as_deref() {
            Some(&[next]) => {
                operator(readers, columns, next, value).map(|after| (after, vec![next]))
            }
            Some(&[first, _]) => gate(readers, first, value),
            _ => None,
        };
        let Some((after, more)) = next else { break };
        if simple && !after.is_simple() {
            break;
        }
        // what it reads must not wait for this step
        if after.reads().and_then(|source| node_of(&source)) == Some(last) {
            break;
        }
        tail.push(after);
        nodes.extend(more);
    }
    tail
}

/// Most operators of a tail.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_becomes_a_product_only_where_no_bit_changes() {
        for divisor in [
            8.0f32,
            -0.25,
            1.0,
            f32::MIN_POSITIVE,
            3.0,
            0.0,
            f32::NAN,
            f32::INFINITY,
        ] {
            let found = divided_by(divisor);
            let exact = divisor.is_normal() && divisor.abs().log2().fract() == 0.0;
            assert_eq!(matches!(found, After::Scale(_)), exact, "{divisor}");
            let values = [
                1.0f32,
                -3.7e-39,
                1.5e38,
                0.1,
                -0.0,
                f32::from_bits(1),
                f32::INFINITY,
            ];
            for x in values {
                let scaled = match found {
                    After::Scale(factor) => x * factor,
                    _ => x / divisor,
                };
                let wanted = x / divisor;
                assert!(scaled.to_bits() == wanted.to_bits() || scaled.is_nan() && wanted.is_nan());
            }
        }
        // an inverse of 2^127 is not a normal number
        assert!(matches!(divided_by(2f32.powi(127)), After::Divide(_)));
    }
}

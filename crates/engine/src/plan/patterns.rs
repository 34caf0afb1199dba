//! Shapes of graphs that importers write for one operator of the file: found again node by node, program by program. What does
//! not match exactly is run as it stands.

use gavel_model::Source;
use gavel_numerics::element::{Builder, Extra, Value as Word, decode};
use gavel_numerics::kernels::fused::{Affine, erf_program};
use gavel_numerics::{DType, Op, Reduction};

use super::graph::Readers;
use super::tail::After;

/// The words of a program on `inputs` inputs.
pub(super) fn program(inputs: u8, element: impl FnOnce(&mut Builder, &[Word]) -> Word) -> Vec<u64> {
    let mut p = Builder::new();
    let inputs: Vec<Word> = (0..inputs).map(|i| p.load(i)).collect();
    let element = element(&mut p, &inputs);
    // none where it is too long, which no node has
    p.finish(element).unwrap_or_default()
}

/// Whether a node is such a program on such inputs.
fn is_map(readers: &Readers<'_>, index: usize, inputs: &[Source], code: &[u64]) -> bool {
    readers.get(index).is_some_and(|node| {
        let same = matches!(&node.op, Op::Map { dtype: DType::F32, code: own } if own == code);
        same && node.inputs == inputs
    })
}

/// A normalisation of rows.
pub(super) struct Norm {
    pub(super) x: Source,
    pub(super) rows: usize,
    pub(super) len: usize,
    pub(super) epsilon: f32,
    /// Scale and bias, if they follow.
    pub(super) affine: Option<(Source, Source)>,
    /// Its nodes.
    pub(super) nodes: Vec<usize>,
}

/// A walk over nodes, one behind the other.
struct Walk<'a, 'b> {
    readers: &'a Readers<'b>,
    at: usize,
}

impl Walk<'_, '_> {
    fn here(&self) -> Source {
        Source::node(self.at as u32)
    }

    /// A Reshape of `value` if one is here, else the value itself.
    fn reshaped(&mut self, value: Source) -> Source {
        let node = self.readers.get(self.at);
        match node {
            Some(node) if matches!(node.op, Op::Reshape { .. }) && node.inputs == [value] => {
                self.at += 1;
                Source::node(self.at as u32 - 1)
            }
            _ => value,
        }
    }

    fn map(&mut self, inputs: &[Source], code: &[u64]) -> Option<Source> {
        is_map(self.readers, self.at, inputs, code).then(|| {
            self.at += 1;
            Source::node(self.at as u32 - 1)
        })
    }

    /// The mean of the rows of `value`, of which there are so many of such a length.
    fn mean(&mut self, value: Source) -> Option<(Source, usize, usize)> {
        let rows = self.reshaped(value);
        let &[outer, len, 1] = self.readers.dims(rows)? else {
            return None;
        };
        let node = self.readers.get(self.at)?;
        let sum = Op::Reduce {
            kind: Reduction::Sum,
            axis: 1,
            integers: false,
        };
        if node.op != sum || node.inputs != [rows] || len == 0 {
            return None;
        }
        let sum = self.here();
        self.at += 1;
        let sum = self.reshaped(sum);
        let divided = program(1, |p, x| {
            let count = p.float(len as f32);
            p.fdiv(x[0], count)
        });
        let mean = self.map(&[sum], &divided)?;
        Some((mean, outer as usize, len as usize))
    }
}

/// The normalisation whose nodes begin at `index`, with scale and bias or without.
pub(super) fn norm(readers: &Readers<'_>, index: usize) -> Option<Norm> {
    let x = *readers.get(index)?.inputs.first()?;
    let mut walk = Walk { readers, at: index };
    let (mean, rows, len) = walk.mean(x)?;
    // the mean broadcasts along the last axes, which are the rows
    let (dims, own) = (readers.dims(x)?, readers.dims(mean)?);
    let kept = own.iter().zip(dims).take_while(|(a, b)| a == b).count();
    let last = |dims: &[u64]| dims.iter().skip(kept).product::<u64>() as usize;
    if own.len() != dims.len() || last(own) != 1 || last(dims) != len {
        return None;
    }
    let centred = walk.map(&[x, mean], &program(2, |p, x| p.fsub(x[0], x[1])))?;
    let squares = walk.map(&[centred], &program(1, |p, x| p.fmul(x[0], x[0])))?;
    let (variance, again, as_long) = walk.mean(squares)?;
    if (again, as_long) != (rows, len) {
        return None;
    }
    let epsilon = match &readers.get(walk.at)?.op {
        Op::Map { code, .. } => first_constant(code)?,
        _ => return None,
    };
    let inverse = program(1, |p, x| {
        let (epsilon, one) = (p.float(epsilon), p.float(1.0));
        let sum = p.fadd(x[0], epsilon);
        let root = p.fsqrt(sum);
        p.fdiv(one, root)
    });
    let inverse = walk.map(&[variance], &inverse)?;
    let normal = walk.map(&[centred, inverse], &program(2, |p, x| p.fmul(x[0], x[1])))?;
    let affine = readers
        .get(walk.at)
        .and_then(|node| match *node.inputs.as_slice() {
            [first, scale, bias] if first == normal => {
                is_map(readers, walk.at, &node.inputs, &affine_program()).then_some((scale, bias))
            }
            _ => None,
        });
    let found = |affine, end: usize| Norm {
        x,
        rows,
        len,
        epsilon,
        affine,
        nodes: (index..end).collect(),
    };
    if affine.is_some() {
        let with = found(affine, walk.at + 1);
        if readers.is_closed(&with.nodes) {
            return Some(with);
        }
    }
    let without = found(None, walk.at);
    readers.is_closed(&without.nodes).then_some(without)
}

fn first_constant(code: &[u64]) -> Option<f32> {
    let steps = decode(code, 1).ok()?;
    let constant = gavel_numerics::element::Action::Extra(Extra::Constant);
    let found = steps.iter().find(|step| step.action == constant)?;
    Some(f32::from_bits(found.immediate))
}

/// `fma(x, scale, bias)`
pub(super) fn affine_program() -> Vec<u64> {
    program(3, |p, x| p.fma(x[0], x[1], x[2]))
}

/// A normalisation of an image by groups of channels: what the rows of `[1, groups, ..]` are, with the nodes that give the
/// image its extents back.
pub(super) struct GroupNorm {
    pub(super) x: Source,
    pub(super) groups: usize,
    pub(super) epsilon: f32,
    pub(super) affine: Option<Affine>,
    pub(super) nodes: Vec<usize>,
}

/// The normalisation of an image whose nodes begin at `index`.
pub(super) fn group_norm(readers: &Readers<'_>, index: usize) -> Option<GroupNorm> {
    let first = readers.get(index)?;
    let x = *first.inputs.first()?;
    let dims = readers.dims(x)?;
    let &[1, channels, ..] = dims else {
        return None;
    };
    let norm = norm(readers, index + 1)?;
    let groups = norm.rows as u64;
    let is_reshape = matches!(first.op, Op::Reshape { .. });
    if !is_reshape
        || norm.x != Source::node(index as u32)
        || groups == 0
        || !channels.is_multiple_of(groups)
        || first.output.dims.first() != Some(&1)
    {
        return None;
    }
    let affine = match norm.affine {
        Some((scale, bias)) => {
            let spread = |weight: Source| {
                let values = readers.weight(weight)?;
                // one value for each row
                let fits = values.len() as u64 == groups
                    && readers
                        .dims(weight)?
                        .last()
                        .is_none_or(|&d| d == 1 || groups == 1);
                let own = (channels / groups) as usize;
                let each = values.iter().flat_map(|&v| std::iter::repeat_n(v, own));
                fits.then(|| each.collect::<Vec<f32>>())
            };
            Some(Affine {
                factor: spread(scale)?,
                addend: spread(bias)?,
            })
        }
        None => None,
    };
    let mut nodes = vec![index];
    nodes.extend(&norm.nodes);
    let last = *nodes.last()?;
    let back = match readers.only(last).as_deref() {
        Some(&[back]) => back,
        _ => return None,
    };
    let back_node = readers.get(back)?;
    if !matches!(back_node.op, Op::Reshape { .. }) || back_node.output.dims != dims {
        return None;
    }
    nodes.push(back);
    readers.is_closed(&nodes).then_some(GroupNorm {
        x,
        groups: groups as usize,
        epsilon: norm.epsilon,
        affine,
        nodes,
    })
}

/// `x * sigmoid(x)` or `x * (erf(x / d) + a)`, whose first node is `index`: what it does to `x`, and its nodes.
pub(super) fn gate(readers: &Readers<'_>, index: usize, x: Source) -> Option<(After, Vec<usize>)> {
    let first = readers.get(index)?;
    if first.inputs.first() != Some(&x) {
        return None;
    }
    let only = |index: usize| match readers.only(index).as_deref() {
        Some(&[next]) => Some(next),
        _ => None,
    };
    let is_product = |index: usize, gate: usize| {
        let (node, gate) = (readers.node(index), Source::node(gate as u32));
        node.op == Op::Mul && (node.inputs == [x, gate] || node.inputs == [gate, x])
    };
    match &first.op {
        Op::Sigmoid => {
            let product = only(index)?;
            is_product(product, index).then(|| (After::Silu, vec![index, product]))
        }
        Op::Div => {
            let divisor = readers.scalar(*first.inputs.get(1)?)?;
            let erf = only(index)?;
            let argument = Source::node(index as u32);
            if !is_map(readers, erf, &[argument], &erf_program()) {
                return None;
            }
            let sum = only(erf)?;
            let (node, value) = (readers.node(sum), Source::node(erf as u32));
            let addend = match *node.inputs.as_slice() {
                [a, b] if node.op == Op::Add && a == value => readers.scalar(b)?,
                [a, b] if node.op == Op::Add && b == value => readers.scalar(a)?,
                _ => return None,
            };
            let product = only(sum)?;
            let alike = [index, erf, sum, product]
                .iter()
                .all(|&node| Some(readers.node(node).output.dims.as_slice()) == readers.dims(x));
            let after = After::ErfGate { divisor, addend };
            (alike && is_product(product, sum)).then(|| (after, vec![index, erf, sum, product]))
        }
        _ => None,
    }
}

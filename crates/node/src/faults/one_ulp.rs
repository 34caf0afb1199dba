//! `one-ulp`: one element of one operator's output is off by one unit in the last place.

use gavel_engine::NodeObserver;
use gavel_model::Model;
use gavel_numerics::{DType, Tensor};

use super::draw;

/// The fault: a machine that gets this element wrong, every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneUlp {
    /// Node in canonical order.
    pub node: usize,
    /// Element of its output, row-major.
    pub element: usize,
}

impl OneUlp {
    /// Candidate number `index` of a seed: a node, each as likely as the next, and one of its elements.
    /// `None` where the node's output is empty.
    pub fn draw(model: &Model, seed: u64, index: u64) -> Option<OneUlp> {
        let nodes = &model.graph().nodes;
        let node = (draw(seed, 2 * index) % nodes.len().max(1) as u64) as usize;
        let elements = nodes.get(node)?.output.elements().ok()? as u64;
        let element = draw(seed, 2 * index + 1).checked_rem(elements)?;
        Some(OneUlp {
            node,
            element: element as usize,
        })
    }
}

impl NodeObserver for OneUlp {
    fn after_node(&mut self, _item: usize, node: usize, output: &mut Tensor) {
        if node == self.node {
            bump(output, self.element);
        }
    }
}

/// Moves one element to the next representable value away from zero (an infinity to the largest finite
/// one). Integers and bools move by one, modulo their range. `false`, and nothing moved, for a NaN, of
/// which a tensor has one kind only, and for an element that is not there.
pub fn bump(tensor: &mut Tensor, element: usize) -> bool {
    if let Some(values) = tensor.as_f32_mut() {
        return match values.get_mut(element) {
            Some(x) if x.is_infinite() => {
                *x = f32::from_bits(x.to_bits() - 1);
                true
            }
            Some(x) if !x.is_nan() => {
                *x = f32::from_bits(x.to_bits() + 1);
                true
            }
            _ => false,
        };
    }
    let raw: Option<Vec<u64>> = (0..tensor.len()).map(|i| tensor.raw(i)).collect();
    let Some(mut raw) = raw else {
        return false;
    };
    match (raw.get_mut(element), tensor.dtype()) {
        (None, _) => return false,
        (Some(x), DType::Bool) => *x ^= 1,
        (Some(x), _) => *x = x.wrapping_add(1),
    }
    match Tensor::from_raw(tensor.ty().clone(), &raw) {
        Ok(bumped) => {
            *tensor = bumped;
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_by_one_unit() {
        let cases = [
            (1.0, 1.0 + f32::EPSILON),
            (-1.0, -1.0 - f32::EPSILON),
            (0.0, f32::from_bits(1)),
            (-0.0, -f32::from_bits(1)),
            (f32::MAX, f32::INFINITY),
            (f32::INFINITY, f32::MAX),
            (f32::NEG_INFINITY, f32::MIN),
        ];
        for (from, to) in cases {
            let mut tensor = Tensor::f32([2], vec![7.0, from]).unwrap();
            assert!(bump(&mut tensor, 1));
            assert_eq!(tensor.as_f32().unwrap()[1].to_bits(), to.to_bits());
            assert_eq!(tensor.as_f32().unwrap()[0], 7.0);
            assert!(!bump(&mut tensor, 2));
        }
        assert!(!bump(&mut Tensor::f32([1], vec![f32::NAN]).unwrap(), 0));
        let mut label = Tensor::i64([1], vec![3]).unwrap();
        assert!(bump(&mut label, 0));
        assert_eq!(label.as_i64(), Some(&[4][..]));
    }
}

//! One unit in the last place, anywhere, is found exactly.
#![allow(clippy::unwrap_used)]

mod common;

use gavel_node::{isolate_fault, isolate_random};
use gavel_trace::FineIndex;
use proptest::prelude::*;

#[test]
fn every_operator_of_the_digit_model_is_isolated_exactly() {
    for name in ["digits", "digits-small", "digits-mlp"] {
        let (executor, id, inputs) = common::shipped(name, 0);
        let model = executor.models().get(&id).unwrap().clone();
        for (node, op) in model.graph().nodes.iter().enumerate() {
            let elements = op.output.elements().unwrap();
            // The first element that is not absorbed by what follows.
            let found = (0..elements)
                .find_map(|element| isolate_fault(&executor, &id, &inputs, node, element).unwrap())
                .unwrap_or_else(|| panic!("{name}: nothing that node {node} gives is committed"));
            assert!(found.exact, "{name} {found:?}");
            assert_eq!(found.isolated_node, Some(node));
            assert!(matches!(found.isolated, FineIndex::Op(_)));
            let header = model.header();
            assert!(
                found.rounds <= gavel_dispute::max_rounds(header),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_is_not_there_is_absorbed() {
    let (executor, id, inputs) = common::shipped("digits", 0);
    assert_eq!(
        isolate_fault(&executor, &id, &inputs, 10_000, 0).unwrap(),
        None
    );
    assert_eq!(
        isolate_fault(&executor, &id, &inputs, 0, usize::MAX).unwrap(),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn random_faults_are_isolated_exactly(seed: u64, picture in 0usize..6) {
        let (executor, id, inputs) = common::shipped("digits", picture);
        let found = isolate_random(&executor, &id, &inputs, seed).unwrap();
        prop_assert!(found.isolation.exact, "{found:?}");
    }
}

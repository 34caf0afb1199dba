//! Files that are consistent in every hash and were made by nobody honest: any operator on any operands is
//! computed or refused, within bounds, and never a crash of whoever reads the file.
#![allow(clippy::unwrap_used)]

use gavel_model::{Node, Source, edge_bytes, live_bytes, weight_bytes};
use gavel_node::evidence::{JudgeError, JudgeLimits, judge};
use gavel_numerics::{DType, Op, Tensor, TensorType, reference};
use gavel_trace::{
    Base64Bytes, CHUNK_BYTES, ChunkOpening, ClaimedElement, Digest, EVIDENCE_FORMAT, Evidence,
    FineIndex, FineTrace, HexBytes, InputSource, InputTensor, Level1, MerkleTree, ModelHeader,
    ModelLeaf, OpenedBytes, OpenedSegment, SegmentEntry, TaskFacts, TensorHeader, graph_node_leaf,
    height, live_root, model_leaf, segments_tree, tensor_digest,
};
use proptest::prelude::*;

const LIMITS: JudgeLimits = JudgeLimits {
    work: 1 << 20,
    output_bytes: 1 << 20,
    batches: 1 << 17,
};

fn opened(tree: &MerkleTree, index: u64, bytes: Vec<u8>) -> OpenedBytes {
    OpenedBytes {
        bytes: HexBytes(bytes),
        opening: tree.open(index).unwrap(),
    }
}

/// A model of one node with these bytes, which reads weights only, and a provider who claims something.
fn file(node: Vec<u8>, operands: &[(TensorHeader, Vec<u8>)]) -> Evidence {
    claiming(node, operands, Digest([7; 32]))
}

/// [`file`] with a claimed tensor, of which an element is named, and perhaps a batch.
fn naming(
    node: Vec<u8>,
    operands: &[(TensorHeader, Vec<u8>)],
    (header, bytes): (&TensorHeader, &[u8]),
    element: u64,
    batch: Option<u64>,
) -> Evidence {
    let claimed = header.digest_bytes(bytes).unwrap();
    let size = header.element_bytes().unwrap();
    let index = element * size / CHUNK_BYTES as u64;
    let chunk = ChunkOpening::open(header.clone(), bytes, index).unwrap();
    let mut evidence = claiming(node, operands, claimed);
    evidence.element = Some(ClaimedElement {
        header: chunk.header,
        chunk: Base64Bytes(chunk.chunk),
        opening: chunk.opening,
        element,
        batch,
    });
    evidence
}

fn claiming(node: Vec<u8>, operands: &[(TensorHeader, Vec<u8>)], claimed: Digest) -> Evidence {
    let digests: Vec<Digest> = operands
        .iter()
        .map(|(header, bytes)| tensor_digest(header.dtype, &header.dims, bytes))
        .collect();
    let of = |kind, entries: &[Vec<u8>]| {
        MerkleTree::of(entries.iter().map(|e| model_leaf(kind, e)).collect()).unwrap()
    };
    let count = operands.len();
    let weights: Vec<_> = (0..count)
        .map(|i| weight_bytes(i as u32, &digests[i]))
        .collect();
    let edges: Vec<_> = (0..count)
        .map(|i| edge_bytes(0, i as u32, count, Source::Weight(i as u32)))
        .collect();
    let (weight_tree, edge_tree) = (of(ModelLeaf::Weight, &weights), of(ModelLeaf::Edge, &edges));
    let nodes = MerkleTree::of(vec![graph_node_leaf(&node)]).unwrap();
    let list = of(ModelLeaf::LiveSlot, &[live_bytes(0, Source::node(0))]);
    let entry = SegmentEntry {
        index: 0,
        first_node: 0,
        op_count: 1,
        live_count: 1,
        live_list_root: list.root(),
    };
    let segments = segments_tree(&[entry]).unwrap();
    let model = ModelHeader {
        numerics_version: 1,
        lowering_version: 1,
        node_count: 1,
        max_steps: 1,
        commit_points: 1,
        trace_height: 0,
        ops_height: 0,
        live_height: height(1),
        work: 1,
        nodes_root: nodes.root(),
        edges_root: edge_tree.root(),
        weights_root: weight_tree.root(),
        segments_root: segments.root(),
        assets_root: Digest::ZERO,
    };
    let fine = FineTrace::new(0, vec![claimed], 0, vec![claimed]).unwrap();
    let level1 = Level1::of_model(&model, vec![fine.live_root()]).unwrap();
    let input_digest = live_root(0, &[Digest([8; 32])]).unwrap();
    let inputs = operands.iter().enumerate().map(|(i, (header, bytes))| {
        let leaf = opened(&weight_tree, i as u64, weights[i].clone());
        InputTensor {
            header: header.clone(),
            bytes: Base64Bytes(bytes.clone()),
            source: InputSource::Weight { leaf },
            edge: Some(opened(&edge_tree, i as u64, edges[i].clone())),
        }
    });
    Evidence {
        format: EVIDENCE_FORMAT,
        task: TaskFacts {
            chain_id: 1,
            court: HexBytes(vec![1; 20]),
            task_id: 1,
            attempt: 0,
            model_id: model.model_id(),
            input_digest,
            seed: 0,
            provider: HexBytes(vec![2; 20]),
        },
        model,
        commitment: level1.commitment(),
        leaf_index: 0,
        leaf: fine.live_root(),
        leaf_opening: level1.tree().open(0).unwrap(),
        previous_leaf: input_digest,
        previous_opening: None,
        segment: OpenedSegment {
            entry,
            opening: segments.open(0).unwrap(),
        },
        previous_segment: None,
        ops_root: fine.ops_root(),
        isolated: FineIndex::Op(0),
        claimed_digest: claimed,
        claimed_opening: fine.open(FineIndex::Op(0)).unwrap(),
        node: opened(&nodes, 0, node),
        inputs: inputs.collect(),
        ruling: None,
        element: None,
    }
}

/// Numbers of the sizes that matter: small ones mostly, and the ends of the ranges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..4,
        2 => 4u64..40,
        1 => prop::sample::select(vec![
            1 << 16, (1 << 16) + 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 34, 1 << 40, 1 << 63, u64::MAX,
        ]),
    ]
}

fn operand() -> impl Strategy<Value = (TensorHeader, Vec<u8>)> {
    // no elements at all, with extents whose product says otherwise
    let empty = (
        prop::collection::vec(number(), 1..5),
        any::<prop::sample::Index>(),
    );
    let empty = empty.prop_map(|(mut dims, at)| {
        let at = at.index(dims.len());
        dims[at] = 0;
        dims
    });
    let dims = prop_oneof![
        3 => prop::collection::vec(number(), 0..6),
        1 => prop::collection::vec(1u64..6, 4),
        1 => empty,
    ];
    let header = (prop_oneof![6 => Just(1u8), 1 => 1u8..=6], dims);
    (header, any::<u8>()).prop_filter_map("bytes that fit a file", |((dtype, dims), fill)| {
        let header = TensorHeader::new(dtype, dims).ok()?;
        let length = header.byte_len().ok().filter(|n| *n <= 1 << 12)?;
        let fill = if dtype == 5 { fill & 1 } else { fill };
        Some((header, vec![fill; length as usize]))
    })
}

fn node(id: u16, words: &[u64], output: &TensorType) -> Vec<u8> {
    let op = Op::from_parts(id, words);
    let node = op.map(|op| Node {
        name: String::new(),
        op,
        inputs: Vec::new(),
        output: output.clone(),
    });
    node.map_or_else(Vec::new, |node| node.encode())
}

/// The output type that the operator really has on these operands, so that more than the refusal is reached.
fn fitting(id: u16, words: &[u64], operands: &[(TensorHeader, Vec<u8>)]) -> Option<TensorType> {
    let op = Op::from_parts(id, words)?;
    let types: Vec<TensorType> = operands
        .iter()
        .map(|(h, _)| Some(TensorType::new(DType::from_id(h.dtype)?, h.dims.clone())))
        .collect::<Option<_>>()?;
    op.infer_type(&types.iter().collect::<Vec<_>>()).ok()
}

/// Whether these bytes are what the operator gives.
fn gives(id: u16, words: &[u64], operands: &[(TensorHeader, Vec<u8>)], claimed: &[u8]) -> bool {
    let tensors = operands.iter().map(|(h, bytes)| {
        let ty = TensorType::new(DType::from_id(h.dtype).unwrap(), h.dims.clone());
        Tensor::from_le_bytes(ty, bytes).unwrap()
    });
    let tensors: Vec<Tensor> = tensors.collect();
    let op = Op::from_parts(id, words).unwrap();
    let output = reference::eval(&op, &tensors.iter().collect::<Vec<_>>());
    !claimed.is_empty() && output.unwrap().le_bytes() == claimed
}

/// How many attribute words an operator has, or about as many.
fn words(id: u16, numbers: &[u64]) -> Vec<u64> {
    let count = match id {
        1 | 15 => 11,
        2 => 4,
        14 => 10,
        9 | 22 => 2,
        13 | 18 | 21 => 1,
        19 | 20 => numbers.len() % 6,
        38 => 3,
        39 => 9,
        40 => 3,
        41 => 1,
        _ => 0,
    };
    numbers.iter().copied().take(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn any_operator_on_any_operands_is_computed_or_refused(
        id in prop_oneof![0u16..=24, 38u16..=42],
        numbers in prop::collection::vec(number(), 11),
        operands in prop::collection::vec(operand(), 1..5),
        at in any::<prop::sample::Index>(),
        batch in prop::option::of(number()),
    ) {
        let words = words(id, &numbers);
        let output = fitting(id, &words, &operands);
        let known = output.is_some();
        let output = output.unwrap_or_else(|| TensorType::new(DType::F32, [1]));
        let bytes = node(id, &words, &output);
        // hardly any operator gives these
        let header = TensorHeader::new(output.dtype.id(), output.dims.clone()).unwrap();
        let claimed = header.byte_len().map_or(0, |n| if n > 1 << 12 { 0 } else { n as usize });
        let claimed = vec![0xff; claimed];
        let evidence = match claimed.len() / header.element_bytes().unwrap() as usize {
            0 => file(bytes, &operands),
            n => naming(bytes, &operands, (&header, &claimed), at.index(n) as u64, batch),
        };
        evidence.check_openings().unwrap();
        match judge(&evidence, &LIMITS) {
            Ok(found) => {
                let holds = found.claim_holds();
                prop_assert!(known && (!holds || gives(id, &words, &operands, &claimed)));
                prop_assert!(holds || batch.is_some() || claimed.is_empty() || found.step.is_some());
            }
            Err(JudgeError::TooLarge { .. }) => prop_assert!(known),
            Err(error) => prop_assert!(!known, "{error}"),
        }
    }
}

#[test]
fn a_file_may_not_ask_for_more_than_the_reader_gives() {
    let ones = |dims: Vec<u64>| {
        let header = TensorHeader::new(1, dims).unwrap();
        let bytes = 1f32
            .to_le_bytes()
            .repeat(header.byte_len().unwrap() as usize / 4);
        (header, bytes)
    };
    let broadcast = [ones(vec![1024, 1]), ones(vec![1, 1024])];
    let output = TensorType::new(DType::F32, [1024, 1024]);
    let evidence = file(node(4, &[], &output), &broadcast);
    assert!(matches!(
        judge(&evidence, &LIMITS),
        Err(JudgeError::TooLarge {
            what: "output bytes",
            actual: 4_194_304,
            ..
        })
    ));
    let product = [ones(vec![128, 128]), ones(vec![128, 128])];
    let output = TensorType::new(DType::F32, [128, 128]);
    let evidence = file(node(3, &[], &output), &product);
    assert!(matches!(
        judge(&evidence, &LIMITS),
        Err(JudgeError::TooLarge {
            what: "work",
            actual: 2_097_152,
            ..
        })
    ));
    assert!(
        !judge(&evidence, &JudgeLimits::default())
            .unwrap()
            .claim_holds()
    );
}

/// What a file says of an element is shown only where it is so.
#[test]
fn a_file_may_name_any_element_and_any_batch() {
    let header = |dims: &[u64]| TensorHeader::new(1, dims.to_vec()).unwrap();
    let ones = (header(&[300]), 1f32.to_le_bytes().repeat(300));
    let sum = node(4, &[], &TensorType::new(DType::F32, [300]));
    let mut claimed = 2f32.to_le_bytes().repeat(300);
    claimed[299 * 4..].copy_from_slice(&3f32.to_le_bytes());
    let step = |dims: &[u64], element, batch, limits: &JudgeLimits| {
        let operands = [ones.clone(), ones.clone()];
        let claimed = (&header(dims), &claimed[..]);
        let evidence = naming(sum.clone(), &operands, claimed, element, batch);
        let found = judge(&evidence, limits).unwrap();
        assert!(!found.claim_holds());
        found.step
    };
    let found = step(&[300], 299, None, &LIMITS).unwrap();
    assert_eq!(
        (found.element, found.coordinates.as_slice()),
        (299, &[299][..])
    );
    let said = found.to_string();
    for part in [
        "add(0x3f800000, 0x3f800000) = 0x40000000",
        "the element is 0x40000000 (2), claimed 0x40400000 (3)",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let batch = Some(found.batch);
    assert_eq!(step(&[300], 299, batch, &LIMITS), Some(found));
    // one that is right, one of a tensor of another shape, batches that the run does not have
    assert_eq!(step(&[300], 298, None, &LIMITS), None);
    assert_eq!(step(&[300, 1], 299, None, &LIMITS), None);
    for batch in [1 << 20, u64::MAX] {
        assert_eq!(step(&[300], 299, Some(batch), &LIMITS), None);
    }
    // more steps than the reader takes
    let frugal = JudgeLimits {
        batches: 0,
        ..LIMITS
    };
    assert_eq!(step(&[300], 299, None, &frugal), None);
}

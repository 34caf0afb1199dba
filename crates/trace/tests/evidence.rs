//! An evidence file is accepted whole and refused with anything changed.
#![allow(clippy::unwrap_used, missing_docs)]

use gavel_trace::*;
use proptest::prelude::*;

fn leaf(kind: ModelLeaf, name: &str) -> Digest {
    model_leaf(kind, name.as_bytes())
}

fn opened(name: &str, tree: &MerkleTree, index: u64) -> OpenedBytes {
    OpenedBytes {
        bytes: HexBytes(name.into()),
        opening: tree.open(index).unwrap(),
    }
}

/// A dispute in the second segment of a step.
fn sample(isolated: FineIndex) -> Evidence {
    sample_in(1, isolated)
}

/// Six nodes in two segments of 4 and 2 operators; two steps; dispute at operator 1 of a segment of step 1.
fn sample_in(segment: u32, isolated: FineIndex) -> Evidence {
    let tensor = |salt: u8| (TensorHeader::new(1, vec![300]).unwrap(), vec![salt; 1200]);
    let digest = |salt: u8| {
        let (header, bytes) = tensor(salt);
        header.digest_bytes(&bytes).unwrap()
    };
    let nodes = ["n0", "n1", "n2", "n3", "n4", "n5"];
    let nodes_tree = MerkleTree::of(
        nodes
            .iter()
            .map(|n| graph_node_leaf(n.as_bytes()))
            .collect(),
    )
    .unwrap();
    let of = |kind, names: &[&str]| {
        MerkleTree::of(names.iter().map(|n| leaf(kind, n)).collect()).unwrap()
    };
    let edges = of(ModelLeaf::Edge, &["e0", "e1", "e2"]);
    let weight = |salt: u8| [b"w".as_slice(), digest(salt).as_ref()].concat();
    let weights = [54, 55].map(|salt| model_leaf(ModelLeaf::Weight, &weight(salt)));
    let weights = MerkleTree::of(weights.to_vec()).unwrap();
    let w1 = OpenedBytes {
        bytes: HexBytes(weight(55)),
        opening: weights.open(1).unwrap(),
    };
    let list = of(ModelLeaf::LiveSlot, &["l0", "l1"]);
    let entry = |index, first_node, op_count| SegmentEntry {
        index,
        first_node,
        op_count,
        live_count: 2,
        live_list_root: list.root(),
    };
    let table = [entry(0, 0, 4), entry(1, 4, 2)];
    let segments = segments_tree(&table).unwrap();
    let model = ModelHeader {
        numerics_version: 1,
        lowering_version: 1,
        node_count: 6,
        max_steps: 4,
        commit_points: 2,
        trace_height: 3,
        ops_height: 2,
        live_height: 1,
        work: 10,
        nodes_root: nodes_tree.root(),
        edges_root: edges.root(),
        weights_root: weights.root(),
        segments_root: segments.root(),
        assets_root: Digest::ZERO,
    };
    let before = live_tree(1, &[digest(1), digest(2)]).unwrap();
    let fine = FineTrace::new(
        2,
        (10..12).map(digest).collect(),
        1,
        vec![digest(2), digest(11)],
    )
    .unwrap();
    let leaves = match segment {
        0 => vec![digest(90), before.root(), fine.live_root(), digest(91)],
        _ => vec![digest(90), digest(91), before.root(), fine.live_root()],
    };
    let level1 = Level1::of_model(&model, leaves).unwrap();
    let input = |salt: u8, source, edge: Option<u64>| {
        let (header, bytes) = tensor(salt);
        let edge = edge.map(|i| opened(["e0", "e1", "e2"][i as usize], &edges, i));
        InputTensor {
            header,
            bytes: Base64Bytes(bytes),
            source,
            edge,
        }
    };
    let (node, inputs) = match isolated {
        FineIndex::Op(i) => {
            let inputs = vec![
                input(
                    10,
                    InputSource::Op {
                        opening: fine.ops().open(0).unwrap(),
                    },
                    Some(0),
                ),
                input(
                    2,
                    InputSource::Live {
                        opening: before.open(1).unwrap(),
                        list_entry: (segment > 0).then(|| opened("l1", &list, 1)),
                    },
                    Some(1),
                ),
                input(55, InputSource::Weight { leaf: w1 }, Some(2)),
            ];
            let node = table[segment as usize].first_node + i;
            (
                opened(nodes[node as usize], &nodes_tree, node.into()),
                inputs,
            )
        }
        FineIndex::Live(j) => {
            let source = InputSource::Op {
                opening: fine.ops().open(1).unwrap(),
            };
            (
                opened(["l0", "l1"][j as usize], &list, j.into()),
                vec![input(11, source, None)],
            )
        }
    };
    let leaf_index = 2 + segment;
    Evidence {
        format: EVIDENCE_FORMAT,
        task: TaskFacts {
            chain_id: 1,
            court: HexBytes(vec![1; 20]),
            task_id: 7,
            attempt: 0,
            model_id: model.model_id(),
            input_digest: digest(99),
            seed: u64::MAX,
            provider: HexBytes(vec![2; 20]),
        },
        model,
        commitment: level1.commitment(),
        leaf_index: leaf_index.into(),
        leaf: fine.live_root(),
        leaf_opening: level1.tree().open(leaf_index.into()).unwrap(),
        previous_leaf: before.root(),
        previous_opening: Some(level1.tree().open(u64::from(leaf_index) - 1).unwrap()),
        segment: OpenedSegment {
            entry: table[segment as usize],
            opening: segments.open(segment.into()).unwrap(),
        },
        previous_segment: (segment > 0).then(|| OpenedSegment {
            entry: table[0],
            opening: segments.open(0).unwrap(),
        }),
        ops_root: fine.ops_root(),
        isolated,
        claimed_digest: fine.digest_at(isolated).unwrap(),
        claimed_opening: fine.open(isolated).unwrap(),
        node,
        inputs,
        ruling: Some(Ruling {
            referee: HexBytes(vec![3; 20]),
            digest: digest(77),
        }),
        element: matches!(isolated, FineIndex::Op(_)).then(|| {
            let (header, bytes) = tensor(11);
            let chunk = ChunkOpening::open(header.clone(), &bytes, 1).unwrap();
            ClaimedElement {
                header,
                chunk: Base64Bytes(chunk.chunk),
                opening: chunk.opening,
                element: 299,
                batch: Some(3),
            }
        }),
    }
}

const PLACES: [FineIndex; 2] = [FineIndex::Op(1), FineIndex::Live(1)];

#[test]
fn the_first_segment_of_a_later_step_starts_from_the_last_outputs() {
    let evidence = sample_in(0, FineIndex::Op(1));
    let checked = evidence.check_openings().unwrap();
    assert_eq!(
        (checked.commit_point.step, checked.node_index),
        (1, Some(1))
    );
    // its slots are the graph inputs in order: no live list names them
    let later = sample(FineIndex::Op(1));
    let mut named = evidence.clone();
    named.previous_segment = later.previous_segment;
    assert!(named.check_openings().is_err());
    let mut named = evidence;
    named.inputs[1].source = later.inputs[1].source.clone();
    assert!(named.check_openings().is_err());
}

#[test]
fn a_good_file_round_trips_and_checks() {
    for place in PLACES {
        let evidence = sample(place);
        let json = evidence.to_json().unwrap();
        let read = Evidence::parse(json.as_bytes(), &EvidenceLimits::default()).unwrap();
        assert_eq!(read, evidence);
        let checked = read.check_openings().unwrap();
        assert_eq!(
            checked.commit_point,
            CommitPoint {
                step: 1,
                segment: 1
            }
        );
        assert_eq!(checked.input_digests.len(), evidence.inputs.len());
        assert!(read.claim_holds(&evidence.claimed_digest));
        assert!(!read.claim_holds(&Digest::ZERO));
        assert_eq!(read.ruling_holds(&evidence.claimed_digest), Some(false));
    }
    assert_eq!(
        sample(PLACES[0]).check_openings().unwrap().node_index,
        Some(5)
    );
    assert_eq!(sample(PLACES[1]).check_openings().unwrap().node_index, None);
}

/// A file says what the format has and nothing beside it, at any depth: else two readers may see two things in it.
#[test]
fn unknown_fields_are_refused_at_any_depth() {
    fn objects(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                out.push(at.to_owned());
                for (name, inner) in fields {
                    objects(inner, &format!("{at}/{name}"), out);
                }
            }
            serde_json::Value::Array(items) => {
                for (i, inner) in items.iter().enumerate() {
                    objects(inner, &format!("{at}/{i}"), out);
                }
            }
            _ => {}
        }
    }
    let text = sample(FineIndex::Op(1)).to_json().unwrap();
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut places = Vec::new();
    objects(&good, "", &mut places);
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        let mut more = good.clone();
        let object = more.pointer_mut(&place).unwrap().as_object_mut().unwrap();
        object.insert("beside".to_owned(), 1.into());
        let parsed = Evidence::parse(more.to_string().as_bytes(), &EvidenceLimits::default());
        assert!(parsed.is_err(), "{place}");
    }
}

#[test]
fn anything_changed_is_refused() {
    type Change = fn(&mut Evidence);
    let changes: &[(&str, Change)] = &[
        ("format", |e| e.format = 2),
        ("court", |e| e.task.court.0.truncate(19)),
        ("provider", |e| e.task.provider.0.push(0)),
        ("referee", |e| e.ruling.as_mut().unwrap().referee.0.clear()),
        ("model id", |e| e.task.model_id.0[0] ^= 1),
        ("header", |e| e.model.work += 1),
        ("header heights", |e| {
            e.model.trace_height = 4;
            e.task.model_id = e.model.model_id();
        }),
        ("steps", |e| e.commitment.steps = 3),
        ("too many steps", |e| {
            e.commitment = TraceCommitment::new(5, e.commitment.level1_root)
        }),
        ("no steps", |e| {
            e.commitment = TraceCommitment::new(0, e.commitment.level1_root)
        }),
        ("past the end", |e| {
            e.commitment = TraceCommitment::new(1, e.commitment.level1_root)
        }),
        ("trace root", |e| e.commitment.trace_root = Digest::ZERO),
        ("leaf index", |e| e.leaf_index = 2),
        ("huge leaf index", |e| e.leaf_index = u64::MAX),
        ("leaf", |e| e.leaf = Digest::ZERO),
        ("previous leaf", |e| e.previous_leaf = Digest::ZERO),
        ("previous not opened", |e| e.previous_opening = None),
        ("previous opened elsewhere", |e| {
            e.previous_opening = Some(e.leaf_opening.clone())
        }),
        ("segment", |e| e.segment.entry.first_node = 3),
        ("segment opening", |e| e.segment.opening.index = 0),
        ("no segment before", |e| e.previous_segment = None),
        ("another segment before", |e| {
            e.previous_segment = Some(e.segment.clone())
        }),
        ("ops root", |e| e.ops_root = Digest::ZERO),
        ("isolated elsewhere", |e| {
            e.isolated = match e.isolated {
                FineIndex::Op(i) => FineIndex::Op(i + 1),
                FineIndex::Live(_) => FineIndex::Live(0),
            }
        }),
        ("isolated outside", |e| {
            e.isolated = match e.isolated {
                FineIndex::Op(_) => FineIndex::Op(u32::MAX),
                FineIndex::Live(_) => FineIndex::Live(u32::MAX),
            }
        }),
        ("isolated on the other side", |e| {
            e.isolated = match e.isolated {
                FineIndex::Op(i) => FineIndex::Live(i),
                FineIndex::Live(j) => FineIndex::Op(j),
            }
        }),
        ("claim", |e| e.claimed_digest = Digest::ZERO),
        ("claim opening", |e| {
            e.claimed_opening.siblings.pop();
        }),
        ("node bytes", |e| e.node.bytes.0.push(0)),
        ("node index", |e| e.node.opening.index ^= 1),
        ("node opening too long", |e| {
            e.node.opening.siblings = vec![Digest::ZERO; 300]
        }),
        ("input bytes", |e| e.inputs[0].bytes.0[5] ^= 1),
        ("input cut", |e| e.inputs[0].bytes.0.truncate(8)),
        ("input shape", |e| {
            e.inputs[0].header.dims = vec![u64::MAX, u64::MAX]
        }),
        ("input dtype", |e| e.inputs[0].header.dtype = 9),
        ("input source", |e| {
            let opening = e.claimed_opening.clone();
            e.inputs[0].source = InputSource::Live {
                opening,
                list_entry: None,
            };
        }),
        ("another tensor for a weight", |e| {
            match e.inputs.get_mut(2) {
                Some(input) => input.bytes.0[0] ^= 1,
                None => e.format = 0,
            }
        }),
        ("edge", |e| {
            e.inputs[0].edge = match e.inputs[0].edge.take() {
                Some(_) => None,
                None => Some(e.node.clone()),
            }
        }),
        ("weight as a source", |e| {
            e.inputs[0].source = InputSource::Weight {
                leaf: e.node.clone(),
            }
        }),
    ];
    for place in PLACES {
        for (name, change) in changes {
            let mut evidence = sample(place);
            change(&mut evidence);
            assert!(evidence.check_openings().is_err(), "{name} at {place:?}");
        }
    }
    let mut late = sample(FineIndex::Op(1));
    late.inputs[0].source = InputSource::Op {
        opening: late.claimed_opening.clone(),
    };
    assert!(
        late.check_openings().is_err(),
        "an operator that reads itself"
    );
    for change in [
        |entry: &mut Option<OpenedBytes>| *entry = None,
        |entry: &mut Option<OpenedBytes>| entry.as_mut().unwrap().bytes.0.push(0),
        |entry: &mut Option<OpenedBytes>| entry.as_mut().unwrap().opening.index ^= 1,
    ] {
        let mut unnamed = sample(FineIndex::Op(1));
        if let InputSource::Live { list_entry, .. } = &mut unnamed.inputs[1].source {
            change(list_entry);
        }
        assert!(
            unnamed.check_openings().is_err(),
            "a live input that nothing names"
        );
    }
    let bend: [fn(&mut ClaimedElement); 6] = [
        |e| e.header.dims[0] += 1,
        |e| e.chunk.0[0] ^= 1,
        |e| e.chunk.0.push(0),
        |e| e.opening.index = 0,
        |e| e.element = 255,
        |e| e.element = 300,
    ];
    for change in bend {
        let mut claimed = sample(FineIndex::Op(1));
        change(claimed.element.as_mut().unwrap());
        assert!(
            claimed.check_openings().is_err(),
            "an element of another output"
        );
    }
    let mut copied = sample(FineIndex::Live(1));
    copied.element = sample(FineIndex::Op(1)).element;
    assert!(copied.check_openings().is_err(), "an element of a copy");
    let claimed = sample(FineIndex::Op(1)).element.unwrap();
    assert_eq!(claimed.value(), Some(0x0b0b_0b0b));
    let mut copies = sample(FineIndex::Live(1));
    copies.inputs.push(copies.inputs[0].clone());
    assert!(copies.check_openings().is_err(), "a copy of two values");
}

#[test]
fn limits_hold() {
    let json = sample(FineIndex::Op(1)).to_json().unwrap();
    let parse = |limits| Evidence::parse(json.as_bytes(), &limits);
    let small = EvidenceLimits {
        file_bytes: json.len() - 1,
        ..Default::default()
    };
    assert!(matches!(parse(small), Err(EvidenceError::TooLarge { .. })));
    let few = EvidenceLimits {
        inputs: 2,
        ..Default::default()
    };
    assert!(matches!(
        parse(few),
        Err(EvidenceError::TooManyInputs {
            actual: 3,
            limit: 2
        })
    ));
    let other = json.replacen("\"format\": 1", "\"format\": 9", 1);
    let read = Evidence::parse(other.as_bytes(), &EvidenceLimits::default());
    assert!(matches!(read, Err(EvidenceError::Format { found: 9 })));
    let extra = json.replacen("\"format\": 1", "\"format\": 1, \"surprise\": 2", 1);
    assert!(matches!(
        Evidence::parse(extra.as_bytes(), &EvidenceLimits::default()),
        Err(EvidenceError::Json(_))
    ));
    let deep = "[".repeat(100_000);
    assert!(Evidence::parse(deep.as_bytes(), &EvidenceLimits::default()).is_err());
}

proptest! {
    #[test]
    fn bent_files_never_panic_and_never_pass(at: prop::sample::Index, byte: u8, cut: bool) {
        let good = sample(FineIndex::Op(1));
        let mut file = good.to_json().unwrap().into_bytes();
        let at = at.index(file.len());
        if cut { file.truncate(at) } else { file[at] = byte }
        if let Ok(read) = Evidence::parse(&file, &EvidenceLimits::default()) {
            // Facts that no hash covers may change: who, which chain, the seed, the ruling, which element of a chunk.
            if read.check_openings().is_ok() {
                let task = read.task.clone();
                let element = good.element.clone();
                let same = Evidence { task: good.task.clone(), ruling: good.ruling.clone(), element, ..read };
                prop_assert!(same == good);
                prop_assert_eq!(task.model_id, good.task.model_id);
            }
        }
    }

    #[test]
    fn noise_is_refused(noise: Vec<u8>, text in ".{0,200}") {
        prop_assert!(Evidence::parse(&noise, &EvidenceLimits::default()).is_err());
        prop_assert!(Evidence::parse(text.as_bytes(), &EvidenceLimits::default()).is_err());
    }
}

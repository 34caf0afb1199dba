use prost::Message as _;

use super::proto::*;
use super::*;
use crate::{MAX_INPUTS, shipped};

fn io(name: &str, dims: &[i64]) -> ValueInfo {
    let dim = dims
        .iter()
        .map(|&d| DimProto {
            dim_value: Some(d),
            dim_param: None,
        })
        .collect();
    let tensor_type = Some(TensorTypeProto {
        elem_type: 1,
        shape: Some(ShapeProto { dim }),
    });
    ValueInfo {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type,
            ..Default::default()
        }),
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: format!("the {output}"),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            input: vec![io("x", &[1, 4])],
            output: vec![io("y", &[1, 4])],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn read(proto: &ModelProto) -> Result<Model, ModelError> {
    import(&proto.encode_to_vec(), &ImportOptions::default())
}

fn message(proto: &ModelProto) -> String {
    read(proto).unwrap_err().to_string()
}

fn weight(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

#[test]
fn shipped_models_import_with_segments_to_dispute() {
    for (name, _) in shipped::MODELS {
        let model = shipped::load(name).unwrap();
        assert!(
            model.segments().len() >= 3,
            "{name} has {} segments",
            model.segments().len()
        );
        assert_eq!(model.graph().outputs.len(), 2);
    }
    let model = shipped::load("digits").unwrap();
    assert_eq!(model.graph().inputs[0].1.dims, [1, 1, 8, 8]);
    assert_eq!(
        model
            .segments()
            .iter()
            .map(|s| s.op_count as usize)
            .sum::<usize>(),
        model.graph().nodes.len()
    );
}

#[test]
fn a_foreign_model_imports() {
    let file = include_bytes!("../../../../models/foreign/opt-mnist.onnx");
    let model = import(file, &ImportOptions::default()).unwrap();
    assert_eq!(model.graph().inputs[0].1.dims, [1, 1, 28, 28]);
    assert!(
        model
            .graph()
            .nodes
            .iter()
            .any(|n| matches!(n.op, Op::Conv2d { .. }))
    );
}

#[test]
fn what_is_not_supported_is_named() {
    let text = message(&model(vec![node("ImageDecoder", &["x"], "y")], vec![]));
    assert!(
        text.contains("the y") && text.contains("ImageDecoder") && text.contains("Conv"),
        "{text}"
    );
    let mut custom = node("Relu", &["x"], "y");
    custom.domain = "com.example".into();
    assert!(message(&model(vec![custom], vec![])).contains("com.example.Relu"));
    let mut odd = node("Relu", &["x"], "y");
    odd.attribute.push(AttributeProto {
        name: "slope".into(),
        ..Default::default()
    });
    assert!(message(&model(vec![odd], vec![])).contains("slope"));
}

#[test]
fn broken_graphs_are_refused_by_node() {
    assert!(message(&model(vec![node("Relu", &["nowhere"], "y")], vec![])).contains("nowhere"));
    assert!(message(&model(vec![node("Add", &["x", "y"], "y")], vec![])).contains("cycle"));
    assert!(
        message(&model(
            vec![node("Relu", &["x"], "y"), node("Relu", &["x"], "y")],
            vec![]
        ))
        .contains("twice")
    );
    assert!(message(&model(vec![node("Relu", &["x"], "z")], vec![])).contains("nothing produces"));
    assert!(
        message(&model(vec![node("Relu", &["x", "x"], "y")], vec![])).contains("1 inputs, found 2")
    );
    let text = message(&model(
        vec![node("MatMul", &["x", "w"], "y")],
        vec![weight("w", &[3, 4], &[0.0; 12])],
    ));
    assert!(text.contains("inner extents"), "{text}");
}

#[test]
fn a_node_with_more_inputs_than_an_appeal_can_show_is_refused() {
    let concat = |inputs: usize| {
        let mut concat = node("Concat", &vec!["x"; inputs], "y");
        concat.attribute.push(AttributeProto {
            name: "axis".into(),
            i: 1,
            ..Default::default()
        });
        let mut proto = model(vec![concat], vec![]);
        proto.graph.as_mut().unwrap().output = vec![io("y", &[1, 4 * inputs as i64])];
        read(&proto)
    };
    assert!(concat(MAX_INPUTS).is_ok());
    let text = concat(MAX_INPUTS + 1).unwrap_err().to_string();
    assert!(
        text.contains("257 inputs") && text.contains("at most 256"),
        "{text}"
    );
}

#[test]
fn tensors_are_checked_against_the_file() {
    let add = || vec![node("Add", &["x", "w"], "y")];
    assert!(message(&model(add(), vec![weight("w", &[1 << 40], &[1.0])])).contains("elements"));
    assert!(
        message(&model(add(), vec![weight("w", &[1 << 30], &[1.0])])).contains("the file has 1")
    );
    assert!(message(&model(add(), vec![weight("w", &[-1], &[1.0])])).contains("negative"));
    let external = TensorProto {
        data_location: 1,
        ..weight("w", &[4], &[])
    };
    assert!(message(&model(add(), vec![external])).contains("without a name"));
    let complex = TensorProto {
        data_type: 14,
        ..weight("w", &[4], &[])
    };
    assert!(message(&model(add(), vec![complex])).contains("complex64"));
    let double = TensorProto {
        data_type: 11,
        double_data: vec![1.0; 4],
        ..weight("w", &[4], &[])
    };
    // it is read, but not computed with
    assert!(message(&model(add(), vec![double])).contains("one element type"));
}

#[test]
fn the_identity_covers_weights_attributes_edges_and_cuts() {
    let build = |w: f32, op: &str, inputs: &[&str]| {
        read(&model(
            vec![node(op, inputs, "t"), node("Relu", &["t"], "y")],
            vec![weight("w", &[4], &[w, 2.0, 3.0, 4.0])],
        ))
        .unwrap()
    };
    let base = build(1.0, "Sub", &["x", "w"]);
    let ids = [
        build(1.5, "Sub", &["x", "w"]).model_id(),
        build(1.0, "Add", &["x", "w"]).model_id(),
        build(1.0, "Sub", &["w", "x"]).model_id(),
        import(
            &model(
                vec![node("Sub", &["x", "w"], "t"), node("Relu", &["t"], "y")],
                vec![weight("w", &[4], &[1.0, 2.0, 3.0, 4.0])],
            )
            .encode_to_vec(),
            &ImportOptions {
                commit: CommitPolicy::After(vec![1]),
                ..Default::default()
            },
        )
        .unwrap()
        .model_id(),
    ];
    for id in ids {
        assert_ne!(id, base.model_id());
    }
    // names do not count
    let mut renamed = model(
        vec![node("Sub", &["x", "v"], "q"), node("Relu", &["q"], "y")],
        vec![weight("v", &[4], &[1.0, 2.0, 3.0, 4.0])],
    );
    renamed.metadata_props.push(StringEntry {
        key: "author".into(),
        value: "somebody".into(),
    });
    assert_eq!(read(&renamed).unwrap().model_id(), base.model_id());
}

#[test]
fn every_part_opens_under_the_header() {
    use gavel_trace::{ModelLeaf, graph_node_leaf, height, model_leaf};
    let model = shipped::load("digits").unwrap();
    let header = model.header();
    let nodes = height(header.node_count.into());
    for i in 0..header.node_count {
        let opened = model.open_node(i).unwrap();
        assert!(
            opened
                .opening
                .verify(nodes, &graph_node_leaf(&opened.bytes), &header.nodes_root)
        );
        let (op, ty) = Node::decode(&opened.bytes).unwrap();
        assert_eq!(
            (&op, &ty),
            (
                &model.graph().nodes[i as usize].op,
                &model.graph().nodes[i as usize].output
            )
        );
    }
    let edges: usize = model.graph().nodes.iter().map(|n| n.inputs.len()).sum();
    for (i, node) in model.graph().nodes.iter().enumerate() {
        for p in 0..node.inputs.len() {
            let opened = model.open_edge(i as u32, p as u32).unwrap();
            assert!(opened.opening.verify(
                height(edges as u64),
                &model_leaf(ModelLeaf::Edge, &opened.bytes),
                &header.edges_root
            ));
            assert_eq!(Source::decode(&opened.bytes[8..]), Some(node.inputs[p]));
        }
    }
    for i in 0..model.weights().len() as u32 {
        let opened = model.open_weight(i).unwrap();
        let leaf = model_leaf(ModelLeaf::Weight, &opened.bytes);
        assert!(opened.opening.verify(
            height(model.weights().len() as u64),
            &leaf,
            &header.weights_root
        ));
    }
    for c in 0..header.commit_points {
        let (entry, opening) = model.open_segment(c).unwrap();
        assert!(opening.verify(
            height(header.commit_points.into()),
            &entry.leaf(),
            &header.segments_root
        ));
        assert_eq!(
            entry.live_count as usize,
            model.segments()[c as usize].live.len()
        );
    }
}

#[test]
fn live_sets_hold_what_is_read_later_and_nothing_else() {
    let model = shipped::load("digits").unwrap();
    let (last, inner) = model.segments().split_last().unwrap();
    assert_eq!(
        last.live,
        model
            .graph()
            .outputs
            .iter()
            .map(|o| o.1)
            .collect::<Vec<_>>()
    );
    for segment in inner {
        let end = segment.first_node + segment.op_count;
        let readers = |s: Source| {
            let nodes = model.graph().nodes[end as usize..]
                .iter()
                .flat_map(|n| n.inputs.iter());
            nodes
                .chain(model.graph().outputs.iter().map(|o| &o.1))
                .any(|&r| r == s)
        };
        for i in 0..end {
            assert_eq!(
                segment.live.contains(&Source::node(i)),
                readers(Source::node(i)),
                "node {i} at {end}"
            );
        }
    }
}

#[test]
fn every_truncation_is_an_error_and_no_bit_flip_panics() {
    let file = shipped::file("digits-small").unwrap();
    for len in 0..file.len() {
        // a prefix that ends between two fields may still be a graph, never the same one
        if let Ok(cut) = import(&file[..len], &ImportOptions::default()) {
            assert_ne!(
                cut.header().encode(),
                shipped::load("digits-small").unwrap().header().encode()
            );
        }
    }
    let mut flipped = file.to_vec();
    for i in (0..file.len()).step_by(3) {
        flipped[i] ^= 1 << (i % 8);
        let _ = import(&flipped, &ImportOptions::default());
        flipped[i] = file[i];
    }
}

#[test]
fn silero_is_refused_with_the_operator_it_needs() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/silero_vad_16k_op15.onnx"
    );
    match std::fs::read(path) {
        Ok(file) => {
            let text = import(&file, &ImportOptions::default())
                .unwrap_err()
                .to_string();
            assert!(
                text.contains("has no value")
                    || text.contains("not supported")
                    || text.contains("shape"),
                "{text}"
            );
        }
        Err(_) => eprintln!("skipped: {path} is not there"),
    }
}

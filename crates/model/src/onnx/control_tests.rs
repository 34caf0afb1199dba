//! Branches and loops: written out, chosen by data, and refused where they have no shape or no end.

use gavel_numerics::{DType, Tensor, TensorType};

use super::operators_tests::{file, io, node, run};
use super::proto::*;
use super::*;

fn graph(inputs: &[&str], nodes: Vec<NodeProto>, outputs: &[&str]) -> AttributeProto {
    let named = |names: &[&str]| names.iter().map(|name| io(name, 1, &[])).collect();
    AttributeProto {
        g: Some(Box::new(GraphProto {
            node: nodes,
            input: named(inputs),
            output: named(outputs),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn with(mut node: NodeProto, attributes: Vec<(&str, AttributeProto)>) -> NodeProto {
    for (name, mut attribute) in attributes {
        attribute.name = name.into();
        node.attribute.push(attribute);
    }
    node
}

fn integer(i: i64) -> AttributeProto {
    AttributeProto {
        i,
        ..Default::default()
    }
}

/// A constant of i64.
fn constant(name: &str, value: i64) -> NodeProto {
    with(
        node("Constant", &[], &[name]),
        vec![("value_int", integer(value))],
    )
}

fn row(values: &[f32]) -> Tensor {
    Tensor::f32([values.len() as u64], values.to_vec()).unwrap()
}

fn flag(value: bool) -> Tensor {
    Tensor::from_raw(TensorType::new(DType::Bool, []), &[value.into()]).unwrap()
}

fn read(bytes: &[u8]) -> Result<Model, ModelError> {
    import(bytes, &ImportOptions::default())
}

#[test]
fn a_branch_is_chosen_by_data() {
    let yes = graph(&[], vec![node("Neg", &["x"], &["a"])], &["a"]);
    let no = graph(&[], vec![node("Abs", &["x"], &["a"])], &["a"]);
    let choice = with(
        node("If", &["c"], &["y"]),
        vec![("then_branch", yes), ("else_branch", no)],
    );
    // a name of a branch is free outside of it
    let after = node("Add", &["y", "y"], &["a"]);
    let inputs = vec![io("c", 9, &[]), io("x", 1, &[2])];
    let model = read(&file(inputs, vec![choice, after], &["a"])).unwrap();
    for (condition, want) in [(true, [-2.0, 4.0]), (false, [2.0, 4.0])] {
        let found = run(&model, &[flag(condition), row(&[1.0, -2.0])]);
        assert_eq!(found[0].as_f32().unwrap(), want);
    }
}

#[test]
fn branches_of_different_shapes_are_refused() {
    let yes = graph(&[], vec![node("Neg", &["x"], &["a"])], &["a"]);
    let no = graph(&[], vec![node("Concat", &["x", "x"], &["a"])], &["a"]);
    let mut concat = no;
    if let Some(graph) = concat.g.as_mut() {
        graph.node[0].attribute.push(AttributeProto {
            name: "axis".into(),
            ..integer(0)
        });
    }
    let choice = with(
        node("If", &["c"], &["y"]),
        vec![("then_branch", yes), ("else_branch", concat)],
    );
    let inputs = vec![io("c", 9, &[]), io("x", 1, &[2])];
    let refused = read(&file(inputs, vec![choice], &["y"])).unwrap_err();
    assert!(refused.to_string().contains("depend on data"), "{refused}");
}

/// A loop whose state doubles each turn, as long as `goes_on` says of it.
fn doubling(most: Option<i64>, body: Vec<NodeProto>, scanned: bool) -> Vec<u8> {
    let outputs: &[&str] = if scanned {
        &["go", "next", "seen"]
    } else {
        &["go", "next"]
    };
    let body = graph(&["i", "cond", "v"], body, outputs);
    let mut nodes: Vec<NodeProto> = most.iter().map(|&n| constant("n", n)).collect();
    let name = if most.is_some() { "n" } else { "" };
    let results: &[&str] = if scanned { &["y", "all"] } else { &["y"] };
    nodes.push(with(
        node("Loop", &[name, "", "x"], results),
        vec![("body", body)],
    ));
    file(vec![io("x", 1, &[2]), io("limit", 1, &[])], nodes, results)
}

fn body(condition: NodeProto) -> Vec<NodeProto> {
    vec![
        node("Add", &["v", "v"], &["next"]),
        node("Identity", &["next"], &["seen"]),
        condition,
    ]
}

#[test]
fn a_loop_is_written_out_and_gives_what_each_turn_saw() {
    let bytes = doubling(Some(3), body(node("Identity", &["cond"], &["go"])), true);
    let model = read(&bytes).unwrap();
    let found = run(
        &model,
        &[row(&[1.0, -3.0]), Tensor::f32([], vec![0.0]).unwrap()],
    );
    assert_eq!(found[0].as_f32().unwrap(), [8.0, -24.0]);
    assert_eq!(found[1].dims(), [3, 2]);
    assert_eq!(
        found[1].as_f32().unwrap(),
        [2.0, -6.0, 4.0, -12.0, 8.0, -24.0]
    );
}

#[test]
fn a_loop_ends_where_data_says_within_its_bound() {
    // while the first number is below the limit
    let condition = |bytes: Vec<NodeProto>| {
        let mut nodes = vec![
            node("Add", &["v", "v"], &["next"]),
            node("Identity", &["next"], &["seen"]),
            node("ReduceMax", &["next"], &["most"]),
            node("Squeeze", &["most"], &["one"]),
            node("Less", &["one", "limit"], &["go"]),
        ];
        nodes.extend(bytes);
        nodes
    };
    let model = read(&doubling(Some(10), condition(vec![]), false)).unwrap();
    let limit = |x: f32| Tensor::f32([], vec![x]).unwrap();
    for (at, want) in [(7.0, 8.0), (8.0, 8.0), (0.0, 2.0), (1e9, 1024.0)] {
        let found = run(&model, &[row(&[1.0, 0.0]), limit(at)]);
        assert_eq!(found[0].as_f32().unwrap()[0], want, "{at}");
    }
    // how many turns there are is part of a shape, or has no bound
    for (most, scanned, words) in [
        (Some(10), true, "depends on data"),
        (None, false, "no bound"),
    ] {
        let refused = read(&doubling(most, condition(vec![]), scanned)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn loops_without_an_end_are_refused() {
    let endless = doubling(None, body(node("Identity", &["cond"], &["go"])), false);
    let refused = read(&endless).unwrap_err().to_string();
    assert!(refused.contains("turn more than"), "{refused}");
}

#[test]
fn a_scan_runs_along_an_axis_and_back() {
    let body = || {
        graph(
            &["s", "e"],
            vec![
                node("Add", &["s", "e"], &["t"]),
                node("Identity", &["t"], &["o"]),
            ],
            &["t", "o"],
        )
    };
    let list = |ints: &[i64]| AttributeProto {
        ints: ints.to_vec(),
        ..Default::default()
    };
    let scan = |backwards: i64| {
        with(
            node("Scan", &["start", "x"], &["y", "all"]),
            vec![
                ("body", body()),
                ("num_scan_inputs", integer(1)),
                ("scan_input_directions", list(&[backwards])),
                ("scan_output_axes", list(&[1])),
            ],
        )
    };
    for (backwards, want) in [(0, [1.0, 3.0, 6.0]), (1, [3.0, 5.0, 6.0])] {
        let inputs = vec![io("start", 1, &[1]), io("x", 1, &[3, 1])];
        let model = read(&file(inputs, vec![scan(backwards)], &["y", "all"])).unwrap();
        let x = Tensor::f32([3, 1], vec![1.0, 2.0, 3.0]).unwrap();
        let found = run(&model, &[row(&[0.0]), x]);
        assert_eq!(found[0].as_f32().unwrap(), [6.0]);
        assert_eq!(found[1].dims(), [1, 3]);
        assert_eq!(found[1].as_f32().unwrap(), want);
    }
}

/// A field of bytes, as protobuf writes it.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(tag.into(), &content.to_vec(), &mut out);
    out
}

#[test]
fn graphs_inside_of_each_other_without_end_do_not_overflow() {
    let mut graph = Vec::new();
    for _ in 0..3_000 {
        let attribute = [field(1, b"then_branch"), field(6, &graph)].concat();
        let node = [field(4, b"If"), field(5, &attribute)].concat();
        graph = field(1, &node);
    }
    let opset = field(8, &[0x10, 21]);
    let refused = read(&[opset, field(7, &graph)].concat()).unwrap_err();
    assert!(matches!(refused, ModelError::Protobuf(_)), "{refused}");
}

#[test]
fn an_output_that_is_not_given_is_named_where_it_is_read() {
    let nodes = vec![
        node("Relu", &["x"], &["y", "more"]),
        node("Neg", &["more"], &["z"]),
    ];
    let refused = read(&file(vec![io("x", 1, &[2])], nodes, &["z"])).unwrap_err();
    assert!(refused.to_string().contains("output more"), "{refused}");
}

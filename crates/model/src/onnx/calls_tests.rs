//! Functions of a file: written out where they are called, and refused where they have no end.

use gavel_numerics::Tensor;
use proptest::prelude::*;
use prost::Message as _;

use super::operators_tests::{io, node, run};
use super::proto::*;
use super::*;

fn opset(domain: &str, version: i64) -> OperatorSetId {
    OperatorSetId {
        domain: domain.into(),
        version,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn function(name: &str, input: &[&str], node: Vec<NodeProto>, output: &[&str]) -> FunctionProto {
    FunctionProto {
        name: name.into(),
        domain: "own".into(),
        input: names(input),
        output: names(output),
        node,
        opset_import: vec![opset("", 21), opset("own", 1)],
        ..Default::default()
    }
}

fn call(name: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        domain: "own".into(),
        ..node(name, input, output)
    }
}

fn with(mut node: NodeProto, attribute: AttributeProto) -> NodeProto {
    node.attribute.push(attribute);
    node
}

fn number(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f,
        ..Default::default()
    }
}

/// An attribute that is another one of the function around it.
fn reference(name: &str, formal: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ref_attr_name: formal.into(),
        ..Default::default()
    }
}

fn graph(nodes: Vec<NodeProto>, output: &str) -> GraphProto {
    GraphProto {
        node: nodes,
        output: vec![io(output, 1, &[])],
        ..Default::default()
    }
}

/// A graph from `x` to `y`, and what it calls.
fn model(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    ModelProto {
        opset_import: vec![opset("", 21), opset("own", 1)],
        graph: Some(GraphProto {
            input: vec![io("x", 1, &[2])],
            ..graph(nodes, "y")
        }),
        functions,
        ..Default::default()
    }
}

fn read(proto: &ModelProto) -> Result<Model, ModelError> {
    import(&proto.encode_to_vec(), &ImportOptions::default())
}

fn message(proto: &ModelProto) -> String {
    read(proto).unwrap_err().to_string()
}

fn id(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> gavel_trace::Digest {
    read(&model(nodes, functions)).unwrap().model_id()
}

fn on(proto: &ModelProto, x: [f32; 2]) -> Vec<f32> {
    let x = Tensor::f32([2], x.to_vec()).unwrap();
    let found = run(&read(proto).unwrap(), &[x]);
    found[0].as_f32().unwrap().to_vec()
}

#[test]
fn a_call_is_the_graph_that_it_stands_for() {
    // names of the function are its own, whatever they mean around the call
    let square = function(
        "Square",
        &["y"],
        vec![node("Mul", &["y", "y"], &["x"])],
        &["x"],
    );
    let more = function(
        "More",
        &["a", "b"],
        vec![
            call("Square", &["a"], &["x"]),
            node("Sub", &["x", "b"], &["y"]),
            node("Neg", &["y"], &["z"]),
        ],
        &["y", "z"],
    );
    let called = vec![
        node("Relu", &["x"], &["t"]),
        call("More", &["t", "x"], &["", "z"]),
        call("Square", &["z"], &["y"]),
    ];
    let written = vec![
        node("Relu", &["x"], &["t"]),
        node("Mul", &["t", "t"], &["a"]),
        node("Sub", &["a", "x"], &["b"]),
        node("Neg", &["b"], &["z"]),
        node("Mul", &["z", "z"], &["y"]),
    ];
    assert_eq!(id(called, vec![square, more]), id(written, vec![]));
}

#[test]
fn attributes_come_from_the_call_or_the_default_or_are_left_out() {
    let slope = |inner: AttributeProto| {
        with(
            node("LeakyRelu", &["v"], &["w"]),
            AttributeProto {
                name: "alpha".into(),
                ..inner
            },
        )
    };
    let leaky = |defaults: Vec<AttributeProto>, without: &[&str]| FunctionProto {
        attribute_proto: defaults,
        attribute: names(without),
        ..function("Leaky", &["v"], vec![slope(reference("", "slope"))], &["w"])
    };
    let outer = FunctionProto {
        attribute: names(&["own"]),
        ..function(
            "Outer",
            &["v"],
            vec![with(
                call("Leaky", &["v"], &["w"]),
                reference("slope", "own"),
            )],
            &["w"],
        )
    };
    let plain = call("Leaky", &["x"], &["y"]);
    let given = with(plain.clone(), number("slope", 0.5));
    let through = with(call("Outer", &["x"], &["y"]), number("own", 0.5));
    let default = vec![leaky(vec![number("slope", 0.25)], &[]), outer.clone()];
    let none = vec![leaky(vec![], &["slope"]), outer];
    for (node, functions, want) in [
        (&plain, &default, 0.25),
        (&given, &default, 0.5),
        (&through, &default, 0.5),
        (&given, &none, 0.5),
        (&through, &none, 0.5),
        // what LeakyRelu has by itself
        (&plain, &none, 0.01),
        (&call("Outer", &["x"], &["y"]), &none, 0.01),
    ] {
        let proto = model(vec![node.clone()], functions.clone());
        assert_eq!(on(&proto, [-2.0, 3.0]), [-2.0 * want, 3.0], "{node:?}");
    }
    // a branch inside of the function sees them too
    let branch = |formal: &str| {
        let branch = |name: &str| AttributeProto {
            name: name.into(),
            g: Some(Box::new(graph(vec![slope(reference("", formal))], "w"))),
            ..Default::default()
        };
        let condition = with(
            node("Constant", &[], &["c"]),
            AttributeProto {
                name: "value".into(),
                t: Some(Box::new(TensorProto {
                    data_type: 9,
                    int32_data: vec![1],
                    ..Default::default()
                })),
                ..Default::default()
            },
        );
        let choice = with(node("If", &["c"], &["u"]), branch("then_branch"));
        let choice = with(choice, branch("else_branch"));
        FunctionProto {
            attribute: names(&["slope"]),
            ..function("Leaky", &["v"], vec![condition, choice], &["u"])
        }
    };
    let proto = model(vec![given.clone()], vec![branch("slope")]);
    assert_eq!(on(&proto, [-2.0, 3.0]), [-1.0, 3.0]);

    let refused = message(&model(vec![given.clone()], vec![branch("other")]));
    assert!(refused.contains("refers to other"), "{refused}");
    let unknown = with(plain.clone(), number("angle", 0.5));
    let refused = message(&model(vec![unknown], default.clone()));
    assert!(refused.contains("angle is not known"), "{refused}");
    let twice = with(given, number("slope", 1.0));
    let refused = message(&model(vec![twice], default));
    assert!(refused.contains("slope is not known"), "{refused}");
    let refused = message(&model(
        vec![plain.clone()],
        vec![leaky(vec![reference("slope", "slope")], &[])],
    ));
    assert!(refused.contains("is a reference"), "{refused}");
    let whole = with(
        plain,
        AttributeProto {
            name: "slope".into(),
            g: Some(Box::default()),
            ..Default::default()
        },
    );
    let refused = message(&model(vec![whole], vec![leaky(vec![], &["slope"])]));
    assert!(refused.contains("is a graph"), "{refused}");
    // outside of a function there is nothing to refer to
    let refused = message(&model(
        vec![with(
            node("LeakyRelu", &["x"], &["y"]),
            reference("alpha", "slope"),
        )],
        vec![],
    ));
    assert!(refused.contains("no function around it"), "{refused}");
}

#[test]
fn inputs_that_a_call_leaves_out_are_absent_inside() {
    let clip = function(
        "Bounded",
        &["v", "low", "high"],
        vec![node("Clip", &["v", "low", "high"], &["w"])],
        &["w"],
    );
    let outer = function(
        "Outer",
        &["v", "low", "high"],
        vec![call("Bounded", &["v", "low", "high"], &["w"])],
        &["w"],
    );
    let bound = with(node("Constant", &[], &["one"]), number("value_float", 1.0));
    for name in ["Bounded", "Outer"] {
        for (inputs, want) in [
            (vec!["x"], [-2.0, 3.0]),
            (vec!["x", "one"], [1.0, 3.0]),
            (vec!["x", "", "one"], [-2.0, 1.0]),
        ] {
            let nodes = vec![bound.clone(), call(name, &inputs, &["y"])];
            let proto = model(nodes, vec![clip.clone(), outer.clone()]);
            assert_eq!(on(&proto, [-2.0, 3.0]), want, "{name} {inputs:?}");
        }
    }
    // what needs it says so, and its name is taken
    let needs = function(
        "Needs",
        &["v", "u"],
        vec![node("Neg", &["u"], &["w"])],
        &["w"],
    );
    let refused = message(&model(vec![call("Needs", &["x"], &["y"])], vec![needs]));
    assert!(refused.contains("input 0 is missing"), "{refused}");
    let taken = function(
        "Takes",
        &["v", "u"],
        vec![node("Neg", &["v"], &["u"])],
        &["u"],
    );
    let refused = message(&model(vec![call("Takes", &["x"], &["y"])], vec![taken]));
    assert!(refused.contains("u is defined twice"), "{refused}");
}

#[test]
fn a_function_has_opsets_of_its_own() {
    // before opset 13 the axes of Softmax from axis 1 on are one
    let softmax = |version| FunctionProto {
        opset_import: vec![opset("", version)],
        ..function(
            "Share",
            &["v"],
            vec![node("Softmax", &["v"], &["w"])],
            &["w"],
        )
    };
    let file = |version: i64, nodes, functions| {
        let mut proto = model(nodes, functions);
        proto.opset_import[0].version = version;
        if let Some(graph) = &mut proto.graph {
            graph.input = vec![io("x", 1, &[1, 2, 2])];
        }
        proto
    };
    let called = || vec![call("Share", &["x"], &["y"])];
    let plain = || vec![node("Softmax", &["x"], &["y"])];
    let id = |proto: ModelProto| read(&proto).unwrap().model_id();
    let (old, new) = (id(file(12, plain(), vec![])), id(file(13, plain(), vec![])));
    assert_ne!(old, new);
    assert_eq!(id(file(21, called(), vec![softmax(12)])), old);
    assert_eq!(id(file(12, called(), vec![softmax(13)])), new);
    // the graph's is its own again behind the call
    let both = |version| {
        let mut nodes = called();
        nodes[0].output = vec!["t".into()];
        nodes.push(node("Softmax", &["t"], &["y"]));
        id(file(version, nodes, vec![softmax(13)]))
    };
    assert_ne!(both(12), both(13));

    let refused = message(&file(21, called(), vec![softmax(6)]));
    assert!(refused.contains("opset 6 is outside"), "{refused}");
    let none = FunctionProto {
        opset_import: vec![],
        ..softmax(21)
    };
    let refused = message(&file(21, called(), vec![none]));
    assert!(refused.contains("no opset"), "{refused}");
    // a graph of calls needs none
    let mut calls = file(21, called(), vec![softmax(13)]);
    calls.opset_import.remove(0);
    assert_eq!(id(calls), new);
    let mut bare = file(21, plain(), vec![]);
    bare.opset_import.remove(0);
    assert!(message(&bare).contains("no opset"));
}

#[test]
fn functions_are_told_apart_by_domain_name_and_overload() {
    let of = |domain: &str, overload: &str, op: &str| FunctionProto {
        domain: domain.into(),
        overload: overload.into(),
        ..function("F", &["v"], vec![node(op, &["v"], &["w"])], &["w"])
    };
    let functions = vec![
        of("own", "", "Neg"),
        of("own", "abs", "Abs"),
        of("other", "", "Relu"),
        of("", "", "Exp"),
    ];
    for (domain, overload, want) in [
        ("own", "", [2.0, -3.0]),
        ("own", "abs", [2.0, 3.0]),
        ("other", "", [0.0, 3.0]),
    ] {
        let called = NodeProto {
            domain: domain.into(),
            overload: overload.into(),
            ..node("F", &["x"], &["y"])
        };
        assert_eq!(
            on(&model(vec![called], functions.clone()), [-2.0, 3.0]),
            want
        );
    }
    // the standard's domain has two names, and may get an operator that it has not
    for domain in ["", "ai.onnx"] {
        let called = NodeProto {
            domain: domain.into(),
            ..node("F", &["x"], &["y"])
        };
        let found = on(&model(vec![called], functions.clone()), [0.0, 0.0]);
        assert_eq!(found, [1.0, 1.0]);
    }
    let missing = NodeProto {
        overload: "none".into(),
        ..call("F", &["x"], &["y"])
    };
    let refused = message(&model(vec![missing], functions));
    assert!(refused.contains("own.F.none is not supported"), "{refused}");
    let twice = vec![of("own", "", "Neg"), of("own", "", "Abs")];
    assert!(message(&model(vec![], twice)).contains("there twice"));
}

#[test]
fn a_function_with_the_name_of_an_operator_is_refused_where_it_is_called() {
    let relu = FunctionProto {
        domain: "ai.onnx".into(),
        ..function("Relu", &["v"], vec![node("Neg", &["v"], &["w"])], &["w"])
    };
    let refused = message(&model(
        vec![node("Relu", &["x"], &["y"])],
        vec![relu.clone()],
    ));
    assert!(
        refused.contains("has the name of this operator"),
        "{refused}"
    );
    read(&model(vec![node("Abs", &["x"], &["y"])], vec![relu])).unwrap();
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let one = || {
        function(
            "One",
            &["v"],
            vec![node("Neg", &["v"], &["w"])],
            &["w", "v", "none"],
        )
    };
    for (inputs, outputs, words) in [
        (vec!["x", "x"], vec!["y"], "1 inputs, its call 2"),
        (vec!["x"], vec!["y", "a", "b", "c"], "3 outputs, its call 4"),
        (
            vec!["x"],
            vec!["y", "a", "b"],
            "nothing produces its output none",
        ),
    ] {
        let refused = message(&model(vec![call("One", &inputs, &outputs)], vec![one()]));
        assert!(refused.contains(words), "{refused}");
    }
    // what it does not name is not asked for
    read(&model(vec![call("One", &["x"], &["y", "a"])], vec![one()])).unwrap();
    // names around the call are not those of the function
    let outside = function("Peeks", &["v"], vec![node("Neg", &["x"], &["w"])], &["w"]);
    let refused = message(&model(vec![call("Peeks", &["x"], &["y"])], vec![outside]));
    assert!(refused.contains("x is not produced"), "{refused}");
    let same = function(
        "Same",
        &["v", "v"],
        vec![node("Neg", &["v"], &["w"])],
        &["w"],
    );
    for inputs in [vec!["x", "x"], vec!["x"]] {
        let refused = message(&model(
            vec![call("Same", &inputs, &["y"])],
            vec![same.clone()],
        ));
        assert!(
            refused.contains("v of the function is there twice"),
            "{refused}"
        );
    }
}

#[test]
fn functions_without_an_end_are_refused() {
    let calls =
        |name: &str, other: &str| function(name, &["v"], vec![call(other, &["v"], &["w"])], &["w"]);
    let start = || vec![call("A", &["x"], &["y"])];
    let refused = message(&model(start(), vec![calls("A", "A")]));
    assert!(refused.contains("calls itself"), "{refused}");
    let mutual = vec![calls("A", "B"), calls("B", "C"), calls("C", "A")];
    let refused = message(&model(start(), mutual));
    assert!(refused.contains("calls itself"), "{refused}");
}

/// Functions `f0`, `f1`, ...: each calls the next so many times, one after the other.
fn tower(height: usize, times: usize) -> Vec<FunctionProto> {
    let step = |i: usize| {
        let names: Vec<String> = (0..=times).map(|t| format!("v{t}")).collect();
        let nodes = names.windows(2).map(|pair| {
            let (input, output) = ([pair[0].as_str()], [pair[1].as_str()]);
            match i + 1 < height {
                true => call(&format!("f{}", i + 1), &input, &output),
                false => node("Identity", &input, &output),
            }
        });
        function(&format!("f{i}"), &["v0"], nodes.collect(), &[&names[times]])
    };
    (0..height).map(step).collect()
}

#[test]
fn towers_of_functions_are_bounded_in_width_and_height() {
    let start = || vec![call("f0", &["x"], &["y"])];
    read(&model(start(), tower(MAX_DEPTH, 1))).unwrap();
    let refused = message(&model(start(), tower(MAX_DEPTH + 1, 1)));
    assert!(refused.contains("inside of each other"), "{refused}");
    // 2^40 calls of a file of some kilobytes
    let refused = message(&model(start(), tower(40, 2)));
    assert!(refused.contains("more than 262144 nodes"), "{refused}");
    read(&model(start(), tower(12, 2))).unwrap();
    // names of which no call uses one are counted too
    let many: Vec<String> = (0..10_000).map(|i| format!("u{i}")).collect();
    let mut wide = tower(16, 2);
    for function in &mut wide {
        function.input.extend(many.clone());
    }
    assert!(message(&model(start(), wide)).contains("nodes"));
}

#[test]
fn branches_and_calls_as_deep_as_they_may_be_do_not_overflow() {
    // each function calls the next inside of a branch inside of a branch
    let inside = |nodes: Vec<NodeProto>| {
        let branch = |name: &str, nodes: Vec<NodeProto>| AttributeProto {
            name: name.into(),
            g: Some(Box::new(graph(nodes, "w"))),
            ..Default::default()
        };
        let other = vec![node("Identity", &["v"], &["w"])];
        let choice = with(node("If", &["c"], &["w"]), branch("then_branch", nodes));
        vec![with(choice, branch("else_branch", other))]
    };
    let step = |i: usize| {
        let next = call(&format!("f{}", i + 1), &["v", "c"], &["w"]);
        function(
            &format!("f{i}"),
            &["v", "c"],
            inside(inside(vec![next])),
            &["w"],
        )
    };
    let functions = (0..40).map(step).collect();
    let mut proto = model(vec![call("f0", &["x", "c"], &["y"])], functions);
    if let Some(graph) = &mut proto.graph {
        graph.input.push(io("c", 9, &[]));
    }
    assert!(message(&proto).contains("inside of each other"));
}

#[test]
fn tables_of_a_function_are_read_at_each_call_within_a_budget() {
    let table = |extent: i64| {
        let value = TensorProto {
            data_type: 2,
            dims: vec![extent],
            raw_data: vec![0; extent as usize].into(),
            ..Default::default()
        };
        with(
            node("Constant", &[], &["t"]),
            AttributeProto {
                name: "value".into(),
                t: Some(Box::new(value)),
                ..Default::default()
            },
        )
    };
    let adds = |extent| {
        let mut functions = tower(6, 4);
        let same = node("Neg", &["v"], &["w"]);
        functions.push(function("f6", &["v"], vec![table(extent), same], &["w"]));
        for node in &mut functions[5].node {
            *node = NodeProto {
                domain: "own".into(),
                op_type: "f6".into(),
                ..node.clone()
            };
        }
        model(vec![call("f0", &["x"], &["y"])], functions)
    };
    read(&adds(1 << 10)).unwrap();
    // 4^6 times a mebibyte
    let refused = message(&adds(1 << 20));
    assert!(refused.contains("many times the bytes"), "{refused}");
}

#[test]
fn names_of_nodes_inside_of_others_stay_short() {
    let long = "n".repeat(5_000) + "é";
    let mut functions = tower(MAX_DEPTH, 1);
    for function in &mut functions {
        function.node[0].name = long.clone();
        if function.node[0].op_type == "Identity" {
            function.node[0].op_type = "Neg".into();
        }
    }
    let model = read(&model(vec![call("f0", &["x"], &["y"])], functions)).unwrap();
    let name = &model.graph().nodes[0].name;
    assert!(name.len() <= MAX_LABEL && name.ends_with("né"), "{name}");
}

/// Operators of one or two inputs.
const OPERATORS: [(&str, usize); 6] = [
    ("Relu", 1),
    ("Neg", 1),
    ("Exp", 1),
    ("Add", 2),
    ("Mul", 2),
    ("Sub", 2),
];

/// A chain of nodes of `value`, a result each; `(operator, one result, another)`.
fn chain(
    steps: &[(usize, usize, usize)],
    inputs: &[&str],
    prefix: &str,
) -> (Vec<NodeProto>, String) {
    let mut known = names(inputs);
    let mut nodes = Vec::new();
    for (i, &(op, a, b)) in steps.iter().enumerate() {
        let (op, takes) = OPERATORS[op % OPERATORS.len()];
        let picked = [&known[a % known.len()], &known[b % known.len()]];
        let picked: Vec<&str> = picked[..takes].iter().map(|name| name.as_str()).collect();
        let output = format!("{prefix}{i}");
        nodes.push(node(op, &picked, &[&output]));
        known.push(output);
    }
    (nodes, known.pop().unwrap_or_default())
}

proptest! {
    /// The same nodes, those of `calls` inside of a function: the same model.
    #[test]
    fn written_out_by_hand_or_by_the_importer_is_one_model(
        body in prop::collection::vec((0..6usize, 0..8usize, 0..8usize), 1..6),
        calls in prop::collection::vec((0..8usize, 0..8usize), 1..5),
    ) {
        let (nodes, last) = chain(&body, &["a", "b"], "t");
        let f = function("F", &["a", "b"], nodes, &[&last]);
        let (mut called, mut written) = (Vec::new(), Vec::new());
        let mut known = vec!["x".to_owned()];
        for (i, &(a, b)) in calls.iter().enumerate() {
            let inputs = [known[a % known.len()].clone(), known[b % known.len()].clone()];
            let inputs = [inputs[0].as_str(), inputs[1].as_str()];
            let (nodes, last) = chain(&body, &inputs, &format!("r{i}_"));
            written.extend(nodes);
            called.push(call("F", &inputs, &[&last]));
            known.push(last);
        }
        let last = known.pop().unwrap_or_default();
        for nodes in [&mut called, &mut written] {
            nodes.push(node("Identity", &[&last], &["y"]));
        }
        prop_assert_eq!(id(called, vec![f]), id(written, vec![]));
    }
}

//! What operators become, run by the reference interpreter.

use std::f64::consts::PI;

use gavel_numerics::Tensor;
use prost::Message as _;

use super::proto::*;
use super::*;
use crate::test_run;

pub(super) fn io(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfo {
    let dim = dims.iter().map(|&d| DimProto {
        dim_value: Some(d),
        dim_param: None,
    });
    let shape = Some(ShapeProto { dim: dim.collect() });
    let tensor_type = Some(TensorTypeProto { elem_type, shape });
    ValueInfo {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type,
            ..Default::default()
        }),
    }
}

pub(super) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: outputs.iter().map(|s| s.to_string()).collect(),
        ..Default::default()
    }
}

pub(super) fn file(inputs: Vec<ValueInfo>, nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<u8> {
    let proto = ModelProto {
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: 21,
        }],
        graph: Some(GraphProto {
            node: nodes,
            input: inputs,
            output: outputs.iter().map(|name| io(name, 1, &[])).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    proto.encode_to_vec()
}

/// The outputs of a graph, node by node.
pub(super) fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    test_run::outputs(model, &test_run::values(model, inputs))
}

/// One operator of floats on values.
fn on(op: &str, x: &[f32]) -> Vec<f32> {
    let dims = [x.len() as i64];
    let bytes = file(
        vec![io("x", 1, &dims)],
        vec![node(op, &["x"], &["y"])],
        &["y"],
    );
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    let x = Tensor::f32([x.len() as u64], x.to_vec()).unwrap();
    run(&model, &[x])[0].as_f32().unwrap().to_vec()
}

#[test]
fn functions_are_near_those_of_binary64() {
    let erf = |x: f64| {
        // Taylor near zero, a continued fraction of the rest
        if x.abs() < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..80 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return sum * 2.0 / PI.sqrt();
        }
        let mut fraction = 0.0;
        for n in (1..60).rev() {
            fraction = f64::from(n) / 2.0 / (x.abs() + fraction);
        }
        x.signum() * (1.0 - (-x * x).exp() / PI.sqrt() / (x.abs() + fraction))
    };
    type Function<'a> = (&'a str, &'a dyn Fn(f64) -> f64, std::ops::Range<f64>, f64);
    let functions: [Function<'_>; 21] = [
        ("Sin", &f64::sin, -20.0..20.0, 4e-7),
        ("Cos", &f64::cos, -20.0..20.0, 4e-7),
        ("Tan", &f64::tan, -1.5..1.5, 4e-7),
        ("Asin", &f64::asin, -1.0..1.0, 4e-7),
        ("Acos", &f64::acos, -1.0..0.9, 4e-7),
        ("Atan", &f64::atan, -30.0..30.0, 4e-7),
        ("Sinh", &f64::sinh, -5.0..5.0, 4e-6),
        ("Cosh", &f64::cosh, -5.0..5.0, 4e-7),
        ("Asinh", &f64::asinh, -30.0..30.0, 4e-7),
        ("Acosh", &f64::acosh, 1.5..30.0, 4e-7),
        ("Atanh", &f64::atanh, -0.9..0.9, 4e-7),
        ("Erf", &erf, -4.5..4.5, 4e-7),
        ("Log", &f64::ln, 0.001..50.0, 4e-7),
        ("Sqrt", &f64::sqrt, 0.0..50.0, 1e-7),
        ("Reciprocal", &|x: f64| 1.0 / x, 0.1..50.0, 1e-7),
        ("Softplus", &|x: f64| x.exp().ln_1p(), -5.0..20.0, 1e-5),
        ("Softsign", &|x: f64| x / (1.0 + x.abs()), -5.0..5.0, 2e-7),
        ("Floor", &f64::floor, -9.0..9.0, 0.0),
        ("Ceil", &f64::ceil, -9.0..9.0, 0.0),
        ("Round", &f64::round_ties_even, -9.0..9.0, 0.0),
        ("Abs", &f64::abs, -9.0..9.0, 0.0),
    ];
    for (op, exact, range, bound) in functions {
        let step = (range.end - range.start) / 499.0;
        let mut x: Vec<f32> = (0..500)
            .map(|i| (range.start + step * f64::from(i)) as f32)
            .collect();
        if range.start < 0.0 {
            x.extend([0.0, -0.0, 1e-6, -1e-3]);
        }
        for (&x, found) in x.iter().zip(on(op, &x)) {
            let exact = exact(f64::from(x));
            let error = (f64::from(found) - exact).abs() / exact.abs().max(1e-3);
            assert!(
                error <= bound,
                "{op}({x}) = {found}, not {exact}: {error:e}"
            );
        }
        // NaN stays NaN
        assert!(on(op, &[f32::NAN])[0].is_nan(), "{op}");
    }
}

#[test]
fn special_values_of_functions() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (op, x, want) in [
        ("Floor", [-0.0, 0.7, -0.3, inf], [-0.0, 0.0, -1.0, inf]),
        (
            "Round",
            [0.5, -0.5, 2.5, 8_388_609.0],
            [0.0, -0.0, 2.0, 8_388_609.0],
        ),
        ("Sign", [-3.0, 0.0, nan, inf], [-1.0, 0.0, nan, 1.0]),
        ("Neg", [0.0, -0.0, inf, 2.0], [-0.0, 0.0, -inf, -2.0]),
        ("Log", [0.0, -1.0, inf, 1.0], [-inf, nan, inf, 0.0]),
        ("Sqrt", [-0.0, -1.0, inf, 4.0], [-0.0, nan, inf, 2.0]),
        ("Erf", [inf, -inf, 0.0, -0.0], [1.0, -1.0, 0.0, -0.0]),
        ("Atan", [0.0, -0.0, nan, 0.0], [0.0, -0.0, nan, 0.0]),
        ("Acosh", [0.5, 1.0, inf, nan], [nan, 0.0, inf, nan]),
        ("Asin", [2.0, -2.0, 0.0, -0.0], [nan, nan, 0.0, -0.0]),
    ] {
        assert_eq!(bits(&on(op, &x)), bits(&want), "{op} of {x:?}");
    }
}

fn integers(values: &[i64]) -> Tensor {
    Tensor::i64([values.len() as u64], values.to_vec()).unwrap()
}

#[test]
fn an_input_that_a_shape_depends_on_is_asked_for_and_bound() {
    let inputs = || {
        vec![
            io("x", 1, &[2, 3]),
            io("starts", 7, &[1]),
            io("ends", 7, &[1]),
            io("axes", 7, &[1]),
        ]
    };
    let slice = node("Slice", &["x", "starts", "ends", "axes"], &["y"]);
    let bytes = file(inputs(), vec![slice], &["y"]);
    let mut options = ImportOptions::default();
    let mut asked = Vec::new();
    let model = loop {
        match import(&bytes, &options) {
            Ok(model) => break model,
            Err(ModelError::Unbound { input, ty, .. }) => {
                assert_eq!(ty.dims, [1]);
                let value = if input == "ends" { 3 } else { 1 };
                options.values.insert(input.clone(), integers(&[value]));
                asked.push(input);
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(asked, ["starts", "ends", "axes"]);
    assert_eq!(model.graph().inputs.len(), 1);
    let x = Tensor::f32([2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let y = &run(&model, &[x])[0];
    assert_eq!(
        (y.dims(), y.as_f32()),
        (&[2, 2][..], Some(&[1.0, 2.0, 4.0, 5.0][..]))
    );
    // another value is another model
    let mut other = options.clone();
    other.values.insert("ends".to_owned(), integers(&[2]));
    let other = import(&bytes, &other).unwrap();
    assert_ne!(other.model_id(), model.model_id());
}

#[test]
fn what_is_made_of_constants_is_computed_at_import() {
    // the extents of x, through arithmetic, as the shape of a reshape
    let nodes = vec![
        node("Shape", &["x"], &["dims"]),
        node("ReduceProd", &["dims"], &["count"]),
        node("Reshape", &["x", "count"], &["y"]),
    ];
    let bytes = file(vec![io("x", 1, &[2, 3])], nodes, &["y"]);
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    assert_eq!(model.graph().nodes.len(), 1);
    assert_eq!(model.graph().nodes[0].output.dims, [6]);
    assert!(model.weights().is_empty());
}

#[test]
fn what_is_computed_at_import_is_bounded_in_all() {
    // every tile of a constant alone is little
    let mut nodes = vec![
        node("Shape", &["x"], &["one"]),
        node("ConstantOfShape", &["many"], &["c0"]),
    ];
    for i in 0..40 {
        let (from, to) = (format!("c{i}"), format!("c{}", i + 1));
        nodes.push(node("Neg", &[&from], &[&to]));
    }
    let inputs = vec![io("x", 1, &[1]), io("many", 7, &[1])];
    let bytes = file(inputs, nodes, &["c40"]);
    let mut options = ImportOptions::default();
    options
        .values
        .insert("many".to_owned(), integers(&[4 << 20]));
    let model = import(&bytes, &options).unwrap();
    // 16 MiB each, of 256
    let nodes = model.graph().nodes.len();
    assert!((20..=40).contains(&nodes), "{nodes}");
}

#[test]
fn parts_of_a_split_are_outputs_of_their_own() {
    let nodes = vec![
        node("Split", &["x"], &["a", "b"]),
        node("Sub", &["a", "b"], &["y"]),
    ];
    let bytes = file(vec![io("x", 1, &[4])], nodes, &["y", "b"]);
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    let x = Tensor::f32([4], vec![1.0, 2.0, 30.0, 40.0]).unwrap();
    let found = run(&model, &[x]);
    assert_eq!(found[0].as_f32().unwrap(), [-29.0, -38.0]);
    assert_eq!(found[1].as_f32().unwrap(), [30.0, 40.0]);
}

#[test]
fn windows_over_one_axis_are_windows_over_two() {
    let mut conv = node("Conv", &["x", "w"], &["y"]);
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        ..Default::default()
    };
    conv.attribute.push(ints("pads", &[1, 0]));
    let mut pool = node("MaxPool", &["y"], &["z"]);
    pool.attribute.push(ints("kernel_shape", &[2]));
    pool.attribute.push(ints("strides", &[2]));
    pool.attribute.push(AttributeProto {
        name: "ceil_mode".into(),
        i: 1,
        ..Default::default()
    });
    let inputs = vec![io("x", 1, &[1, 1, 4]), io("w", 1, &[1, 1, 2])];
    let bytes = file(inputs, vec![conv, pool], &["y", "z"]);
    let model = import(&bytes, &ImportOptions::default()).unwrap();
    let x = Tensor::f32([1, 1, 4], vec![1.0, 2.0, 3.0, 5.0]).unwrap();
    let w = Tensor::f32([1, 1, 2], vec![1.0, 10.0]).unwrap();
    let found = run(&model, &[x, w]);
    assert_eq!(found[0].dims(), [1, 1, 4]);
    assert_eq!(found[0].as_f32().unwrap(), [10.0, 21.0, 32.0, 53.0]);
    assert_eq!(found[1].as_f32().unwrap(), [21.0, 53.0]);
}

#[test]
fn arithmetic_of_integers_is_that_of_the_standard() {
    let of = |op: &str, fmod: bool| {
        let mut node = node(op, &["a", "b"], &["y"]);
        if fmod {
            node.attribute.push(AttributeProto {
                name: "fmod".into(),
                i: 1,
                ..Default::default()
            });
        }
        let inputs = vec![io("a", 7, &[4]), io("b", 7, &[4])];
        let model = import(&file(inputs, vec![node], &["y"]), &ImportOptions::default()).unwrap();
        let found = run(
            &model,
            &[integers(&[7, -7, 7, -7]), integers(&[2, 2, -2, -2])],
        );
        found[0].as_i64().unwrap().to_vec()
    };
    assert_eq!(of("Div", false), [3, -3, -3, 3]);
    assert_eq!(of("Mod", false), [1, 1, -1, -1]);
    assert_eq!(of("Mod", true), [1, -1, 1, -1]);
    assert_eq!(of("Max", false), [7, 2, 7, -2]);
    // beyond what f32 holds
    let inputs = vec![io("a", 7, &[4]), io("b", 7, &[4])];
    let power = file(inputs, vec![node("Pow", &["a", "b"], &["y"])], &["y"]);
    let power = import(&power, &ImportOptions::default()).unwrap();
    let found = run(
        &power,
        &[integers(&[3, -3, 2, 9]), integers(&[39, 39, 62, 0])],
    );
    let want = [3i64.pow(39), -3i64.pow(39), 1 << 62, 1];
    assert_eq!(found[0].as_i64(), Some(&want[..]));
    assert_eq!(of("BitwiseXor", false), [7 ^ 2, -7 ^ 2, 7 ^ -2, -7 ^ -2]);
}

#[test]
fn tables_that_operators_need_are_bounded_in_all() {
    // each takes a table of positions as long as an axis
    let mut nodes = Vec::new();
    for i in 0..40 {
        let mut hot = node("Hardmax", &["x"], &[&format!("y{i}")]);
        hot.attribute.push(AttributeProto {
            name: "axis".into(),
            i: 0,
            ..Default::default()
        });
        nodes.push(hot);
    }
    nodes.push(node("Sum", &["y0", "y39"], &["y"]));
    let bytes = file(vec![io("x", 1, &[1 << 21, 1])], nodes, &["y"]);
    let refused = import(&bytes, &ImportOptions::default()).unwrap_err();
    assert!(
        refused.to_string().contains("too large together"),
        "{refused}"
    );
}

#[test]
fn determinants_are_polynomials_of_small_matrices() {
    let det = |dims: &[i64], values: &[f32]| {
        let file = file(
            vec![io("x", 1, dims)],
            vec![node("Det", &["x"], &["y"])],
            &["y"],
        );
        let model = import(&file, &ImportOptions::default())?;
        let dims: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
        let found = run(&model, &[Tensor::f32(dims, values.to_vec()).unwrap()]);
        Ok::<_, ModelError>((
            found[0].dims().to_vec(),
            found[0].as_f32().unwrap().to_vec(),
        ))
    };
    assert_eq!(det(&[1, 1], &[3.0]).unwrap(), (vec![], vec![3.0]));
    let (dims, found) = det(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 0.0, 1.0, 1.0, 0.0]).unwrap();
    assert_eq!((dims, found), (vec![2], vec![-2.0, -1.0]));
    let three = [2.0, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 4.0];
    assert_eq!(det(&[3, 3], &three).unwrap().1, [18.0]);
    let mut four = [0.0; 16];
    // a permutation with two swaps, scaled
    for (row, column, value) in [(0, 2, 2.0), (1, 3, 3.0), (2, 0, 5.0), (3, 1, 7.0)] {
        four[4 * row + column] = value;
    }
    assert_eq!(det(&[4, 4], &four).unwrap().1, [210.0]);
    for dims in [vec![2], vec![2, 3], vec![5, 5], vec![0, 0]] {
        let values = vec![0.0; dims.iter().product::<i64>() as usize];
        let refused = det(&dims, &values).unwrap_err().to_string();
        assert!(refused.contains("matri"), "{refused}");
    }
}

#[test]
fn what_may_be_absent_is_there_or_not_at_import() {
    let of = |nodes: Vec<NodeProto>| {
        let optional_type = Some(Box::new(OptionalTypeProto {
            elem_type: io("", 1, &[2]).r#type,
        }));
        let given = ValueInfo {
            name: "x".into(),
            r#type: Some(TypeProto {
                optional_type,
                ..Default::default()
            }),
        };
        let file = file(vec![given], nodes, &["y"]);
        let model = import(&file, &ImportOptions::default())?;
        let found = run(&model, &[Tensor::f32([2], vec![1.0, -2.0]).unwrap()]);
        Ok::<_, ModelError>(found[0].clone())
    };
    let get = |name| node("OptionalGetElement", &[name], &["y"]);
    assert_eq!(of(vec![get("x")]).unwrap().as_f32().unwrap(), [1.0, -2.0]);
    let mut wrapped = node("Optional", &["x"], &["o"]);
    wrapped.attribute.push(AttributeProto {
        name: "type".into(),
        ..Default::default()
    });
    assert_eq!(
        of(vec![wrapped, get("o")]).unwrap().as_f32().unwrap(),
        [1.0, -2.0]
    );
    for (inputs, want) in [(vec!["x"], 1), (vec![""], 0), (vec![], 0)] {
        let has = node("OptionalHasElement", &inputs, &["y"]);
        assert_eq!(of(vec![has]).unwrap().raw(0), Some(want));
    }
    let refused = of(vec![node("Optional", &[], &["y"])])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("absent"), "{refused}");
}

#[test]
fn a_dropout_of_nothing_may_be_in_training() {
    let dropout = |ratio: f32, training: i64| {
        let constant = |name: &str, attribute: AttributeProto| NodeProto {
            attribute: vec![attribute],
            ..node("Constant", &[], &[name])
        };
        let ratio = AttributeProto {
            name: "value_float".into(),
            f: ratio,
            ..Default::default()
        };
        let training = AttributeProto {
            name: "value_int".into(),
            i: training,
            ..Default::default()
        };
        let nodes = vec![
            constant("r", ratio),
            constant("t", training),
            node("Dropout", &["x", "r", "t"], &["y"]),
        ];
        import(
            &file(vec![io("x", 1, &[2])], nodes, &["y"]),
            &ImportOptions::default(),
        )
    };
    dropout(0.5, 0).unwrap();
    dropout(0.0, 1).unwrap();
    let refused = dropout(0.5, 1).unwrap_err().to_string();
    assert!(refused.contains("or the ratio 0"), "{refused}");
}

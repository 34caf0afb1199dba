//! Tensors that lie in other files, and those that lie in few places: read as if they lay in the file, or refused.

use gavel_numerics::Tensor;
use prost::Message as _;

use super::operators_tests::{io, node, run};
use super::proto::*;
use super::*;

const DATA: &str = "model.onnx.data";

fn raw(name: &str, data_type: i32, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type,
        dims: dims.to_vec(),
        raw_data: bytes.to_vec().into(),
        ..Default::default()
    }
}

fn floats(name: &str, values: &[f32]) -> TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw(name, 1, &[values.len() as i64], &bytes)
}

fn integers(dims: &[i64], values: &[i64]) -> TensorProto {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw("", 7, dims, &bytes)
}

/// A tensor without its bytes, which lie where these entries say.
fn outside(mut tensor: TensorProto, entries: &[(&str, &str)]) -> TensorProto {
    tensor.raw_data = Bytes::new();
    tensor.data_location = 1;
    let entries = entries.iter().map(|&(key, value)| StringEntry {
        key: key.into(),
        value: value.into(),
    });
    tensor.external_data = entries.collect();
    tensor
}

/// Takes the bytes of a tensor into a file.
fn moved(tensor: &mut TensorProto, file: &mut Vec<u8>) {
    // exporters align what they write
    file.resize(file.len().next_multiple_of(16) + 16, 0xaa);
    let (offset, length) = (file.len().to_string(), tensor.raw_data.len().to_string());
    file.extend(&tensor.raw_data);
    let entries = [("location", DATA), ("offset", &offset), ("length", &length)];
    *tensor = outside(std::mem::take(tensor), &entries);
}

fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: 21,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            input: vec![io("x", 1, &[4])],
            output: vec![io("y", 1, &[])],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn with_files(proto: &ModelProto, files: &[(&str, &[u8])]) -> Result<Model, ModelError> {
    let files = files.iter();
    let files = files.map(|&(name, bytes)| (name.to_owned(), Bytes::copy_from_slice(bytes)));
    let options = ImportOptions {
        files: files.collect(),
        ..Default::default()
    };
    import(&proto.encode_to_vec(), &options)
}

fn read(proto: &ModelProto) -> Result<Model, ModelError> {
    with_files(proto, &[])
}

fn listed(proto: &ModelProto) -> Result<Vec<String>, ModelError> {
    Ok(external_files(&proto.encode_to_vec().into())?
        .into_iter()
        .collect())
}

fn attribute(name: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ..Default::default()
    }
}

fn constant(name: &str, tensor: TensorProto) -> NodeProto {
    let mut node = node("Constant", &[], &[name]);
    node.attribute.push(AttributeProto {
        t: Some(Box::new(tensor)),
        ..attribute("value")
    });
    node
}

/// A graph, a branch and a function with a tensor each, all of them in use.
fn everywhere() -> ModelProto {
    let branch = |name: &str, values: &[f32]| AttributeProto {
        g: Some(Box::new(GraphProto {
            initializer: vec![floats("w", values)],
            node: vec![
                constant("c", floats("", values)),
                node("Sub", &["w", "c"], &["b"]),
                node("Add", &["x", "b"], &["d"]),
            ],
            output: vec![io("d", 1, &[])],
            ..Default::default()
        })),
        ..attribute(name)
    };
    let mut choice = node("If", &["flag"], &["e"]);
    choice.attribute = vec![
        branch("then_branch", &[1.0, 2.0, 3.0, 4.0]),
        branch("else_branch", &[5.0, 6.0, 7.0, 8.0]),
    ];
    let mut filled = node("ConstantOfShape", &["shape"], &["f"]);
    filled.attribute.push(AttributeProto {
        t: Some(Box::new(floats("", &[9.0]))),
        ..attribute("value")
    });
    let call = NodeProto {
        domain: "own".into(),
        ..node("F", &["e"], &["g"])
    };
    let mut proto = model(
        vec![
            constant("shape", integers(&[1], &[4])),
            filled,
            choice,
            call,
            node("Add", &["f", "g"], &["h"]),
            node("Concat", &["h", "empty"], &["i"]),
            node("Mul", &["i", "weight"], &["y"]),
        ],
        vec![
            floats("weight", &[0.5, 1.5, -2.5, 4.0]),
            floats("empty", &[]),
        ],
    );
    proto.functions.push(FunctionProto {
        name: "F".into(),
        domain: "own".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: vec![
            constant("c", floats("", &[1.0, -1.0, 1.0, -1.0])),
            node("Add", &["a", "c"], &["b"]),
        ],
        opset_import: proto.opset_import.clone(),
        ..Default::default()
    });
    let graph = proto.graph.as_mut().unwrap();
    graph.input.push(io("flag", 9, &[]));
    graph.node[5].attribute.push(attribute("axis"));
    proto
}

/// Takes the bytes of all tensors into a file.
fn moved_out(proto: &mut ModelProto) -> Vec<u8> {
    fn graph(proto: &mut GraphProto, file: &mut Vec<u8>) {
        proto.initializer.iter_mut().for_each(|t| moved(t, file));
        for sparse in &mut proto.sparse_initializer {
            let parts = [&mut sparse.values, &mut sparse.indices];
            parts.into_iter().flatten().for_each(|t| moved(t, file));
        }
        nodes(&mut proto.node, file);
    }
    fn nodes(proto: &mut [NodeProto], file: &mut Vec<u8>) {
        for attribute in proto.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute.t.iter_mut().for_each(|t| moved(t, file));
            attribute.g.iter_mut().for_each(|g| graph(g, file));
        }
    }
    let mut file = Vec::new();
    graph(proto.graph.as_mut().unwrap(), &mut file);
    for function in &mut proto.functions {
        nodes(&mut function.node, &mut file);
    }
    file
}

#[test]
fn where_the_tensors_lie_is_no_part_of_the_model() {
    let mut proto = everywhere();
    let inside = read(&proto).unwrap();
    assert!(listed(&proto).unwrap().is_empty());
    let file = moved_out(&mut proto);
    assert_eq!(listed(&proto).unwrap(), [DATA]);
    let beside = with_files(&proto, &[(DATA, &file)]).unwrap();
    assert_eq!(beside.model_id(), inside.model_id());
    let mut other = file.clone();
    other[16] ^= 1;
    let other = with_files(&proto, &[(DATA, &other)]).unwrap();
    assert_ne!(other.model_id(), inside.model_id());
    // bytes between the tensors say nothing
    let mut other = file.clone();
    other[0] ^= 1;
    let other = with_files(&proto, &[(DATA, &other)]).unwrap();
    assert_eq!(other.model_id(), inside.model_id());
    for cut in 0..file.len() {
        assert!(
            with_files(&proto, &[(DATA, &file[..cut])]).is_err(),
            "{cut}"
        );
    }
    let refused = read(&proto).unwrap_err().to_string();
    assert!(refused.contains("which is not given"), "{refused}");
}

#[test]
fn no_bit_flip_of_a_file_with_functions_and_places_panics() {
    let mut proto = everywhere();
    let indices = Some(integers(&[2], &[0, 3]));
    let graph = proto.graph.as_mut().unwrap();
    graph
        .sparse_initializer
        .push(sparse(&[4], &[1.0, 2.0], indices));
    let data = Bytes::from(moved_out(&mut proto));
    let mut file = proto.encode_to_vec();
    for i in 0..file.len() {
        file[i] ^= 1 << (i % 8);
        if let Ok(names) = external_files(&Bytes::copy_from_slice(&file)) {
            let options = ImportOptions {
                files: names.into_iter().map(|name| (name, data.clone())).collect(),
                ..Default::default()
            };
            let _ = import(&file, &options);
        }
        file[i] ^= 1 << (i % 8);
    }
}

#[test]
fn a_place_is_read_as_the_standard_says() {
    let values = [0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0];
    let file: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let of = |values: &[f32]| {
        let add = vec![node("Add", &["x", "w"], &["y"])];
        model(add, vec![floats("w", values)])
    };
    let placed = |entries: &[(&str, &str)]| {
        let mut proto = of(&[0.0; 4]);
        let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
        *tensor = outside(std::mem::take(tensor), entries);
        proto
    };
    let place = ("location", "folder/data.bin");
    let files = [("folder/data.bin", &file[..])];
    for (entries, want) in [
        (
            vec![place, ("offset", "4"), ("length", "16")],
            &values[1..5],
        ),
        (
            vec![
                place,
                ("length", "16"),
                ("checksum", "00"),
                ("basepath", "/etc"),
            ],
            &values[..4],
        ),
        // up to the end of the file
        (vec![("offset", "8"), place], &values[2..]),
    ] {
        let proto = placed(&entries);
        assert_eq!(listed(&proto).unwrap(), ["folder/data.bin"]);
        let found = with_files(&proto, &files).unwrap();
        assert_eq!(found.model_id(), read(&of(want)).unwrap().model_id());
    }
    for (entries, words) in [
        (vec![], "a file without a name"),
        (vec![place], "takes 16 bytes, the file has 24"),
        (
            vec![place, ("length", "12")],
            "takes 16 bytes, the file has 12",
        ),
        (
            vec![place, ("length", "0")],
            "takes 16 bytes, the file has 0",
        ),
        (
            vec![place, ("offset", "12"), ("length", "16")],
            "beyond the end",
        ),
        (vec![place, ("offset", "25")], "beyond the end"),
        (
            vec![place, ("offset", "18446744073709551615"), ("length", "16")],
            "beyond the end",
        ),
        (
            vec![place, ("offset", "16"), ("length", "18446744073709551600")],
            "beyond the end",
        ),
        (
            vec![place, ("offset", "18446744073709551616")],
            "no number of bytes",
        ),
        (vec![place, ("offset", "-4")], "no number of bytes"),
        (vec![place, ("offset", "+4")], "no number of bytes"),
        (vec![place, ("offset", "")], "no number of bytes"),
        (vec![place, ("length", "0x10")], "no number of bytes"),
        (vec![place, ("length", "16 ")], "no number of bytes"),
        (
            vec![place, ("length", "16"), ("length", "16")],
            "given twice",
        ),
        (vec![place, place, ("length", "16")], "given twice"),
    ] {
        let refused = with_files(&placed(&entries), &files)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("tensor w") && refused.contains(words),
            "{refused}"
        );
    }
}

#[test]
fn a_tensor_is_inside_or_outside_and_not_both() {
    let place = [("location", DATA), ("length", "16")];
    let tensor = || outside(floats("w", &[0.0; 4]), &place);
    let both = |tensor: TensorProto| {
        let proto = model(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]);
        let refused = with_files(&proto, &[(DATA, &[0; 16])])
            .unwrap_err()
            .to_string();
        assert_eq!(listed(&proto).unwrap_err().to_string(), refused);
        refused
    };
    let as_well = [
        TensorProto {
            raw_data: vec![0; 16].into(),
            ..tensor()
        },
        TensorProto {
            float_data: vec![0.0; 4],
            ..tensor()
        },
        TensorProto {
            int32_data: vec![0],
            ..tensor()
        },
        TensorProto {
            int64_data: vec![0],
            ..tensor()
        },
        TensorProto {
            double_data: vec![0.0],
            ..tensor()
        },
        TensorProto {
            uint64_data: vec![0],
            ..tensor()
        },
    ];
    for tensor in as_well {
        assert!(both(tensor).contains("in the model's as well"));
    }
    let neither = TensorProto {
        data_location: 0,
        ..tensor()
    };
    assert!(both(neither).contains("does not lie there"));
    let elsewhere = TensorProto {
        data_location: 2,
        ..tensor()
    };
    assert!(both(elsewhere).contains("data location 2"));
}

#[test]
fn locations_lead_down_and_nowhere_else() {
    let at = |location: &str| {
        let tensor = outside(floats("w", &[0.0; 4]), &[("location", location)]);
        model(vec![node("Add", &["x", "w"], &["y"])], vec![tensor])
    };
    for location in [
        "a",
        "a.b-c d",
        "...",
        "a/b/c",
        "..a/b..",
        "wei\u{df}e",
        "onnx::MatMul_3",
    ] {
        assert_eq!(listed(&at(location)).unwrap(), [location]);
    }
    for location in [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../a",
        "a/..",
        "a/../../b",
        "a/../b",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "//host/share",
        "\\\\host\\share",
        "..\\a",
        "a\\b",
        "c:/a",
        "C:a",
        "a\0b",
        "a\u{1b}[2Jb",
        "a/\0",
    ] {
        let proto = at(location);
        let refused = listed(&proto).unwrap_err().to_string();
        assert!(
            refused.contains("no file in the folder"),
            "{location:?}: {refused}"
        );
        // even if somebody gives it
        let refused = with_files(&proto, &[(location, &[0; 16])]).unwrap_err();
        assert!(
            refused.to_string().contains("no file in the folder"),
            "{location:?}"
        );
    }
}

#[test]
fn the_number_of_files_is_bounded() {
    let in_files = |count: usize| {
        let tensor = |i: usize| {
            let location = format!("w{i}");
            outside(floats(&location, &[0.0; 4]), &[("location", &location)])
        };
        listed(&model(vec![], (0..count).map(tensor).collect()))
    };
    assert_eq!(in_files(4096).unwrap().len(), 4096);
    let refused = in_files(4097).unwrap_err().to_string();
    assert!(refused.contains("more than 4096 files"), "{refused}");
}

#[test]
fn tensors_that_share_their_bytes_are_read_within_a_budget() {
    let file = vec![0; 16 << 20];
    let shared = |count: usize| {
        let tensor = |i: usize| {
            let tensor = raw(&format!("w{i}"), 2, &[16 << 20], &[]);
            outside(tensor, &[("location", DATA)])
        };
        let proto = model(
            vec![node("Neg", &["x"], &["y"])],
            (0..count).map(tensor).collect(),
        );
        with_files(&proto, &[(DATA, &file)])
    };
    shared(8).unwrap();
    // a table of contents of some bytes each asks for 16 MiB again and again
    let refused = shared(100).unwrap_err().to_string();
    assert!(refused.contains("many times the bytes"), "{refused}");
}

/// A tensor of these elements at these places.
fn sparse(dims: &[i64], values: &[f32], indices: Option<TensorProto>) -> SparseTensorProto {
    SparseTensorProto {
        values: Some(floats("w", values)),
        indices,
        dims: dims.to_vec(),
    }
}

/// `y = x + w`.
fn adds(w: SparseTensorProto) -> ModelProto {
    let mut proto = model(vec![node("Add", &["x", "w"], &["y"])], vec![]);
    proto.graph.as_mut().unwrap().sparse_initializer.push(w);
    proto
}

#[test]
fn sparse_tensors_are_dense_in_the_model() {
    let dense = |dims: &[i64], values: &[f32]| {
        let mut tensor = floats("w", values);
        tensor.dims = dims.to_vec();
        let proto = model(vec![node("Add", &["x", "w"], &["y"])], vec![tensor]);
        read(&proto).unwrap().model_id()
    };
    let id = |w: SparseTensorProto| read(&adds(w)).unwrap().model_id();
    let want = dense(
        &[3, 4],
        &[0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0],
    );
    let linear = || sparse(&[3, 4], &[1.0, 2.0, 3.0], Some(integers(&[3], &[2, 4, 11])));
    let by_axis = integers(&[3, 2], &[0, 2, 1, 0, 2, 3]);
    assert_eq!(id(linear()), want);
    assert_eq!(id(sparse(&[3, 4], &[1.0, 2.0, 3.0], Some(by_axis))), want);
    let none = dense(&[4], &[0.0; 4]);
    assert_eq!(id(sparse(&[4], &[], None)), none);
    assert_eq!(id(sparse(&[4], &[], Some(integers(&[0], &[])))), none);
    assert_eq!(id(sparse(&[4], &[], Some(integers(&[0, 1], &[])))), none);
    // its parts may lie outside, and it may be listed among the inputs
    let mut proto = adds(linear());
    proto
        .graph
        .as_mut()
        .unwrap()
        .input
        .push(io("w", 1, &[3, 4]));
    let file = moved_out(&mut proto);
    assert_eq!(listed(&proto).unwrap(), [DATA]);
    assert_eq!(
        with_files(&proto, &[(DATA, &file)]).unwrap().model_id(),
        want
    );
    // a constant may be one
    let mut constant = node("Constant", &[], &["w"]);
    constant.attribute.push(AttributeProto {
        sparse_tensor: Some(Box::new(linear())),
        ..attribute("sparse_value")
    });
    let found = read(&model(
        vec![constant, node("Add", &["x", "w"], &["y"])],
        vec![],
    ))
    .unwrap();
    let x = Tensor::f32([4], vec![0.5; 4]).unwrap();
    let found = run(&found, &[x]);
    assert_eq!(found[0].as_f32().unwrap()[..5], [0.5, 0.5, 1.5, 0.5, 2.5]);
}

#[test]
fn sparse_tensors_that_lie_are_refused() {
    let at = |dims: &[i64], places: &[i64]| Some(integers(dims, places));
    let two = |dims: &[i64], indices| sparse(dims, &[1.0, 2.0], indices);
    let mut none = sparse(&[4], &[], None);
    none.values = None;
    for (w, words) in [
        (two(&[4], None), "2 elements"),
        (two(&[4], at(&[2], &[0, 4])), "index [4] is outside"),
        (two(&[4], at(&[2], &[-1, 0])), "index [-1] is outside"),
        (two(&[4], at(&[2], &[i64::MIN, i64::MAX])), "is outside"),
        (
            two(&[2, 4], at(&[2, 2], &[0, 4, 1, 0])),
            "index [0, 4] is outside",
        ),
        (
            two(&[2, 4], at(&[2, 2], &[0, 0, 2, 0])),
            "index [2, 0] is outside",
        ),
        (two(&[2, 4], at(&[2, 2], &[0, -1, 1, 0])), "is outside"),
        (two(&[4], at(&[2], &[2, 1])), "does not come after"),
        (two(&[4], at(&[2], &[2, 2])), "does not come after"),
        (
            two(&[2, 4], at(&[2, 2], &[1, 0, 0, 3])),
            "does not come after",
        ),
        (
            two(&[2, 4], at(&[2, 2], &[1, 1, 1, 1])),
            "does not come after",
        ),
        (two(&[0], at(&[2], &[0, 1])), "is outside"),
        (two(&[4], at(&[3], &[0, 1, 2])), "2 elements"),
        (two(&[4], at(&[1], &[0])), "2 elements"),
        (two(&[4], at(&[2, 2], &[0, 0, 0, 1])), "2 elements"),
        (two(&[4], at(&[2, 1, 1], &[0, 1])), "2 elements"),
        (two(&[4], Some(floats("", &[0.0, 1.0]))), "int64"),
        (two(&[-4], at(&[2], &[0, 1])), "negative"),
        (two(&[1 << 40], at(&[2], &[0, 1])), "elements"),
        (two(&[1 << 30], at(&[2], &[0, 1])), "too large"),
        (none, "undefined"),
    ] {
        let refused = read(&adds(w)).unwrap_err().to_string();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let mut square = two(&[4], at(&[2], &[0, 1]));
    square.values.as_mut().unwrap().dims = vec![2, 1];
    let refused = read(&adds(square)).unwrap_err().to_string();
    assert!(refused.contains("one axis"), "{refused}");
    // many small ones take what one large one does
    let mut proto = adds(sparse(&[4], &[], None));
    let graph = proto.graph.as_mut().unwrap();
    for i in 0..20 {
        let mut large = sparse(&[1 << 22], &[], None);
        large.values.as_mut().unwrap().name = format!("w{i}");
        graph.sparse_initializer.push(large);
    }
    let refused = read(&proto).unwrap_err().to_string();
    assert!(refused.contains("too large"), "{refused}");
    let twice = adds(sparse(&[4], &[], None));
    let mut twice = twice;
    twice
        .graph
        .as_mut()
        .unwrap()
        .initializer
        .push(floats("w", &[0.0; 4]));
    assert!(read(&twice).unwrap_err().to_string().contains("used twice"));
}

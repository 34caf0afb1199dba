use super::*;

/// A file with this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), &vec![7; data]].concat()
}

fn parse(file: &[u8]) -> Result<Safetensors, ModelError> {
    Safetensors::parse(Bytes::copy_from_slice(file))
}

fn refusal(header: &str, data: usize) -> String {
    parse(&file(header, data)).unwrap_err().to_string()
}

const RIGHT: &str = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"e":{"dtype":"I64","shape":[0],"data_offsets":[20,20]}}  "#;

#[test]
fn tensors_are_slices_of_the_file() {
    let read = parse(&file(RIGHT, 20)).unwrap();
    let names: Vec<_> = read.tensors().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "e"]);
    let b = read.tensor("b").unwrap();
    assert_eq!((b.dtype, &b.dims[..]), ("BF16", &[2, 3][..]));
    assert_eq!(read.bytes(b), vec![7; 12]);
    assert!(parse(&file("{}", 0)).unwrap().tensors().next().is_none());
}

#[test]
fn headers_that_contradict_their_file_are_refused() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (dtype, shape, offsets, says) in [
        ("F32", "[2]", "[0,4]", "does not take the 4 bytes"),
        ("F32", "[4611686018427387904]", "[0,8]", "does not take"),
        ("F32", "[4294967296,4294967296]", "[0,8]", "does not take"),
        ("F32", "[2]", "[8,0]", "are no part of data of 8 bytes"),
        ("F32", "[2]", "[8,16]", "are no part of data of 8 bytes"),
        ("F32", "[2]", "[0,18446744073709551615]", "are no part"),
        ("F32", "[2]", "[-1,8]", "header: "),
        ("F32", "[2.0]", "[0,8]", "header: "),
        (
            "F32",
            "[1]",
            "[4,8]",
            "it starts at 4 of the data, the one before ends at 0",
        ),
        ("F32", "[1]", "[0,4]", "tensors end at 4, the data at 8"),
        ("F4", "[2]", "[0,8]", "\"F4\" is no type of tensor"),
        ("U8", "[1,1,1,1,1,1,1,1,8]", "[0,8]", "rank 9 is above 8"),
    ] {
        let text = refusal(&one(dtype, shape, offsets), 8);
        assert!(text.contains(says), "{text}");
    }
    let entry = r#""t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"#;
    assert!(refusal(&format!("{{{entry},{entry}}}"), 8).contains("t is there twice"));
    let overlap = entry.replace("\"t\"", "\"u\"");
    assert!(refusal(&format!("{{{entry},{overlap}}}"), 8).contains("it starts at 0"));
    let more = r#"{"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8],"path":"/etc"}}"#;
    assert!(refusal(more, 8).contains("unknown field"));
    let deep = format!(r#"{{"__metadata__":{}"#, "[".repeat(100_000));
    assert!(refusal(&deep, 0).contains("EOF while parsing"));
}

#[test]
fn lengths_of_headers_are_checked_against_the_file() {
    for length in [
        1,
        1 << 20,
        MAX_HEADER,
        MAX_HEADER + 1,
        u64::MAX,
        u64::MAX - 7,
    ] {
        let text = parse(&length.to_le_bytes()).unwrap_err().to_string();
        assert!(text.contains("and 0 are left"), "{text}");
    }
    let right = file(RIGHT, 20);
    for length in 0..right.len() {
        parse(&right[..length]).unwrap_err();
    }
}

#[test]
fn shards_are_plain_names_beside_their_index() {
    let index =
        |file: &str| format!(r#"{{"metadata":{{}},"weight_map":{{"a":"{file}","b":"{file}"}}}}"#);
    let name = "model-00001-of-00002.safetensors";
    assert_eq!(shards(index(name).as_bytes()).unwrap(), [name]);
    for bad in [
        "../model.safetensors",
        "/model.safetensors",
        "a/b.safetensors",
        "..\\\\b.safetensors",
        ".safetensors",
        "model.bin",
        "",
    ] {
        let text = shards(index(bad).as_bytes()).unwrap_err().to_string();
        assert!(text.contains("is no plain name of a file"), "{text}");
    }
    assert!(shards(b"[]").is_err());
}

proptest::proptest! {
    #[test]
    fn mutations_never_panic(edits in proptest::collection::vec((0usize..300, 0u8..=255), 1..10)) {
        let mut bytes = file(RIGHT, 20);
        for (at, byte) in edits {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        if let Ok(read) = parse(&bytes) {
            for (_, info) in read.tensors() {
                read.bytes(info);
            }
        }
    }
}

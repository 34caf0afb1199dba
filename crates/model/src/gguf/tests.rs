use super::build::{Builder, text};
use super::*;

fn parse(file: &[u8]) -> Result<Gguf, ModelError> {
    Gguf::parse(Bytes::copy_from_slice(file))
}

fn refusal(file: &[u8]) -> String {
    parse(file).unwrap_err().to_string()
}

fn small() -> Builder {
    Builder::default()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .f32("llama.epsilon", 1e-5)
        .key("flag", 7, &[1])
        .key("big", 10, &u64::MAX.to_le_bytes())
        .key("signed", 5, &(-3i32).to_le_bytes())
        .strings("tokenizer.ggml.tokens", &["a", "", "ü"])
        .array(
            "tokenizer.ggml.token_type",
            5,
            &[1i32, -1].map(|x| x.to_le_bytes().to_vec()),
        )
        .tensor("a", "F32", &[2, 3], &[1; 24])
        .tensor("b", "Q8_0", &[1, 64], &[2; 68])
}

#[test]
fn values_come_back_by_type_and_are_refused_by_key() {
    let file = parse(&small().build()).unwrap();
    assert_eq!(file.string("general.architecture").unwrap(), Some("llama"));
    assert_eq!(file.u32("llama.block_count").unwrap(), Some(2));
    assert_eq!(
        file.float("llama.epsilon").unwrap(),
        Some(f64::from(1e-5f32))
    );
    assert_eq!(file.bool("flag").unwrap(), Some(true));
    assert_eq!(file.number("flag").unwrap(), Some(1.0));
    assert_eq!(file.number("signed").unwrap(), Some(-3.0));
    assert_eq!(
        file.strings("tokenizer.ggml.tokens").unwrap(),
        Some(vec!["a", "", "ü"])
    );
    assert_eq!(
        file.i32s("tokenizer.ggml.token_type").unwrap(),
        Some(vec![1, -1])
    );
    assert_eq!(file.u32("absent").unwrap(), None);
    assert_eq!(
        file.u32("big").unwrap_err().to_string(),
        "configuration, big: expected an integer of 32 bits without sign, found u64"
    );
    assert_eq!(
        file.string("tokenizer.ggml.token_type")
            .unwrap_err()
            .to_string(),
        "configuration, tokenizer.ggml.token_type: expected a string of UTF-8, found an array of 2 i32"
    );
    assert_eq!(
        required("absent", None::<u32>).unwrap_err().to_string(),
        "configuration, absent: the key is missing"
    );
}

#[test]
fn tensors_are_slices_of_the_file() {
    let bytes = Bytes::from(small().build());
    let file = Gguf::parse(bytes.clone()).unwrap();
    let b = file.tensor("b").unwrap();
    assert_eq!((b.kind.name(), &b.dims[..]), ("Q8_0", &[1, 64][..]));
    let content = file.bytes(b);
    assert_eq!(content, vec![2; 68]);
    assert!(bytes.as_ptr_range().contains(&content.as_ptr()));
    let names: Vec<_> = file.tensors().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn kept_metadata_is_a_file_again_and_does_not_depend_on_the_order_of_keys() {
    let kept = |key: &str| key.starts_with("tokenizer.");
    let file = parse(&small().build()).unwrap();
    let metadata = file.metadata(kept);
    let again = parse(&metadata).unwrap();
    assert_eq!(again.keys().count(), 2);
    assert_eq!(again.metadata(|_| true), metadata);
    let reordered = Builder::default()
        .array(
            "tokenizer.ggml.token_type",
            5,
            &[1i32, -1].map(|x| x.to_le_bytes().to_vec()),
        )
        .strings("tokenizer.ggml.tokens", &["a", "", "ü"]);
    assert_eq!(parse(&reordered.build()).unwrap().metadata(kept), metadata);
}

#[test]
fn types_have_the_sizes_of_the_formats_that_are_supported() {
    for format in gavel_numerics::WeightFormat::ALL {
        let mut kinds = TensorKind::all()
            .iter()
            .filter(|k| k.format() == Some(format));
        let kind = kinds.next().unwrap();
        let block = [format.block_values(), format.block_bytes()].map(|n| n as u64);
        assert_eq!(kind.block(), block);
        assert!(kinds.next().is_none());
    }
}

// The classes of published vulnerabilities in readers of this format, each with numbers at its edge.

/// CVE-2024-21802 and its siblings: counts times sizes beyond everything, ranks and types that do not exist.
#[test]
fn counts_ranks_and_types_beyond_the_format_are_refused() {
    let head = |tensors: u64, keys: u64| {
        [
            b"GGUF".to_vec(),
            3u32.to_le_bytes().to_vec(),
            tensors.to_le_bytes().to_vec(),
            keys.to_le_bytes().to_vec(),
        ]
        .concat()
    };
    for n in [1, 2, u64::MAX, u64::MAX / 2 + 1, 1 << 32, i64::MAX as u64] {
        assert!(refusal(&head(n, 0)).contains("tensors: at most 65536, and 0 fit"));
        assert!(refusal(&head(0, n)).contains("keys: at most 65536, and 0 fit"));
    }
    for rank in [0, 5, u32::MAX] {
        let mut file = Builder::default()
            .raw_tensor("t", 0, &[1, 1, 1, 1], 0)
            .build();
        file[24 + 9..24 + 13].copy_from_slice(&rank.to_le_bytes());
        assert!(refusal(&file).contains("is outside 1 to 4"), "{rank}");
    }
    for kind in [4, 5, 31, 40, u32::MAX] {
        let file = Builder::default().raw_tensor("t", kind, &[32], 0).build();
        assert!(refusal(&file).ends_with("is no type of tensor"), "{kind}");
    }
    for kind in [13, u32::MAX] {
        let file = Builder::default().key("k", kind, &[0; 8]).build();
        assert!(refusal(&file).ends_with("is no type of a value"), "{kind}");
        let file = Builder::default().array("k", kind, &[]).build();
        assert!(refusal(&file).ends_with("is no type of a value"), "{kind}");
    }
}

/// CVE-2025-53630, CVE-2026-27940, CVE-2026-33298, candle PR#3713: products and sums that wrap.
#[test]
fn sizes_that_wrap_are_refused() {
    for dims in [
        vec![u64::MAX],
        vec![1 << 62],
        vec![1 << 32, 1 << 32],
        vec![1 << 16, 1 << 16, 1 << 16, 1 << 16],
        vec![u64::MAX / 4 + 1],
        vec![3, u64::MAX / 2],
        vec![0],
        vec![4, 0],
    ] {
        let file = Builder::default().raw_tensor("t", 0, &dims, 0).build();
        let text = refusal(&file);
        assert!(text.starts_with("tensor t: "), "{text}");
    }
    for offset in [
        u64::MAX,
        u64::MAX - 31,
        u64::MAX - 3,
        1 << 63,
        i64::MAX as u64 + 1,
    ] {
        let file = Builder::default().raw_tensor("t", 0, &[1], offset).build();
        let text = refusal(&file);
        assert!(text.starts_with("tensor t: "), "{text}");
    }
    // the sum of two sizes is small again
    let half = (1u64 << 63) - 32;
    let file = Builder::default()
        .raw_tensor("a", 24, &[half], 0)
        .raw_tensor("b", 24, &[half + 64], half)
        .build();
    assert!(refusal(&file).starts_with("tensor "));
}

/// CVE-2026-7482: bytes beyond the file's end; and tensors that share bytes.
#[test]
fn tensors_lie_in_the_file_and_not_in_each_other() {
    let right = Builder::default()
        .tensor("t", "F32", &[8], &[0; 32])
        .build();
    parse(&right).unwrap();
    assert!(refusal(&right[..right.len() - 1]).contains("lie beyond the file's end"));
    let longer = Builder::default().tensor("x", "F32", &[16], &[0; 64]);
    let at = |offset: u64| longer.clone().raw_tensor("y", 0, &[8], offset).build();
    assert!(refusal(&at(0)).contains("overlap"));
    assert!(refusal(&at(32)).contains("overlap"));
    assert!(refusal(&at(64)).contains("lie beyond"));
    assert!(refusal(&at(33)).contains("is no multiple of the alignment 32"));
    let twice = Builder::default()
        .tensor("t", "F32", &[8], &[0; 32])
        .tensor("t", "F32", &[8], &[0; 32]);
    assert_eq!(refusal(&twice.build()), "tensor t: the name is there twice");
}

/// llama.cpp PR#24759 and #26318, candle#3876: alignments that divide by zero, wrap, or are no number.
#[test]
fn alignment_is_a_power_of_two_of_the_right_type() {
    let with = |kind: u32, value: &[u8]| {
        Builder::default()
            .key("general.alignment", kind, value)
            .tensor("t", "F32", &[8], &[0; 32])
            .build()
    };
    parse(&with(4, &32u32.to_le_bytes())).unwrap();
    for value in [0, 3, 33, (1 << 20) + 1, 1 << 21, 1 << 30, 1 << 31, u32::MAX] {
        let text = refusal(&with(4, &value.to_le_bytes()));
        assert!(text.contains(&format!("found {value} as u32")), "{text}");
    }
    for (kind, value) in [
        (5, &32i32.to_le_bytes()[..]),
        (10, &32u64.to_le_bytes()),
        (6, &32f32.to_le_bytes()),
        (7, &[1]),
        (8, &text(b"32")),
    ] {
        assert!(refusal(&with(kind, value)).contains("general.alignment: expected a power of two"));
    }
    // data start beyond the end by padding alone
    let file = with(4, &(1u32 << 20).to_le_bytes());
    assert!(refusal(&file).contains("lie beyond the file's end"));
}

/// candle#3533, CVE-2025-66960: a small file that asks for a lot is refused at once.
#[test]
fn a_small_file_cannot_ask_for_a_lot() {
    for count in [1 << 32, u64::MAX, u64::MAX / 8 + 1, 1 << 20] {
        for kind in [0u32, 4, 6, 7, 8, 9, 10] {
            let content = [&kind.to_le_bytes()[..], &count.to_le_bytes(), &[0; 16]].concat();
            let file = Builder::default().key("k", 9, &content).build();
            assert!(refusal(&file).contains("fit into the rest of the file"));
        }
        let file = Builder::default().key("k", 8, &count.to_le_bytes()).build();
        assert!(refusal(&file).contains("are left"));
        let mut file = Builder::default().u32("k", 1).build();
        file[24..32].copy_from_slice(&count.to_le_bytes());
        assert!(refusal(&file).contains("are left"));
    }
}

/// Recursion: arrays of arrays without end.
#[test]
fn arrays_are_nested_a_little_only() {
    let nested = |depth: usize| {
        let header = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
        let inner = [&4u32.to_le_bytes()[..], &0u64.to_le_bytes()].concat();
        let content = [header.repeat(depth), inner].concat();
        Builder::default().key("k", 9, &content).build()
    };
    parse(&nested(3)).unwrap();
    assert!(refusal(&nested(4)).contains("nested more than 4 deep"));
    assert!(refusal(&nested(100_000)).contains("nested more than 4 deep"));
}

/// CVE-2025-49847 and gguf-parser-go#20: lengths of strings.
#[test]
fn names_and_keys_are_text_of_bounded_length() {
    let long = "k".repeat(65_536);
    assert!(refusal(&Builder::default().u32(&long, 1).build()).contains("a key is UTF-8"));
    assert!(refusal(&Builder::default().u32("", 1).build()).contains("a key is UTF-8"));
    let name = "n".repeat(65);
    for name in ["", &name] {
        let file = Builder::default().tensor(name, "F32", &[1], &[0; 4]);
        assert!(refusal(&file.build()).contains("the name of a tensor is UTF-8"));
    }
    let mut file = Builder::default().u32("kk", 1).build();
    file[32] = 0xff;
    assert!(refusal(&file).contains("a key is UTF-8"));
    assert_eq!(
        refusal(&Builder::default().u32("k", 1).u32("k", 1).build()),
        "configuration, k: the key is there twice"
    );
    // texts of values may be anything until they are asked for
    let file = parse(&Builder::default().key("k", 8, &text(&[0xff])).build()).unwrap();
    assert!(file.string("k").is_err());
}

#[test]
fn other_files_and_versions_are_named() {
    let mut file = small().build();
    assert!(refusal(b"GGML").contains("no magic"));
    assert!(refusal(b"").contains("0 are left"));
    for (version, says) in [
        (1u32, "GGUF version 1 is outside 2 to 3"),
        (4, "GGUF version 4"),
        (3u32.swap_bytes(), "big-endian"),
        (0, "GGUF version 0"),
    ] {
        file[4..8].copy_from_slice(&version.to_le_bytes());
        assert!(refusal(&file).contains(says), "{version}");
    }
    file[4..8].copy_from_slice(&2u32.to_le_bytes());
    parse(&file).unwrap();
    for value in [2, 255] {
        let file = Builder::default().key("k", 7, &[value]).build();
        assert!(refusal(&file).contains("a bool is 0 or 1"));
        let file = Builder::default().array("k", 7, &[vec![value]]).build();
        assert!(refusal(&file).contains("a bool is 0 or 1"));
    }
}

/// mlx#4213 and #4256: a file cut anywhere.
#[test]
fn every_truncation_is_refused_and_no_flipped_bit_panics() {
    let file = small().build();
    parse(&file).unwrap();
    let last = parse(&file).unwrap().tensors["b"].at.end as usize;
    for length in 0..last {
        refusal(&file[..length]);
    }
    let mut flipped = file.clone();
    for i in 0..file.len() {
        for bit in 0..8 {
            flipped[i] ^= 1 << bit;
            if let Ok(read) = parse(&flipped) {
                touch(&read);
            }
            flipped[i] = file[i];
        }
    }
}

/// Everything that can be asked of a file.
fn touch(file: &Gguf) {
    for key in file.keys() {
        let _ = file.number(key);
        let _ = file.string(key);
        let _ = file.strings(key);
        let _ = file.i32s(key);
        let _ = file.f32s(key);
    }
    for (_, info) in file.tensors() {
        assert!(!file.bytes(info).is_empty());
    }
    let metadata = file.metadata(|_| true);
    assert_eq!(parse(&metadata).unwrap().metadata(|_| true), metadata);
}

proptest::proptest! {
    #[test]
    fn mutations_never_panic(edits in proptest::collection::vec((0usize..600, 0u8..=255), 1..12)) {
        let mut file = small().build();
        for (at, byte) in edits {
            let length = file.len();
            file[at % length] = byte;
        }
        if let Ok(read) = parse(&file) {
            touch(&read);
        }
    }

    #[test]
    fn splices_never_panic(from in 0usize..600, to in 0usize..600, length in 0usize..64) {
        let mut file = small().build();
        let (from, to) = (from % file.len(), to % file.len());
        let part = file[from..(from + length).min(file.len())].to_vec();
        file.splice(to..to, part);
        if let Ok(read) = parse(&file) {
            touch(&read);
        }
    }
}

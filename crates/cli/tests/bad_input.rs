//! Whatever file the user names: a clear error or a clean success, never a panic, a signal or memory
//! beyond what the file justifies.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{field, gavel_in, initializer, ints, node, npy, number, onnx, root, text};

/// Runs the binary and checks that it ended properly; gives its exit status and standard error.
fn ends_well(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = gavel_in(dir, args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // no status means a signal: abort, out of memory, stack overflow
    let status = output
        .status
        .code()
        .unwrap_or_else(|| panic!("{args:?}: {} {stderr}", output.status));
    assert!(
        (0..=2).contains(&status),
        "{args:?}: status {status}, {stderr}"
    );
    assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    if status != 0 {
        assert!(stderr.starts_with("error: "), "{args:?}: {stderr:?}");
        assert!(
            output.stdout.is_empty(),
            "{args:?}: {:?}",
            text(&output.stdout)
        );
    }
    (status, stderr)
}

/// The command fails with status 1 and says all of `words`.
fn refused(dir: &Path, args: &[&str], words: &[&str]) {
    let (status, stderr) = ends_well(dir, args);
    assert_eq!(status, 1, "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?}: {word:?} is not in {stderr:?}"
        );
    }
}

fn shipped(path: &str) -> Vec<u8> {
    std::fs::read(root().join("models").join(path)).unwrap()
}

/// Prefixes of a file, `count` of them, and as many copies with one bit flipped.
fn damaged(file: &[u8], count: usize) -> Vec<Vec<u8>> {
    let cuts = (0..count).map(|i| file[..i * file.len() / count].to_vec());
    let flips = (0..count).map(|i| {
        let mut copy = file.to_vec();
        copy[i * file.len() / count] ^= 1 << (i % 8);
        copy
    });
    cuts.chain(flips).collect()
}

#[test]
fn truncated_and_flipped_models_end_well() {
    let dir = tempfile::tempdir().unwrap();
    let picture = root().join("models/images/digit-3-a.png");
    for file in damaged(&shipped("digits-mlp.onnx"), 16) {
        std::fs::write(dir.path().join("m.onnx"), &file).unwrap();
        ends_well(dir.path(), &["run", "m.onnx", picture.to_str().unwrap()]);
    }
    std::fs::write(
        dir.path().join("m.onnx"),
        &shipped("digits-mlp.onnx")[..4000],
    )
    .unwrap();
    refused(
        dir.path(),
        &["model", "id", "m.onnx"],
        &["expected an ONNX file"],
    );
}

#[test]
fn truncated_and_flipped_pictures_end_well() {
    let dir = tempfile::tempdir().unwrap();
    let png = shipped("images/digit-3-a.png");
    for file in damaged(&png, 16) {
        std::fs::write(dir.path().join("p.png"), &file).unwrap();
        ends_well(dir.path(), &["run", "digits-mlp", "p.png"]);
    }
    std::fs::write(dir.path().join("p.png"), &png[..png.len() / 2]).unwrap();
    let expected = "expected a PNG, .npy or .npz file for \"image\" F32[1x1x8x8]";
    refused(dir.path(), &["run", "digits-mlp", "p.png"], &[expected]);
}

#[test]
fn models_that_declare_too_much_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let relu = || node("Relu", &["x"], "y", &[]);
    let cases: [(&str, Vec<u8>, &[&str]); 7] = [
        (
            "an initializer of a tebibyte",
            onnx(
                &[4],
                &[4],
                &[node("Add", &["x", "w"], "y", &[])],
                &[initializer("w", &[1 << 38], &[0; 16])],
            ),
            &["tensor w"],
        ),
        (
            "an initializer that is cut",
            onnx(
                &[4],
                &[4],
                &[node("Add", &["x", "w"], "y", &[])],
                &[initializer("w", &[4], &[0; 12])],
            ),
            &["tensor w", "takes 16 bytes, the file has 12"],
        ),
        (
            "an input of 2^60 values",
            onnx(&[1 << 30, 1 << 30], &[4], &[relu()], &[]),
            &["input x"],
        ),
        (
            "an input of 16 GiB",
            onnx(&[1, 1, 1 << 16, 1 << 16], &[4], &[relu()], &[]),
            &["bytes", "--max-memory"],
        ),
        (
            "padding that makes gigabytes of nothing",
            onnx(
                &[1, 1, 8, 8],
                &[4],
                &[node(
                    "MaxPool",
                    &["x"],
                    "y",
                    &[
                        ints("kernel_shape", &[60001, 60001]),
                        ints("pads", &[60000, 60000, 60000, 60000]),
                    ],
                )],
                &[],
            ),
            &["would hold", "bound"],
        ),
        (
            "a million empty nodes",
            field(7, &field(1, &[]).repeat(1_000_000)),
            &["would unpack to"],
        ),
        ("no graph", field(8, &[16, 17]), &["no graph"]),
    ];
    let picture = root().join("models/images/digit-3-a.png");
    for (name, file, words) in cases {
        let model = format!("{name}.onnx");
        std::fs::write(dir.path().join(&model), file).unwrap();
        refused(
            dir.path(),
            &["run", &model, picture.to_str().unwrap()],
            words,
        );
    }
}

#[test]
fn tensors_in_other_files_are_read_from_the_folder_of_the_model_alone() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("model");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(dir.path().join("secret"), [0; 16]).unwrap();
    std::fs::write(here.join("data"), [0; 16]).unwrap();
    let add = || [node("Add", &["x", "w"], "y", &[])];
    let model = |location: &str| {
        let place = [field(1, b"location"), field(2, location.as_bytes())].concat();
        let tensor = [number(1, 4), number(2, 1), field(8, b"w")].concat();
        let tensor = [tensor, field(13, &place), number(14, 1)].concat();
        std::fs::write(here.join("m.onnx"), onnx(&[4], &[4], &add(), &[tensor])).unwrap();
    };
    let id = || text(&gavel_in(&here, &["model", "id", "m.onnx"]).stdout);
    std::fs::write(
        here.join("m.onnx"),
        onnx(&[4], &[4], &add(), &[initializer("w", &[4], &[0; 16])]),
    )
    .unwrap();
    let inside = id();
    model("data");
    assert!(inside.starts_with("0x") && id() == inside);
    let args = ["model", "id", "m.onnx"];
    for (location, words) in [
        (
            "none",
            &["none: there is no such file", "in the folder of the model"][..],
        ),
        ("../secret", &["tensor w", "\"../secret\""]),
        ("/etc/passwd", &["tensor w", "\"/etc/passwd\""]),
    ] {
        model(location);
        refused(&here, &args, words);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret", here.join("link")).unwrap();
        model("link");
        refused(&here, &args, &["leads out of the folder"]);
    }
}

#[test]
fn a_model_whose_run_takes_gigabytes_is_refused_before_anybody_serves_it() {
    let dir = tempfile::tempdir().unwrap();
    let conv = node("Conv", &["x", "w"], "y", &[ints("pads", &[20_000; 4])]);
    let weight = initializer("w", &[1, 1, 1, 1], &[0; 4]);
    let file = onnx(&[1, 1, 8, 8], &[4], &[conv], &[weight]);
    std::fs::write(dir.path().join("big.onnx"), file).unwrap();
    let picture = root().join("models/images/digit-3-a.png");
    let picture = picture.to_str().unwrap();
    let words = ["big.onnx", "would hold 6402560512 bytes", "1073741824"];
    for args in [
        &["run", "big.onnx", picture][..],
        &["bench", "isolate", "--model", "big.onnx"],
        &["demo", "--model", "big.onnx"],
        &["demo", "--model", "big.onnx", "--image", picture],
        &[
            "demo",
            "--model",
            "big.onnx",
            "--image",
            picture,
            "--fault",
            "smaller-model",
        ],
        &["model", "register", "big.onnx", "--key", "absent"],
    ] {
        refused(dir.path(), args, &words);
    }
    let args = ["demo", "--model", "big.onnx", "--image", picture, "--json"];
    let output = gavel_in(dir.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    let said: serde_json::Value = [&output.stdout, &output.stderr]
        .iter()
        .find_map(|stream| serde_json::from_slice(stream).ok())
        .unwrap();
    let what = said["error"]["what"].as_str().unwrap();
    assert!(words.iter().all(|word| what.contains(word)), "{what}");
}

#[test]
fn unknown_operators_and_broken_graphs_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let model = |nodes: &[Vec<u8>]| onnx(&[1, 4], &[1, 4], nodes, &[]);
    let gemm = node("Gemm", &["x", "w"], "y", &[]);
    let cases: [(Vec<u8>, &[&str]); 5] = [
        (
            model(&[node("Frobnicate", &["x"], "y", &[])]),
            &["operator Frobnicate is not supported", "Conv", "hint:"],
        ),
        (
            model(&[node("Relu", &["nowhere"], "y", &[])]),
            &["Relu", "nowhere is not produced before it"],
        ),
        (
            model(&[node("Relu", &["x"], "z", &[])]),
            &["output y: nothing produces it"],
        ),
        (
            model(&[node("Relu", &["x", "x"], "y", &[])]),
            &["takes 1 inputs, found 2"],
        ),
        (
            onnx(
                &[1, 4],
                &[1, 4],
                &[gemm],
                &[initializer("w", &[3, 1], &[0; 12])],
            ),
            &["node"],
        ),
    ];
    for (file, words) in cases {
        std::fs::write(dir.path().join("m.onnx"), file).unwrap();
        refused(dir.path(), &["model", "inspect", "m.onnx"], words);
    }
}

#[test]
fn arrays_of_other_types_shapes_and_sizes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
    };
    let cases: [(Vec<u8>, &[&str]); 6] = [
        (
            npy(&header("<f4", "(1, 64)"), &[0; 256]),
            &["expected F32[1x1x8x8], found F32[1x64]"],
        ),
        (
            npy(&header("<i4", "(1, 1, 8, 8)"), &[0; 256]),
            &["expected F32[1x1x8x8], found I32[1x1x8x8]"],
        ),
        (
            npy(&header("<c8", "(1, 1, 8, 8)"), &[0; 512]),
            &["<c8", "<f4"],
        ),
        (
            npy(&header("<f4", "(1, 1, 8, 8)"), &[0; 255]),
            &["takes 256 bytes, the file has 255"],
        ),
        (
            npy(&header("<f4", "(99999999, 99999999, 99999999)"), &[]),
            &["99999999"],
        ),
        (npy(&"[".repeat(60_000), &[]), &["above the limit"]),
    ];
    for (file, words) in cases {
        std::fs::write(dir.path().join("x.npy"), file).unwrap();
        refused(dir.path(), &["run", "digits-mlp", "x.npy"], words);
    }
}

#[test]
fn archives_that_unpack_to_more_than_the_model_wants_are_refused() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, content: &[u8]| {
        let file = std::fs::File::create(dir.path().join("x.npz")).unwrap();
        let mut writer = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(name, options).unwrap();
        for part in content.chunks(1 << 20) {
            writer.write_all(part).unwrap();
        }
        writer.finish().unwrap();
    };
    archive("image.npy", &vec![0; 16 << 20]);
    let size = std::fs::metadata(dir.path().join("x.npz")).unwrap().len();
    assert!(size < 1 << 16, "{size}");
    refused(
        dir.path(),
        &["run", "digits-mlp", "x.npz"],
        &["array \"image\"", "more than"],
    );
    archive("picture.npy", &[0; 16]);
    refused(
        dir.path(),
        &["run", "digits-mlp", "x.npz"],
        &["array \"picture\"", "\"image\" F32[1x1x8x8]"],
    );
    archive("../../image.npy", &[0; 16]);
    refused(dir.path(), &["run", "digits-mlp", "x.npz"], &["image"]);
}

#[test]
fn what_is_no_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), []).unwrap();
    let model = "or the name of a shipped model (digits, digits-small, digits-mlp, diffusion, llm)";
    let input = "expected a PNG, .npy or .npz file";
    refused(
        dir.path(),
        &["model", "id", "."],
        &["is a directory", model],
    );
    refused(
        dir.path(),
        &["model", "id", "absent.onnx"],
        &["absent.onnx: there is no such file", model],
    );
    refused(
        dir.path(),
        &["model", "id", "/dev/zero"],
        &["not a regular file", model],
    );
    refused(
        dir.path(),
        &["model", "id", "empty"],
        &["empty: the file holds no graph"],
    );
    refused(dir.path(), &["model", "id", ""], &["there is no such file"]);
    refused(
        dir.path(),
        &["run", "digits", "."],
        &["is a directory", input],
    );
    refused(
        dir.path(),
        &["run", "digits", "empty"],
        &["neither PNG nor NumPy array", input],
    );
    refused(
        dir.path(),
        &["run", "digits", "/dev/zero"],
        &["not a regular file", input],
    );
    let picture = root().join("models/images/digit-3-a.png");
    let picture = picture.to_str().unwrap();
    refused(
        dir.path(),
        &["run", "digits", picture, "--output", "."],
        &["directory"],
    );
    refused(
        dir.path(),
        &["run", "digits", picture, "--output", "no/such/dir.npy"],
        &["no/such/dir.npy"],
    );
}

#[test]
fn absurd_numbers_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["run", "digits", "x.png", "--threads", "0"][..],
        &["run", "digits", "x.png", "--threads", "99999999999"],
        &["run", "digits", "x.png", "--max-memory", "-1"],
        &["bench", "trace", "--runs", "0"],
        &["run", "digits"],
        &["frobnicate"],
        &[],
    ] {
        let output = gavel_in(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}

//! What the commands print, for people and for programs.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gavel, gavel_in, json, root, text};

const PICTURE: &str = "models/images/digit-3-a.png";

#[test]
fn a_run_says_the_digit_and_commits() {
    let output = gavel(&["run", "digits", PICTURE]);
    let stdout = text(&output.stdout);
    assert!(output.status.success());
    assert!(stdout.starts_with("3  9"), "{stdout}");
    for word in ["trace_root", "output_digest", "model_id", "next:"] {
        assert!(stdout.contains(word), "{stdout}");
    }
    assert!(stdout.lines().all(|l| l.chars().count() <= 120), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours outside a terminal");

    let object = json(&["run", "digits", PICTURE]);
    assert_eq!(object["prediction"], 3);
    assert_eq!(object["label"], "3");
    assert_eq!(object["scores"].as_array().unwrap().len(), 10);
    assert_eq!(object["steps"], 1);
    assert_eq!(object["threads"], 1);
    assert!(object["time_ms"].as_f64().unwrap() > 0.0);
    assert!(object["hashing_share"].as_f64().unwrap() >= 0.0);
    for key in ["model_id", "trace_root", "output_digest"] {
        let digest = object[key].as_str().unwrap();
        assert!(digest.len() == 66 && stdout.contains(digest), "{key}");
    }
}

#[test]
fn threads_instructions_and_the_form_of_the_input_change_no_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    // the picture's tensor, as NumPy would save it
    let png = std::fs::read(root().join(PICTURE)).unwrap();
    let model = gavel_model::shipped::load("digits").unwrap();
    let tensor = gavel_model::preprocess::png_to_input(&model, &png).unwrap();
    let npy = gavel_model::npy::write_npy(&tensor);
    std::fs::write(path("x.npy"), &npy).unwrap();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(path("x.npz")).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("image.npy", stored).unwrap();
    std::io::Write::write_all(&mut writer, &npy).unwrap();
    writer.finish().unwrap();

    let first = json(&["run", "digits", PICTURE]);
    for args in [
        &["run", "digits", PICTURE, "--threads", "2"][..],
        &["run", "models/digits.onnx", PICTURE],
        &["run", "digits", &path("x.npy")],
        &["run", "digits", &path("x.npz")],
    ] {
        let other = json(args);
        for key in [
            "model_id",
            "trace_root",
            "output_digest",
            "input_digest",
            "scores",
        ] {
            assert_eq!(first[key], other[key], "{args:?} {key}");
        }
    }
    let scalar = std::process::Command::new(env!("CARGO_BIN_EXE_gavel"))
        .args(["run", "digits", PICTURE, "--json"])
        .current_dir(root())
        .env("GAVEL_ISA", "scalar")
        .output()
        .unwrap();
    let scalar: serde_json::Value = serde_json::from_slice(&scalar.stdout).unwrap();
    assert_eq!(scalar["isa"], "scalar");
    assert_eq!(scalar["trace_root"], first["trace_root"]);
}

#[test]
fn the_first_output_is_written_as_an_array() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.npy");
    let object = json(&["run", "digits", PICTURE, "--output", file.to_str().unwrap()]);
    let tensor = gavel_model::npy::read_npy(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(tensor.dims(), [1, 10]);
    let scores: Vec<f64> = tensor.as_f32().unwrap().iter().map(|&s| s.into()).collect();
    let printed: Vec<f64> = object["scores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_f64().unwrap())
        .collect();
    assert_eq!(scores.len(), printed.len());
    for (a, b) in scores.iter().zip(printed) {
        assert_eq!(*a as f32, b as f32);
    }
}

#[test]
fn a_model_is_shown_by_operators_commit_points_and_identity() {
    let id = text(&gavel(&["model", "id", "digits"]).stdout);
    let object = json(&["model", "inspect", "digits"]);
    assert_eq!(object["model_id"], id.trim());
    assert_eq!(
        json(&["model", "id", "models/digits.onnx"])["model_id"],
        id.trim()
    );
    let nodes = object["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 18);
    assert_eq!(nodes[0]["operator"], "Conv");
    assert_eq!(nodes[17]["operator"], "ArgMax");
    let work: u64 = nodes.iter().map(|n| n["work"].as_u64().unwrap()).sum();
    assert_eq!(object["work"], work);
    let operators: u64 = object["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["operators"].as_u64().unwrap())
        .sum();
    assert_eq!(operators, 18);
    let shown = text(&gavel(&["model", "inspect", "digits"]).stdout);
    for word in [
        "Operators",
        "Commit points",
        "Weights",
        "Assets",
        "BatchNormalization",
        id.trim(),
    ] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn a_family_is_shown_by_its_dimensions_and_bindings() {
    const FILE: &str = "crates/model/tests/fixtures/open-encoder.onnx";
    let family = format!("{FILE}@seq=8..32/8,batch=1..2");
    let id = text(&gavel(&["model", "id", &family]).stdout);
    let object = json(&["model", "inspect", &family]);
    assert_eq!(object["family_id"], id.trim());
    let dimensions: Vec<&str> = (object["dimensions"].as_array().unwrap().iter())
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(dimensions, ["batch", "seq"]);
    let bindings = object["bindings"].as_array().unwrap();
    assert_eq!(bindings.len(), 8);
    assert_eq!(
        bindings[7]["extents"],
        serde_json::json!({"batch": 2, "seq": 32})
    );
    let shown = text(&gavel(&["model", "inspect", &family]).stdout);
    for word in [
        id.trim(),
        "batch=1..2,seq=8..32/8",
        "batch=1,seq=8",
        "I64[2x32]",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let refused = |args: &[&str]| text(&gavel(args).stderr);
    for (domain, words) in [
        ("seq=1..33", "with seq=33: node"),
        ("seq=9..8", "found 9..8"),
        ("seq=1..9000", "9000 bindings, a family has at most 4096"),
        ("words=1..2", "bind it by name"),
    ] {
        let said = refused(&["model", "id", &format!("{FILE}@{domain}")]);
        assert!(said.contains(words), "{said}");
    }
    let one = refused(&["bench", "onnx", &family]);
    assert!(one.contains(&format!("{FILE}@batch=2,seq=32")), "{one}");
}

#[test]
fn the_cost_of_the_trace_is_measured() {
    let object = json(&["bench", "trace", "--runs", "3", "--model", "digits-mlp"]);
    assert_eq!(object["runs"], 3);
    for key in [
        "hashing_share",
        "compute_ms",
        "hashing_bytes_per_second",
        "committed_bytes",
    ] {
        assert!(object[key].as_f64().unwrap() > 0.0, "{key}");
    }
}

#[test]
fn where_the_time_of_a_run_goes_is_measured() {
    let object = json(&["bench", "onnx", "digits", "--runs", "3"]);
    assert_eq!(object["run_ms"].as_array().unwrap().len(), 3);
    let profile = object["profile"].as_array().unwrap();
    let sum = |key: &str| -> f64 { profile.iter().map(|kind| kind[key].as_f64().unwrap()).sum() };
    assert!((sum("share") - 1.0).abs() < 1e-6);
    assert!(sum("operations") > 0.0 && sum("bytes") > 0.0);
    for key in ["fma_per_second", "read_bytes_per_second"] {
        assert!(object[key].as_f64().unwrap() > 0.0, "{key}");
    }
}

#[test]
fn every_fault_of_one_ulp_is_isolated_to_its_operator() {
    for model in ["digits", "digits-mlp"] {
        let object = json(&[
            "bench", "isolate", "--faults", "8", "--seed", "3", "--model", model,
        ]);
        assert_eq!(object["faults"], 8);
        assert_eq!(object["isolated"], 8);
        assert!(object["rounds"]["max"].as_u64().unwrap() <= 4);
        assert_eq!(object["level"]["leaves"], 4096);
        assert_eq!(object["level"]["rounds"], 3);
    }
}

#[test]
fn errors_are_objects_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let output = gavel_in(dir.path(), &["model", "id", "absent", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["error"]["what"], "absent: there is no such file");
    assert!(
        object["error"]["expected"]
            .as_str()
            .unwrap()
            .contains("ONNX")
    );
    let output = gavel_in(dir.path(), &["model", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["error"]["exit"], 2);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let status = std::process::Command::new("sh")
        .args(["-c", "\"$0\" model inspect digits | true; \"$0\" model inspect digits --json | head -c 1 >/dev/null"])
        .arg(env!("CARGO_BIN_EXE_gavel"))
        .output()
        .unwrap();
    assert!(status.stderr.is_empty(), "{}", text(&status.stderr));
}

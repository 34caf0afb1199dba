//! Pictures from words: alone, from a market with a cheat in it, and the embeddings of an encoder.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gavel, gavel_in, json, node, npy, onnx, root, text};
use serde_json::Value;

const WORDS: &[&str] = &["a", "red", "circle", "on", "blue"];

fn draw(dir: &std::path::Path, args: &[&str]) -> Value {
    let output = gavel_in(dir, &[&["generate-image", "--json"], args].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn words_and_a_seed_give_one_picture_on_any_machine() {
    let dir = tempfile::tempdir().unwrap();
    let object = draw(dir.path(), &[WORDS, &["--seed", "7"]].concat());
    assert_eq!(object["prompt"], "red circle on blue");
    assert_eq!(object["steps"], 16);
    let written = std::fs::read(dir.path().join("picture.png")).unwrap();
    let golden = std::fs::read(root().join("models/images/shapes-red-circle.png")).unwrap();
    assert!(
        written == golden,
        "another picture than the one that is kept"
    );
    let roots = include_str!("../../../spec/vectors/numerics/trace_roots.json");
    assert!(roots.contains(object["trace_root"].as_str().unwrap()));
    // more threads, the words in another order and in one argument
    let other = [
        "On a BLUE background: red circle!",
        "--seed",
        "7",
        "--output",
        "other.png",
    ];
    let again = draw(dir.path(), &[&other[..], &["--threads", "2"]].concat());
    assert_eq!(again["trace_root"], object["trace_root"]);
    assert!(std::fs::read(dir.path().join("other.png")).unwrap() == golden);
    let other = draw(dir.path(), &[WORDS, &["--seed", "8"]].concat());
    assert_ne!(other["picture_digest"], object["picture_digest"]);
    // nothing said is something too
    assert_eq!(draw(dir.path(), &["--threads", "2"])["prompt"], "");
}

#[test]
fn words_that_are_not_known_are_refused_with_those_that_are() {
    let refused = |args: &[&str], status: i32, words: &[&str]| {
        let output = gavel(&[&["generate-image"], args].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    };
    refused(
        &["a red octagon"],
        2,
        &[
            "\"octagon\" is no word",
            "shape: circle, square",
            "background: on red",
        ],
    );
    refused(
        &["red blue star"],
        2,
        &["\"red\" and \"blue\" are both a colour"],
    );
    refused(&["7", "--model", "digits"], 2, &["digits draws nothing"]);
    refused(
        &["7", "--model", "llm"],
        1,
        &["llm is a language model", "gavel generate llm"],
    );
    refused(&["star", "--output", "no/where.png"], 1, &["no/where.png"]);
}

#[test]
fn a_market_delivers_the_picture_and_whoever_leaves_steps_out_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let demo = ["demo", "--model", "diffusion", "--seed", "7", "--json"];
    let prompt = ["--prompt", "a red circle on blue"];
    let output = gavel_in(dir.path(), &[&demo[..], &prompt].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["conserved"], true);
    assert_eq!(object["facts"]["wrong_committed"], 1);
    for zero in ["honest_slashed", "wrong_settled", "honest_poorer"] {
        assert_eq!(object["facts"][zero], 0, "{zero}");
    }
    let dispute = &object["disputes"][0];
    assert_eq!(dispute["verdict"], "guilty");
    assert_eq!(dispute["isolated"]["operator"], "Conv");
    assert!(
        dispute["isolated"]["name"]
            .as_str()
            .unwrap()
            .contains("stem")
    );
    assert!(dispute["isolated"]["step"].as_u64().unwrap() > 0);
    assert_eq!(object["tasks"][0]["state"], "settled");
    let written = std::fs::read(dir.path().join("gavel-picture-1.png")).unwrap();
    let golden = std::fs::read(root().join("models/images/shapes-red-circle.png")).unwrap();
    assert!(
        written == golden,
        "the market gives what everybody gets alone"
    );
}

#[test]
fn lies_about_pictures_need_a_model_that_draws() {
    for (args, part) in [
        (
            &["demo", "--fault", "skipped-steps"][..],
            "is of models that draw",
        ),
        (
            &["demo", "--model", "diffusion", "--fault", "smaller-model"],
            "no smaller model that draws",
        ),
        (
            &["demo", "--model", "diffusion", "--fault", "changed-token"],
            "is of language models",
        ),
        (
            &["demo", "--model", "diffusion", "--prompt", "a fox"],
            "\"fox\" is no word",
        ),
    ] {
        let output = gavel(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).contains(part),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_embeddings_of_an_encoder_are_shown_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let fixtures = root().join("crates/model/tests/fixtures");
    let file = |name: &str| fixtures.join(name).to_str().unwrap().to_owned();
    let (model, inputs) = (file("tiny-bert.onnx"), file("tiny-bert-inputs.npz"));
    let run = ["run", &model, &inputs, "--output", "all.npz"];
    let output = gavel_in(dir.path(), &run);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        shown.contains("last_hidden_state F32[1x12x24] = "),
        "{shown}"
    );
    assert!(shown.contains("pooler_output F32[1x24] = "), "{shown}");
    assert!(std::fs::read(dir.path().join("all.npz")).unwrap().len() > 1200);
    let object = json(&run[..3]);
    assert!(object["prediction"].is_null(), "{object}");
    assert_eq!(object["outputs"][1]["shape"], serde_json::json!([1, 24]));
}

#[test]
fn random_operators_draw_by_the_seed_that_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let normal = node("RandomNormalLike", &["x"], "y", &[]);
    let model = onnx(&[2, 3], &[2, 3], &[normal], &[]);
    std::fs::write(dir.path().join("normal.onnx"), model).unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
    std::fs::write(dir.path().join("x.npy"), npy(header, &[0; 24])).unwrap();
    let run = |more: &[&str]| {
        let args = [&["run", "normal.onnx", "x.npy", "--json"], more].concat();
        let output = gavel_in(dir.path(), &args);
        match output.status.success() {
            true => Ok(serde_json::from_slice::<Value>(&output.stdout).unwrap()),
            false => Err(text(&output.stderr)),
        }
    };
    let digest = |seed: &str| run(&["--seed", seed]).unwrap()["output_digest"].clone();
    assert_eq!(digest("5"), digest("5"));
    assert_ne!(digest("5"), digest("6"));
    let wrong = run(&[]).unwrap_err();
    assert!(wrong.contains("\"seed\" I64[1]"), "{wrong}");
}

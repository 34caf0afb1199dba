//! Answers of the shipped language model: told as they come, saved, verified, refused.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{gavel, gavel_in, json, root, text};
use serde_json::{Value, json};

const PROMPT: &str = "Once upon a time";

/// Runs `gavel` with something on standard input.
fn gavel_on(input: &str, args: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gavel"))
        .args(args)
        .current_dir(root())
        .env_remove("GAVEL_ISA")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// The objects that a successful command prints, one a line.
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

/// The last object of a generation.
fn done(more: &[&str]) -> Value {
    let args = [
        &[
            "generate",
            "llm",
            "--prompt",
            PROMPT,
            "--json",
            "--max-tokens",
            "24",
        ][..],
        more,
    ];
    let all = lines(&gavel(&args.concat()));
    let (last, tokens) = all.split_last().unwrap();
    assert_eq!(last["event"], "done");
    let told: Vec<&Value> = tokens.iter().map(|t| &t["token"]).collect();
    assert_eq!(
        told,
        last["output_tokens"]
            .as_array()
            .unwrap()
            .iter()
            .collect::<Vec<_>>()
    );
    let spoken: String = tokens.iter().filter_map(|t| t["text"].as_str()).collect();
    assert!(last["text"].as_str().unwrap().starts_with(&spoken));
    last.clone()
}

#[test]
fn an_answer_follows_from_the_seed_and_from_nothing_else() {
    let first = done(&["--raw"]);
    assert_eq!(first["generation"], 1);
    assert_eq!(first["output_tokens"].as_array().unwrap().len(), 24);
    assert_eq!(first["stop"], "max_tokens");
    // as many steps as tokens but the last
    assert_eq!(
        first["steps"],
        first["prompt_tokens"].as_array().unwrap().len() + 23
    );
    for more in [
        &["--raw", "--threads", "1"][..],
        &["--raw", "--threads", "3", "--seed", "0"],
    ] {
        let other = done(more);
        for key in [
            "output_tokens",
            "text",
            "trace_root",
            "input_digest",
            "model_id",
        ] {
            assert_eq!(first[key], other[key], "{more:?} {key}");
        }
    }
    assert_ne!(first["text"], done(&["--raw", "--seed", "1"])["text"]);
    // a question is another prompt than a text to go on with
    let answer = done(&[]);
    assert_ne!(first["prompt_tokens"], answer["prompt_tokens"]);
    assert_eq!(answer["prompt_tokens"], done(&["--chat"])["prompt_tokens"]);

    let plain = gavel(&[
        "generate",
        "llm",
        "--prompt",
        PROMPT,
        "--max-tokens",
        "24",
        "--raw",
    ]);
    assert_eq!(
        text(&plain.stdout),
        format!("{}\n", first["text"].as_str().unwrap())
    );
    let told = text(&plain.stderr);
    assert!(
        told.contains(first["trace_root"].as_str().unwrap()),
        "{told}"
    );
    assert!(
        told.contains("tokens/s") && told.contains("cut by --max-tokens"),
        "{told}"
    );
    let piped = gavel_on(PROMPT, &["generate", "llm", "--max-tokens", "24", "--raw"]);
    assert_eq!(piped.stdout, plain.stdout);
}

#[test]
fn instructions_change_no_bit_of_an_answer() {
    let of = |isa: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gavel"))
            .args([
                "generate",
                "llm",
                "--prompt",
                PROMPT,
                "--json",
                "--max-tokens",
                "6",
            ])
            .env("GAVEL_ISA", isa)
            .output()
            .unwrap();
        lines(&output).pop().unwrap()
    };
    let (scalar, best) = (of("scalar"), of(""));
    assert_eq!(scalar["isa"], "scalar");
    assert_eq!(scalar["trace_root"], best["trace_root"]);
    assert_eq!(scalar["text"], best["text"]);
}

/// A saved answer in `dir`, as JSON.
fn saved(dir: &Path, more: &[&str]) -> Value {
    let args = [
        &["generate", "llm", "--prompt", PROMPT, "--save", "a.json"][..],
        more,
    ]
    .concat();
    let output = gavel_in(dir, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("next: gavel verify a.json"));
    serde_json::from_slice(&std::fs::read(dir.join("a.json")).unwrap()).unwrap()
}

/// Exit status and object of verifying `file`.
fn verified(dir: &Path, file: &Value, more: &[&str]) -> (i32, Value) {
    std::fs::write(dir.join("b.json"), file.to_string()).unwrap();
    let output = gavel_in(dir, &[&["verify", "b.json", "--json"][..], more].concat());
    let object = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), object)
}

#[test]
fn a_saved_answer_is_verified_and_every_lie_in_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = saved(dir, &["--max-tokens", "20", "--temperature", "1.2"]);
    let (status, object) = verified(dir, &file, &[]);
    assert_eq!((status, &object["claim"]), (0, &json!(true)));
    assert_eq!(object["kind"], "generation");
    assert_eq!(object["recomputed"], file["trace_root"]);
    assert!(object["ratio"].as_f64().unwrap() > 0.0);
    let shown = text(&gavel_in(dir, &["verify", "a.json"]).stdout);
    assert!(shown.starts_with("true: every token"), "{shown}");
    assert!(shown.contains("that generating took"), "{shown}");

    let tokens = file["output_tokens"].as_array().unwrap().clone();
    let prompt = file["prompt_tokens"].as_array().unwrap().len();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut copy = file.clone();
        change(&mut copy);
        let (status, object) = verified(dir, &copy, &[]);
        assert_eq!((status, &object["claim"]), (7, &json!(false)), "{object}");
        object["wrong"].clone()
    };
    // one token, and the text that goes with it
    for at in [0, 7, 19] {
        let lie = json!((tokens[at].as_u64().unwrap() + 1) % 3072);
        let wrong = changed(&|file| file["output_tokens"][at] = lie.clone());
        assert_eq!(wrong["what"], "token");
        assert_eq!(
            (&wrong["index"], &wrong["position"]),
            (&json!(at), &json!(prompt + at))
        );
        assert_eq!(wrong["claimed"]["token"], lie);
        assert_eq!(wrong["sampled"]["token"], tokens[at]);
        assert!(wrong["sampled"]["text"].is_string());
    }
    // an answer cut short, one that goes on, another seed, another text, another commitment
    let short = |file: &mut Value| file["output_tokens"].as_array_mut().unwrap().truncate(12);
    assert_eq!(changed(&short)["what"], "goes_on");
    let long = |file: &mut Value| file["output_tokens"].as_array_mut().unwrap().push(json!(5));
    assert_eq!(changed(&long), json!({"what": "ends_before", "tokens": 20}));
    assert_eq!(
        changed(&|file| file["params"]["seed"] = json!(9))["what"],
        "token"
    );
    assert_eq!(
        changed(&|file| file["text"] = json!("All is well."))["what"],
        "text"
    );
    let root = json!(format!("0x{}", "11".repeat(32)));
    assert_eq!(
        changed(&|file| file["trace_root"] = root.clone())["what"],
        "trace_root"
    );

    let mut bare = file.clone();
    bare["trace_root"] = Value::Null;
    assert_eq!(verified(dir, &bare, &[]).0, 0);
    let mut lie = file.clone();
    lie["output_tokens"][3] = json!(0);
    std::fs::write(dir.join("c.json"), lie.to_string()).unwrap();
    let shown = text(&gavel_in(dir, &["verify", "c.json"]).stdout);
    assert!(
        shown.starts_with("false: token 3 of the answer is \"<s>\" (0), the model samples"),
        "{shown}"
    );
}

#[test]
fn files_that_prove_nothing_about_an_answer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = saved(dir, &["--max-tokens", "5"]);
    let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
        let mut copy = file.clone();
        change(&mut copy);
        let (status, object) = verified(dir, &copy, &[]);
        assert_eq!(status, 1, "{object}");
        let error = object["error"].to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    };
    refused(
        &|f| f["generation"] = json!(2),
        &["format 2", "proves nothing"],
    );
    refused(&|f| f["output_tokens"] = json!([]), &["without tokens"]);
    refused(
        &|f| f["prompt_tokens"] = json!([]),
        &["the prompt has no tokens"],
    );
    refused(
        &|f| f["output_tokens"] = json!(vec![1; 600]),
        &["a run has 1 to 512"],
    );
    refused(&|f| f["output_tokens"] = json!([-1]), &["proves nothing"]);
    refused(&|f| f["more"] = json!(1), &["unknown field"]);
    refused(
        &|f| f["context"] = json!(256),
        &["model_id", "--model names it"],
    );
    refused(
        &|f| f["model"] = json!("gone.gguf"),
        &["gone.gguf", "--model names"],
    );
    refused(&|f| f["model"] = json!("digits"), &["no language model"]);
    // the file may have moved
    let mut moved = file.clone();
    moved["model"] = json!("gone.gguf");
    assert_eq!(verified(dir, &moved, &["--model", "llm"]).0, 0);
    let f16 = root().join("models/tales-f16.gguf");
    let (status, object) = verified(dir, &file, &["--model", f16.to_str().unwrap()]);
    assert_eq!(status, 1, "{object}");
}

#[test]
fn logits_of_given_tokens_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("ids.json"), "[0, 824, 502, 263]").unwrap();
    let ids = &["generate", "llm", "--prompt-tokens", "ids.json"][..];
    let output = gavel_in(dir, &[ids, &["--logits", "l.f32", "--json"]].concat());
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&object["positions"], &object["vocabulary"]),
        (&json!(4), &json!(3072))
    );
    let bytes = std::fs::read(dir.join("l.f32")).unwrap();
    let logits: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(logits.len(), 4 * 3072);
    let last = &logits[3 * 3072..];
    let best = (0..3072)
        .max_by(|&a, &b| last[a].total_cmp(&last[b]))
        .unwrap();
    let greedy = [ids, &["--temperature", "0", "--max-tokens", "1", "--json"]].concat();
    let answer = lines(&gavel_in(dir, &greedy)).pop().unwrap();
    assert_eq!(answer["output_tokens"], json!([best]));
    assert_eq!(answer["prompt_tokens"], json!([0, 824, 502, 263]));
    for (ids, word) in [
        ("[1, -2]", "JSON array"),
        ("{}", "JSON array"),
        ("[4294967295]", "no token"),
    ] {
        std::fs::write(dir.join("bad.json"), ids).unwrap();
        let output = gavel_in(dir, &["generate", "llm", "--prompt-tokens", "bad.json"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(word),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn what_cannot_be_asked_is_refused_in_words() {
    let long = "word ".repeat(700);
    for (args, status, words) in [
        (
            &["--prompt", &long][..],
            1,
            &["the prompt has", "the context of llm has 512"][..],
        ),
        (&["--prompt", "", "--raw", "--context", "2"], 0, &[]),
        (
            &["--prompt", "a", "--temperature", "-1"],
            2,
            &["from 0 to 100"],
        ),
        (
            &["--prompt", "a", "--temperature", "NaN"],
            2,
            &["--temperature"],
        ),
        (&["--prompt", "a", "--top-p", "1.5"], 2, &["from 0 to 1"]),
        (&["--prompt", "a", "--min-p", "inf"], 2, &["--min-p"]),
        (
            &["--prompt", "a", "--repeat-penalty", "0"],
            2,
            &["--repeat-penalty"],
        ),
        (
            &["--prompt", "a", "--max-tokens", "0"],
            2,
            &["--max-tokens"],
        ),
        (
            &["--prompt", "a", "--context", "600"],
            1,
            &["600 positions asked for"],
        ),
        (
            &["--prompt", "a", "--chat", "--raw"],
            2,
            &["cannot be used with"],
        ),
        (
            &["--prompt", "a", "--system", "b", "--raw"],
            2,
            &["cannot be used with"],
        ),
    ] {
        let output = gavel(&[&["generate", "llm"][..], args].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        for word in words {
            assert!(
                stderr.contains(word),
                "{args:?}: {word:?} is not in {stderr:?}"
            );
        }
    }
    let other = gavel(&["generate", "digits", "--prompt", "a"]);
    assert!(text(&other.stderr).contains("digits is no language model"));
    // a tokenizer of a kind that is not read
    let fixture = "crates/model/tests/fixtures/tiny-qwen3-Q8_0.gguf";
    let other = gavel(&["generate", fixture, "--prompt", "a"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains(fixture),
        "{}",
        text(&other.stderr)
    );
}

/// The shipped model with another chat template, which must not be longer.
fn with_template(dir: &Path, template: &str) {
    let mut file = std::fs::read(root().join("models/tales-q8_0.gguf")).unwrap();
    let own = b"{{ bos_token }}{% for message in messages %}";
    let at = file.windows(own.len()).position(|w| w == own).unwrap();
    let length = u64::from_le_bytes(file[at - 8..at].try_into().unwrap()) as usize;
    let padded = format!("{template:length$}");
    file[at..at + length].copy_from_slice(padded.as_bytes());
    std::fs::write(dir.join("m.gguf"), file).unwrap();
}

#[test]
fn templates_that_fail_are_told_and_need_not_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (template, word) in [
        (
            "{{ raise_exception('only one turn each') }}",
            "only one turn each",
        ),
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{% if %}", "chat template, line 1"),
    ] {
        with_template(dir, template);
        let output = gavel_in(dir, &["generate", "m.gguf", "--prompt", "Hello"]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("m.gguf: chat template") && stderr.contains(word),
            "{stderr}"
        );
        assert!(stderr.contains("--raw"), "{stderr}");
        let raw = [
            "generate",
            "m.gguf",
            "--prompt",
            "Hello",
            "--raw",
            "--max-tokens",
            "2",
        ];
        let output = gavel_in(dir, &raw);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_conversation_goes_on_from_what_is_computed() {
    let said = "Tell me about a fox.\n\nAnd then?\n/clear\nTell me about a fox.\n/quit\nnever\n";
    let args = ["chat", "llm", "--max-tokens", "20", "--json"];
    let answers: Vec<Value> = lines(&gavel_on(said, &args))
        .into_iter()
        .filter(|object| object["event"] == "answer")
        .collect();
    assert_eq!(answers.len(), 3);
    let computed = |i: usize| answers[i]["computed_prompt_tokens"].as_u64().unwrap();
    let prompt = |i: usize| answers[i]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(computed(0), prompt(0));
    assert!(
        computed(1) < prompt(1) && prompt(1) > prompt(0),
        "{answers:?}"
    );
    // anew, and the same
    assert_eq!(answers[0]["text"], answers[2]["text"]);
    // the second turn is what one long prompt gives
    let shown = text(&gavel_on(said, &args[..4]).stdout);
    assert!(
        shown.starts_with(answers[0]["text"].as_str().unwrap()),
        "{shown}"
    );
}

#[test]
fn a_conversation_that_fills_the_context_forgets_its_oldest_turns() {
    let said = "Tell me a long story about a fox and a bear.\n".repeat(6);
    let args = [
        "chat",
        "llm",
        "--max-tokens",
        "30",
        "--context",
        "128",
        "--system",
        "Be brief.",
    ];
    let output = gavel_on(&said, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("of the oldest messages left out"));
    let long = "word ".repeat(300);
    let output = gavel_on(&long, &args);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the context of llm has 128"));
}

#[test]
fn speed_is_measured_beside_the_machine() {
    let object = json(&[
        "bench",
        "llm",
        "llm",
        "--prompt",
        "40",
        "--decode",
        "8",
        "--threads",
        "1",
        "--verify",
    ]);
    for key in [
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "prefill_limit_share",
        "decode_read_share",
        "weight_bytes_per_token",
    ] {
        assert!(object[key].as_f64().unwrap() > 0.0, "{key}: {object}");
    }
    assert_eq!(
        (&object["prompt"], &object["decode"]),
        (&json!(40), &json!(8))
    );
    assert_eq!(object["prefill_limit"], "int8");
    assert!(object["traced"]["decode_hashing_share"].as_f64().unwrap() > 0.0);
    assert!(object["verify"]["ratio"].as_f64().unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(object["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
        assert!(object["decode_cpu_seconds"].as_f64().unwrap() > 0.0);
    }
    let output = gavel(&["bench", "llm", "llm", "--prompt", "512"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("do not fit the context of 512"));
}

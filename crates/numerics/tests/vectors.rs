//! Every rule of the specification has a vector; interpreter and kernels say what it says.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../examples/vectors/case.rs"]
mod case;
#[path = "../examples/vectors/conversions.rs"]
mod conversions;
#[path = "../examples/vectors/files.rs"]
mod files;
#[path = "../examples/vectors/general.rs"]
mod general;
#[path = "../examples/vectors/language.rs"]
mod language;
#[path = "../examples/vectors/machine.rs"]
mod machine;
#[path = "../examples/vectors/operators.rs"]
mod operators;
#[path = "../examples/vectors/rules.rs"]
mod rules;
#[path = "../examples/vectors/sampling.rs"]
mod sampling;

use std::collections::BTreeSet;

use gavel_numerics::kernels::{self, Isa, Sequential};
use gavel_numerics::program::{MAX_STEPS, Program, TABLE_LEN, program};
use gavel_numerics::reference::{self, Environment};
use gavel_numerics::{DType, Op, Tensor, TensorType};
use serde_json::Value;

fn load(rule: &str) -> (String, Vec<Value>) {
    let text = std::fs::read_to_string(files::folder().join(format!("{rule}.json"))).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(file["count"].as_u64(), Some(cases.len() as u64));
    assert!(!cases.is_empty(), "{rule}");
    (text, cases)
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

fn words(value: &Value) -> Vec<u64> {
    let list = value.as_array().unwrap();
    list.iter().map(|word| word.as_u64().unwrap()).collect()
}

fn ty(value: &Value) -> TensorType {
    let dtype = DType::from_id(value["dtype"].as_u64().unwrap() as u8).unwrap();
    TensorType::new(dtype, words(&value["dims"]))
}

fn tensor(value: &Value) -> Tensor {
    Tensor::from_le_bytes(ty(value), &bytes(&value["bytes"])).unwrap()
}

/// The bits that the case wants, compared with what was found.
fn expect(case: &Value, by: &str, found: &Tensor) {
    let want = &case["output"];
    let name = &case["name"];
    assert_eq!(found.ty(), &ty(want), "{name} by {by}");
    let hex = hex::encode(found.le_bytes());
    assert_eq!(
        Some(hex.as_str()),
        want["bytes"].as_str().unwrap().strip_prefix("0x"),
        "{name} by {by}"
    );
}

fn check_operator(case: &Value, id: u16, inputs: &[&Tensor]) {
    let op = Op::from_parts(id, &words(&case["attributes"])).unwrap();
    let found = reference::eval(&op, inputs);
    let refused = case["output"].is_null();
    assert_eq!(found.is_err(), refused, "{}: {found:?}", case["name"]);
    if let Ok(found) = found {
        expect(case, "the interpreter", &found);
    }
    for isa in Isa::available() {
        match kernels::eval(isa, &Sequential, &op, inputs) {
            Ok(found) => expect(case, &format!("{isa:?}"), &found),
            Err(error) => assert!(refused, "{}: {error}", case["name"]),
        }
    }
}

fn check_program(case: &Value, inputs: &[&Tensor]) {
    let program = Program::decode(&bytes(&case["code"]));
    if case["output"].is_null() {
        assert!(program.is_err(), "{}", case["name"]);
        return;
    }
    let program = program.unwrap();
    let output = ty(&case["output"]);
    let env = Environment {
        attributes: &words(&case["attributes"]),
        inputs,
        output: &output,
    };
    let element = |i| reference::run(&program, &env, i, MAX_STEPS).unwrap().0;
    let raw: Vec<u64> = (0..output.elements().unwrap() as u64)
        .map(element)
        .collect();
    let found = Tensor::from_raw(output.clone(), &raw).unwrap();
    expect(case, "the interpreter", &found);
}

#[test]
fn files_are_what_the_generator_writes() {
    for (rule, text) in files::files().unwrap() {
        assert!(
            load(rule).0 == text,
            "{rule}.json: run the example `vectors`"
        );
    }
}

#[test]
fn interpreter_and_kernels_agree_with_every_vector() {
    let mut operators = BTreeSet::new();
    for (rule, _) in files::files().unwrap() {
        for case in load(rule).1 {
            let inputs: Vec<Tensor> = case["inputs"]
                .as_array()
                .unwrap()
                .iter()
                .map(tensor)
                .collect();
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            match case["op"].as_u64() {
                Some(id) => {
                    operators.insert(id as u16);
                    check_operator(&case, id as u16, &inputs);
                }
                None => check_program(&case, &inputs),
            }
        }
    }
    let all = (0..TABLE_LEN).filter(|&id| program(id).is_some());
    assert_eq!(operators, all.collect(), "operators with a vector");
}

/// Rule ids that a text defines: `| N-1 |` in a table, `**N-20 exp**` in a paragraph.
fn rule_ids(text: &str) -> BTreeSet<String> {
    let starts = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("| N-").or(line.strip_prefix("**N-"))?;
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("N-{number}"))
    });
    starts.collect()
}

#[test]
fn every_rule_has_a_vector_and_every_vector_a_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/numerics.md");
    let ids = rule_ids(&std::fs::read_to_string(path).unwrap());
    assert_eq!(ids.len(), 30, "{ids:?}");
    let files = files::files().unwrap();
    let named = files.iter().map(|(rule, _)| rule.to_string());
    assert_eq!(ids, named.filter(|rule| rule.starts_with("N-")).collect());
}

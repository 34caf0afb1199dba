//! Calls of the functions that a file brings along: each is written out where it is called.
//!
//! A function sees its inputs and attributes and nothing of the graph around its call, and has opsets of its own.

use std::collections::{HashMap, HashSet};

use super::attributes::Given;
use super::proto::{FunctionProto, ModelProto, NodeProto, OperatorSetId};
use super::{Importer, OPSETS, Value, is_standard, lower, unsupported};
use crate::ModelError;

/// Domain, name and overload.
type Key<'p> = (&'p str, &'p str, &'p str);

/// Functions of a file, and those whose calls are being written out.
#[derive(Default)]
pub(super) struct Functions<'p> {
    all: HashMap<Key<'p>, &'p FunctionProto>,
    active: Vec<Key<'p>>,
}

/// What names stand for: in the graph, and in each call of a function.
#[derive(Default)]
pub(super) struct Names<'p> {
    /// Of the standard's operators; 0 where none is imported.
    pub(super) opset: i64,
    pub(super) values: HashMap<String, Value>,
    /// Names of the graph that is being read, and what they stood for outside of it.
    pub(super) scope: HashMap<String, Option<Value>>,
    /// Outputs that are not given, with the reason.
    pub(super) absent: HashMap<String, String>,
    /// Inputs that a call leaves out.
    pub(super) omitted: HashSet<&'p str>,
    /// Attributes of the call.
    pub(super) given: Option<Given<'p>>,
}

/// The version of the standard's operators among these; 0 without one.
pub(super) fn opset(imports: &[OperatorSetId]) -> Result<i64, ModelError> {
    let version = imports.iter().find(|import| is_standard(&import.domain));
    match version.map(|import| import.version) {
        None => Ok(0),
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => Err(ModelError::File(format!(
            "opset {version} is outside {} to {}",
            OPSETS.start(),
            OPSETS.end()
        ))),
    }
}

/// The standard's domain has two names.
fn domain(name: &str) -> &str {
    if is_standard(name) { "" } else { name }
}

impl<'p> Functions<'p> {
    pub(super) fn new(proto: &'p ModelProto) -> Result<Functions<'p>, ModelError> {
        let mut functions = Functions::default();
        for function in &proto.functions {
            let key: Key<'p> = (domain(&function.domain), &function.name, &function.overload);
            if functions.all.insert(key, function).is_some() {
                return Err(ModelError::File(format!(
                    "function {}.{} is there twice",
                    function.domain, function.name
                )));
            }
        }
        Ok(functions)
    }

    /// The function that a node calls; `None` of an operator of the standard.
    pub(super) fn called(
        &self,
        node: &'p NodeProto,
        label: &str,
    ) -> Result<Option<(Key<'p>, &'p FunctionProto)>, ModelError> {
        let key: Key<'p> = (domain(&node.domain), &node.op_type, &node.overload);
        let found = self.all.get(&key);
        if key.0.is_empty() && key.2.is_empty() {
            // the standard leaves it open which of the two is meant
            return match found {
                Some(_) if lower::names().contains(&key.1) => Err(ModelError::Node {
                    node: label.to_owned(),
                    op: node.op_type.clone(),
                    reason: "a function of the file has the name of this operator".into(),
                }),
                found => Ok(found.map(|&function| (key, function))),
            };
        }
        match found {
            Some(&function) => Ok(Some((key, function))),
            None => {
                let mut name = vec![key.0, key.1, key.2];
                name.retain(|part| !part.is_empty());
                Err(unsupported(label, name.join(".")))
            }
        }
    }
}

impl<'p> Importer<'p> {
    /// The values of the outputs that a call names.
    pub(super) fn call(
        &mut self,
        (key, function): (Key<'p>, &'p FunctionProto),
        node: &'p NodeProto,
        label: &str,
        inputs: &lower::Inputs<'_>,
    ) -> Result<Vec<Value>, ModelError> {
        let attributes = self.attributes(node, label)?;
        if self.functions.active.contains(&key) {
            return Err(attributes.fail("the function calls itself"));
        }
        for (what, formal, found) in [
            ("inputs", &function.input, inputs.len()),
            ("outputs", &function.output, node.output.len()),
        ] {
            if found > formal.len() {
                return Err(attributes.fail(format!(
                    "the function has {} {what}, its call {found}",
                    formal.len()
                )));
            }
        }
        // binding names is work too
        let formals = function.input.len() + function.attribute.len();
        self.read += (formals + function.attribute_proto.len()) / 8;
        let defaults = function.attribute_proto.iter();
        let mut given: Given<'p> = defaults.map(|own| (own.name.as_str(), Some(own))).collect();
        if given
            .values()
            .flatten()
            .any(|own| !own.ref_attr_name.is_empty())
        {
            return Err(attributes.fail("a default of the function is a reference"));
        }
        given.extend(function.attribute.iter().map(|name| (name.as_str(), None)));
        let mut bound = HashSet::new();
        for &(name, attribute) in attributes.all() {
            let Some(value) = given.get_mut(name).filter(|_| bound.insert(name)) else {
                return Err(attributes.fail(format!("attribute {name} is not known")));
            };
            if attribute.g.is_some() {
                return Err(attributes.fail(format!(
                    "attribute {name} is a graph, which is not supported for a function"
                )));
            }
            *value = Some(attribute);
        }
        let names = Names {
            opset: opset(&function.opset_import)?,
            given: Some(given),
            ..Names::default()
        };
        let outer = std::mem::replace(&mut self.names, names);
        self.functions.active.push(key);
        let found = self.nested(label, |importer| {
            importer.body(function, node.output.len(), label, inputs)
        });
        self.functions.active.pop();
        self.names = outer;
        found
    }

    fn body(
        &mut self,
        function: &'p FunctionProto,
        outputs: usize,
        label: &str,
        inputs: &lower::Inputs<'_>,
    ) -> Result<Vec<Value>, ModelError> {
        let fail = |reason: String| ModelError::Node {
            node: label.to_owned(),
            op: function.name.clone(),
            reason,
        };
        for (i, name) in function.input.iter().enumerate() {
            let twice = || fail(format!("input {name} of the function is there twice"));
            match inputs.get(i) {
                Some(Some((_, value))) => self.define(name, value.clone(), twice)?,
                _ if self.names.scope.insert(name.clone(), None).is_some() => return Err(twice()),
                _ => drop(self.names.omitted.insert(name)),
            }
        }
        self.nodes(&function.node, &format!("{label}/"))?;
        let outputs = function.output.iter().take(outputs);
        outputs
            .map(|name| {
                self.names.values.get(name).cloned().ok_or_else(|| {
                    let reason = self.names.absent.get(name).cloned();
                    fail(reason.unwrap_or_else(|| format!("nothing produces its output {name}")))
                })
            })
            .collect()
    }
}

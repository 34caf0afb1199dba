//! A node's attributes: each is read once, and one that nobody reads is refused, because an attribute
//! that is not understood changes the meaning.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::ModelError;

/// Attributes of one node.
pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
    label: &'a str,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto, label: &'a str) -> Self {
        Attributes {
            node,
            label,
            read: RefCell::default(),
        }
    }

    /// An error of this node.
    pub(super) fn fail(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Node {
            node: self.label.to_owned(),
            op: self.node.op_type.clone(),
            reason: reason.into(),
        }
    }

    fn get(&self, name: &'static str) -> Result<Option<&'a AttributeProto>, ModelError> {
        self.read.borrow_mut().insert(name);
        let found = self.find(name)?;
        if found.is_some_and(|attribute| attribute.g.is_some()) {
            return Err(self.fail(format!("attribute {name} is a graph; a value was expected")));
        }
        Ok(found)
    }

    fn find(&self, name: &str) -> Result<Option<&'a AttributeProto>, ModelError> {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        if found.is_some_and(|attribute| !attribute.ref_attr_name.is_empty()) {
            return Err(self.fail(format!(
                "attribute {name} is a reference; a value was expected"
            )));
        }
        Ok(found)
    }

    /// A graph that the node runs.
    pub(super) fn graph(&self, name: &'static str) -> Result<&'a GraphProto, ModelError> {
        self.read.borrow_mut().insert(name);
        self.find(name)?
            .and_then(|attribute| attribute.g.as_deref())
            .ok_or_else(|| self.fail(format!("the graph {name} is missing")))
    }

    pub(super) fn int(&self, name: &'static str, default: i64) -> Result<i64, ModelError> {
        Ok(self.get(name)?.map_or(default, |a| a.i))
    }

    pub(super) fn optional_int(&self, name: &'static str) -> Result<Option<i64>, ModelError> {
        Ok(self.get(name)?.map(|a| a.i))
    }

    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, ModelError> {
        match self.int(name, default.into())? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.fail(format!("attribute {name} is 0 or 1, found {other}"))),
        }
    }

    pub(super) fn float(&self, name: &'static str, default: f32) -> Result<f32, ModelError> {
        Ok(self.get(name)?.map_or(default, |a| a.f))
    }

    pub(super) fn optional_float(&self, name: &'static str) -> Result<Option<f32>, ModelError> {
        Ok(self.get(name)?.map(|a| a.f))
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&'a [i64]>, ModelError> {
        Ok(self.get(name)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Option<&'a [f32]>, ModelError> {
        Ok(self.get(name)?.map(|a| a.floats.as_slice()))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, ModelError> {
        Ok(self
            .get(name)?
            .map(|a| String::from_utf8_lossy(&a.s).into_owned()))
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, ModelError> {
        let text = |s: &Vec<u8>| String::from_utf8_lossy(s).into_owned();
        Ok(self
            .get(name)?
            .map(|a| a.strings.iter().map(text).collect()))
    }

    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<&'a TensorProto>, ModelError> {
        Ok(self.get(name)?.and_then(|a| a.t.as_deref()))
    }

    /// Attributes that say nothing about inference.
    pub(super) fn ignore(&self, names: &[&'static str]) {
        self.read.borrow_mut().extend(names);
    }

    /// Refuses attributes nobody asked for.
    pub(super) fn finish(&self) -> Result<(), ModelError> {
        let read = self.read.borrow();
        match self
            .node
            .attribute
            .iter()
            .find(|a| !read.contains(a.name.as_str()))
        {
            Some(unknown) => Err(self.fail(format!("attribute {} is not known", unknown.name))),
            None => Ok(()),
        }
    }
}

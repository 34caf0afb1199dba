//! A node's attributes: each is read once, and one that nobody reads is refused, because an attribute
//! that is not understood changes the meaning.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use super::proto::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto};
use crate::ModelError;

/// Attributes of a function's call by their names in the function; `None` where it has no value.
pub(super) type Given<'p> = HashMap<&'p str, Option<&'p AttributeProto>>;

/// Attributes of one node.
pub(super) struct Attributes<'p> {
    op: &'p str,
    label: String,
    given: Vec<(&'p str, &'p AttributeProto)>,
    read: RefCell<BTreeSet<&'static str>>,
}

impl<'p> Attributes<'p> {
    /// Those of a node, which may refer to what the call of the function around it gives. A reference to what is
    /// not given is no attribute.
    pub(super) fn new(
        node: &'p NodeProto,
        label: &str,
        call: Option<&Given<'p>>,
    ) -> Result<Self, ModelError> {
        let mut attributes = Attributes {
            op: &node.op_type,
            label: label.to_owned(),
            given: Vec::with_capacity(node.attribute.len()),
            read: RefCell::default(),
        };
        for attribute in &node.attribute {
            let name = attribute.name.as_str();
            let found = match attribute.ref_attr_name.as_str() {
                "" => Some(attribute),
                formal => *call.and_then(|call| call.get(formal)).ok_or_else(|| {
                    attributes.fail(format!(
                        "attribute {name} refers to {formal}, which no function around it has"
                    ))
                })?,
            };
            attributes.given.extend(found.map(|found| (name, found)));
        }
        Ok(attributes)
    }

    /// Names and values of all of them.
    pub(super) fn all(&self) -> &[(&'p str, &'p AttributeProto)] {
        &self.given
    }

    /// An error of this node.
    pub(super) fn fail(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Node {
            node: self.label.clone(),
            op: self.op.to_owned(),
            reason: reason.into(),
        }
    }

    fn get(&self, name: &'static str) -> Result<Option<&'p AttributeProto>, ModelError> {
        self.read.borrow_mut().insert(name);
        let found = self.find(name);
        if found.is_some_and(|attribute| attribute.g.is_some()) {
            return Err(self.fail(format!("attribute {name} is a graph; a value was expected")));
        }
        Ok(found)
    }

    fn find(&self, name: &str) -> Option<&'p AttributeProto> {
        let mut given = self.given.iter();
        given.find_map(|&(own, attribute)| (own == name).then_some(attribute))
    }

    /// A graph that the node runs.
    pub(super) fn graph(&self, name: &'static str) -> Result<&'p GraphProto, ModelError> {
        self.read.borrow_mut().insert(name);
        self.find(name)
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

    pub(super) fn ints(&self, name: &'static str) -> Result<Option<&'p [i64]>, ModelError> {
        Ok(self.get(name)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &'static str) -> Result<Option<&'p [f32]>, ModelError> {
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

    pub(super) fn tensor(&self, name: &'static str) -> Result<Option<&'p TensorProto>, ModelError> {
        Ok(self.get(name)?.and_then(|a| a.t.as_deref()))
    }

    pub(super) fn sparse_tensor(
        &self,
        name: &'static str,
    ) -> Result<Option<&'p SparseTensorProto>, ModelError> {
        Ok(self.get(name)?.and_then(|a| a.sparse_tensor.as_deref()))
    }

    /// Attributes that say nothing about inference.
    pub(super) fn ignore(&self, names: &[&'static str]) {
        self.read.borrow_mut().extend(names);
    }

    /// Refuses attributes nobody asked for.
    pub(super) fn finish(&self) -> Result<(), ModelError> {
        let read = self.read.borrow();
        match self.given.iter().find(|(name, _)| !read.contains(name)) {
            Some((name, _)) => Err(self.fail(format!("attribute {name} is not known"))),
            None => Ok(()),
        }
    }
}

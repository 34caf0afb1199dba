//! What is live at the commit points of a language model, in terms of what its fast runtime has.

use gavel_model::Source;
use gavel_model::llama::LanguageModel;

use super::LanguageError;

/// One slot of a live list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// Graph input `i`: output `i` of the step before.
    Before(usize),
    /// Graph output `i`.
    After(usize),
    /// The residual after a cut: an index into [`LivePlan::cuts`].
    Residual(usize),
}

/// The live lists of all commit points.
#[derive(Debug)]
pub(crate) struct LivePlan {
    /// Per commit point, slot by slot.
    pub(crate) points: Vec<Vec<Live>>,
    /// Layers whose residual is live somewhere.
    pub(crate) cuts: Vec<usize>,
    /// Height of every live tree.
    pub(crate) height: u8,
}

impl LivePlan {
    /// The plan of a model.
    ///
    /// # Errors
    /// A value that is live and none of these; then the model is run node by node.
    pub(crate) fn new(model: &LanguageModel) -> Result<LivePlan, LanguageError> {
        let graph = model.model.graph();
        let (mut cuts, mut points) = (Vec::new(), Vec::new());
        for (segment, of) in model.model.segments().iter().enumerate() {
            let mut slots = Vec::with_capacity(of.live.len());
            for (slot, source) in of.live.iter().enumerate() {
                let output = graph.outputs.iter().position(|(_, s)| s == source);
                let residual = || {
                    let layers = model.roles.layers.iter();
                    let mut nodes = layers.map(|l| Source::node(l.residual_node));
                    nodes.position(|node| node == *source)
                };
                slots.push(match (source, output) {
                    (Source::Input(i), _) => Live::Before(*i as usize),
                    (_, Some(i)) => Live::After(i),
                    _ => {
                        let layer = residual().ok_or(LanguageError::Live { segment, slot })?;
                        let known = cuts.iter().position(|&cut| cut == layer);
                        Live::Residual(known.unwrap_or_else(|| {
                            cuts.push(layer);
                            cuts.len() - 1
                        }))
                    }
                });
            }
            points.push(slots);
        }
        Ok(LivePlan {
            points,
            cuts,
            height: model.model.header().live_height,
        })
    }
}

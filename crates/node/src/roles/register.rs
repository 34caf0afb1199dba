//! Putting models and families into the registries.

use gavel_model::family::Family;
use gavel_settlement::bindings::{Market, ProviderPool};
use gavel_trace::ModelHeader;

use crate::{Act, Board, NodeError, Party};

/// The call that registers a family; anybody may send it. `uri` says where the file may be had.
pub fn family_registration(family: &Family, uri: String) -> ProviderPool::registerFamilyCall {
    let header = family.header();
    ProviderPool::registerFamilyCall {
        count: header.count,
        bindingsRoot: header.bindings_root.0.into(),
        domain: header.domain.clone().into(),
        uri,
    }
}

/// Does the next thing that is missing before a task can be about a binding of a registered family: registers the binding's
/// header, or shows that it is one of the family. Whoever asks for a binding first pays for both, once. `None`: nothing
/// is missing, or somebody was faster.
///
/// # Errors
/// There is no such binding, or the chain cannot be reached.
pub async fn introduce(
    party: &Party,
    board: &Board,
    family: &Family,
    index: u32,
) -> Result<Option<Act>, NodeError> {
    let ids = family.model_ids();
    let (Some(model), Some(opening)) = (ids.get(index as usize), family.open(index)) else {
        return Err(NodeError::Impossible(format!(
            "binding {index} of a family of {}",
            ids.len()
        )));
    };
    let uri = |uri: &str| format!("{uri} {}", family.told(index));
    if !board.models.contains_key(model) {
        let of = board.families.get(&family.id());
        let uri = uri(of.map_or("", |family| &family.uri)).trim().to_owned();
        let binding = family.binding(index).map_err(crate::ExecutorError::from)?;
        let call = registration(binding.header(), uri);
        let what = format!(
            "registers {} of family {:#}",
            family.told(index),
            family.id()
        );
        return party.act(board, party.contracts().market, call, what).await;
    }
    if board.is_binding(&family.id(), model) {
        return Ok(None);
    }
    let call = ProviderPool::showBindingCall {
        familyId: family.id().0.into(),
        index,
        modelId: model.0.into(),
        proof: opening.siblings.iter().map(|d| d.0.into()).collect(),
    };
    let what = format!(
        "shows that {} is of family {:#}",
        family.told(index),
        family.id()
    );
    party.act(board, party.contracts().pool, call, what).await
}

/// The call that registers a model; anybody may send it. `uri` says where the file may be had.
pub fn registration(h: &ModelHeader, uri: String) -> Market::registerModelCall {
    Market::registerModelCall {
        header: Market::ModelHeader {
            numericsVersion: h.numerics_version,
            loweringVersion: h.lowering_version,
            nodeCount: h.node_count,
            maxSteps: h.max_steps,
            commitPoints: h.commit_points,
            traceHeight: h.trace_height,
            opsHeight: h.ops_height,
            liveHeight: h.live_height,
            work: h.work,
            nodesRoot: h.nodes_root.0.into(),
            edgesRoot: h.edges_root.0.into(),
            weightsRoot: h.weights_root.0.into(),
            segmentsRoot: h.segments_root.0.into(),
            assetsRoot: h.assets_root.0.into(),
        },
        uri,
    }
}

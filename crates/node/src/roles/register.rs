//! Putting a model into the registry.

use gavel_settlement::bindings::Market;
use gavel_trace::ModelHeader;

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

use gavel_numerics::{DType, Op, TensorType, WeightFormat};

use super::*;
use crate::Source;

fn mixed(config: &LlamaConfig) -> Formats {
    let mut formats = Formats::uniform(config, WeightFormat::Q4_K);
    formats.layers[1].key = WeightFormat::F16;
    formats.layers[1].query = WeightFormat::Bf16;
    formats.layers[1].value = WeightFormat::Q6_K;
    formats.embedding = WeightFormat::Q6_K;
    formats.head = WeightFormat::Q6_K;
    formats
}

#[test]
fn every_family_builds_in_every_format_and_knows_itself_again() {
    for architecture in Architecture::ALL {
        let config = tiny(architecture);
        let uniform = WeightFormat::ALL.map(|f| Formats::uniform(&config, f));
        for formats in uniform.iter().chain([&mixed(&config)]) {
            let made = random(&config, formats, 1).unwrap();
            let again = LanguageModel::from_model(made.model.clone()).unwrap();
            assert_eq!(again.config, config);
            assert_eq!(again.roles, made.roles);
        }
    }
}

#[test]
fn outputs_are_the_next_steps_inputs_and_cuts_lie_at_layer_ends() {
    let config = tiny(Architecture::Qwen3);
    let made = random(&config, &Formats::uniform(&config, WeightFormat::Q8_0), 2).unwrap();
    let (graph, header) = (made.model.graph(), made.model.header());
    assert_eq!(header.max_steps, config.context);
    assert_eq!(header.commit_points, 3);
    assert_eq!(header.trace_height, 8, "48 steps of 3 points");
    let cache = TensorType::new(DType::F32, [48, 64]);
    assert_eq!(graph.inputs.len(), 10);
    for ((_, ty), (_, source)) in graph.inputs.iter().zip(&graph.outputs) {
        assert_eq!(made.model.type_of(*source), Some(ty));
    }
    assert_eq!(graph.inputs[roles::keys(1)].1, cache);
    // after the first layer: what came in and is still read, the caches that were written, the residual
    let first = &made.model.segments()[0];
    let layer = &made.roles.layers[0];
    assert_eq!(first.nodes().end, layer.residual_node + 1);
    let untouched = (roles::keys(1)..roles::FIRST_CACHE + 6).map(|i| Source::Input(i as u32));
    let expected: Vec<Source> = (0..4)
        .map(Source::Input)
        .chain(untouched)
        .chain([layer.keys_node, layer.values_node, layer.residual_node].map(Source::node))
        .collect();
    assert_eq!(first.live, expected);
    let last = made.model.segments().last().unwrap();
    assert_eq!(last.live.len(), graph.inputs.len());
}

#[test]
fn a_value_is_quantised_once_and_just_before_its_first_reader() {
    let config = tiny(Architecture::Llama);
    let made = random(&config, &mixed(&config), 3).unwrap();
    let nodes = &made.model.graph().nodes;
    let quantised = |layer: usize| {
        let first = match layer {
            0 => 0,
            _ => made.roles.layers[layer - 1].residual_node + 1,
        };
        let range = first as usize..made.roles.layers[layer].residual_node as usize;
        nodes[range]
            .iter()
            .filter(|n| n.op == Op::Quantize)
            .map(|n| n.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        quantised(0),
        [
            "blk.0.attn_q.quantize",
            "blk.0.attn_output.quantize",
            "blk.0.ffn_gate.quantize",
            "blk.0.ffn_down.quantize"
        ]
    );
    assert_eq!(quantised(1)[0], "blk.1.attn_v.quantize");
}

#[test]
fn tied_heads_read_the_table_and_weights_are_numbered_by_first_use() {
    let config = tiny(Architecture::Qwen2);
    let made = random(&config, &Formats::uniform(&config, WeightFormat::F16), 4).unwrap();
    assert_eq!(made.roles.head, made.roles.embedding);
    let mut first_uses: Vec<u32> = Vec::new();
    for node in &made.model.graph().nodes {
        for source in &node.inputs {
            if let Source::Weight(w) = source
                && !first_uses.contains(w)
            {
                first_uses.push(*w);
            }
        }
    }
    let all: Vec<u32> = (0..made.model.weights().len() as u32).collect();
    assert_eq!(first_uses, all);
    assert_eq!(made.roles.layers[0].query_bias, Some(3));
    assert!(made.roles.layers[0].query_norm.is_none());
}

#[test]
fn other_weights_other_identity_and_a_changed_graph_is_not_recognised() {
    let config = tiny(Architecture::Llama);
    let formats = Formats::uniform(&config, WeightFormat::Q4_0);
    let made = random(&config, &formats, 5).unwrap();
    let other = random(&config, &formats, 6).unwrap();
    assert_ne!(made.model.model_id(), other.model.model_id());
    let again = made
        .model
        .with_weight(0, (*other.model.weights()[0].value.tensor()).clone())
        .unwrap();
    assert_ne!(again.model_id(), made.model.model_id());
    assert_eq!(again.header().max_steps, config.context);
    // a longer window is another graph
    let mut assets = made.model.assets().clone();
    let mut changed = config;
    changed.window = 7;
    assets.insert(CONFIG_ASSET.to_owned(), config_text(&changed).unwrap());
    let model = Hashing::quiet(|hashing| {
        Model::recurrent(
            made.model.graph().clone(),
            made.model.weights().to_vec(),
            assets,
            &crate::CommitPolicy::CostModel,
            48,
            hashing,
        )
    });
    let text = LanguageModel::from_model(model.unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(text, "its graph is not the one of its asset config");
}

#[test]
fn a_recurrence_that_does_not_close_is_refused() {
    let config = tiny(Architecture::Llama);
    let step = StepGraph::new(&config, &Formats::uniform(&config, WeightFormat::F32)).unwrap();
    let made = random(&config, &Formats::uniform(&config, WeightFormat::F32), 7).unwrap();
    let refused = |change: fn(&mut crate::Graph)| {
        let mut graph = step.graph.clone();
        change(&mut graph);
        Hashing::quiet(|hashing| {
            Model::recurrent(
                graph,
                made.model.weights().to_vec(),
                BTreeMap::new(),
                &crate::CommitPolicy::CostModel,
                48,
                hashing,
            )
        })
        .unwrap_err()
        .to_string()
    };
    let fewer = refused(|g| drop(g.outputs.pop()));
    assert!(fewer.contains("found 9 outputs and 10 inputs"), "{fewer}");
    let swapped = refused(|g| g.outputs.swap(1, 2));
    assert!(swapped.contains("the next step's input is"), "{swapped}");
    let moved = refused(|g| {
        g.outputs.swap(0, 3);
        g.inputs.swap(0, 3);
        for node in &mut g.nodes {
            for source in &mut node.inputs {
                *source = match *source {
                    Source::Input(0) => Source::Input(3),
                    Source::Input(3) => Source::Input(0),
                    other => other,
                };
            }
        }
    });
    assert!(moved.contains("slot 0 is I64[1]"), "{moved}");
}

#[test]
fn configurations_that_do_not_fit_are_refused_by_field() {
    type Change = fn(&mut LlamaConfig);
    let cases: [(&str, Change); 12] = [
        ("kv_heads", |c| c.kv_heads = 3),
        ("heads", |c| c.heads = 0),
        ("head_dim", |c| c.head_dim = 4096),
        ("layers", |c| c.layers = u32::MAX),
        ("context", |c| c.context = u32::MAX),
        ("rope.rotary", |c| c.rope.rotary = 31),
        ("rope.rotary", |c| c.rope.rotary = 64),
        ("rope.base", |c| c.rope.base = f64::NAN),
        ("rope.scaling.factor", |c| {
            c.rope.scaling = RopeScaling::Linear { factor: 0.0 }
        }),
        ("rope factors", |c| {
            c.rope.scaling = RopeScaling::Factors(vec![1.0; 3])
        }),
        ("epsilon", |c| c.epsilon = f32::INFINITY),
        ("bos or end", |c| c.end = vec![96]),
    ];
    for (field, change) in cases {
        let mut config = tiny(Architecture::Llama);
        change(&mut config);
        let text = config.check().unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("configuration, {field}: ")),
            "{text}"
        );
    }
    let mut config = tiny(Architecture::Llama);
    config.width = 96;
    let formats = Formats::uniform(&config, WeightFormat::Q4_K);
    let text = StepGraph::new(&config, &formats).unwrap_err().to_string();
    assert_eq!(
        text,
        "tensor token_embd.weight: rows of 96 values are no whole blocks of Q4_K"
    );
}

//! Any bytes as a node's or an edge's canonical form: refused, or exactly the bytes it encodes to.
#![no_main]

use gavel_model::{Node, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((op, output)) = Node::decode(bytes) {
        let node = Node {
            name: String::new(),
            op,
            inputs: Vec::new(),
            output,
        };
        assert_eq!(node.encode(), bytes);
    }
    if let Some(source) = Source::decode(bytes) {
        assert_eq!(source.encode(), bytes);
    }
});

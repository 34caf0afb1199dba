//! `lying-referee`: the drawn referee rules the opposite of what it computed.

use gavel_dispute::Move;
use gavel_trace::{Digest, node};

/// The lie in place of an honest ruling on `claimed`, the provider's digest: a right claim is called wrong,
/// a wrong one right. Moves that are no rulings stay.
pub fn lie(honest: Move, claimed: Digest) -> Move {
    let own = match &honest {
        Move::Rule { own, .. } if *own == claimed => node(own, &Digest::ZERO),
        Move::Rule { .. } | Move::RuleEarlier { .. } => claimed,
        _ => return honest,
    };
    Move::Rule { claimed, own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_trace::Opening;

    #[test]
    fn every_ruling_is_turned_round() {
        let (claimed, other) = (Digest([1; 32]), Digest([2; 32]));
        let rule = |own| Move::Rule { claimed, own };
        assert_eq!(lie(rule(other), claimed), rule(claimed));
        assert!(matches!(lie(rule(claimed), claimed), Move::Rule { own, .. } if own != claimed));
        let earlier = Move::RuleEarlier {
            index: 0,
            provider_digest: other,
            own: claimed,
            opening: Opening {
                index: 0,
                siblings: Vec::new(),
            },
        };
        assert_eq!(lie(earlier, claimed), rule(claimed));
        assert_eq!(lie(Move::Finalize, claimed), Move::Finalize);
    }
}

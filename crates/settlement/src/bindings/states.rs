//! The contracts' enums: their ABI carries the number only.

/// A number that names no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} is no {what}")]
pub struct UnknownState {
    /// Which enum.
    pub what: &'static str,
    /// The number.
    pub value: u8,
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl TryFrom<u8> for $name {
            type Error = UnknownState;

            fn try_from(value: u8) -> Result<$name, UnknownState> {
                [$($name::$variant),+]
                    .get(usize::from(value))
                    .copied()
                    .ok_or(UnknownState { what: stringify!($name), value })
            }
        }

        impl From<$name> for u8 {
            fn from(state: $name) -> u8 {
                state as u8
            }
        }
    };
}

states! {
    /// Where a task stands.
    TaskState {
        /// There is no such task.
        None,
        /// At auction.
        Open,
        /// A provider owes the result.
        Claimed,
        /// A result is in its window.
        Committed,
        /// At least one dispute runs.
        Disputed,
        /// Paid.
        Settled,
        /// Withdrawn by its requester.
        Cancelled,
        /// Drew no claim in its lifetime.
        Expired,
    }
}

states! {
    /// Where a dispute stands.
    DisputeState {
        /// There is no such dispute.
        None,
        /// Dissecting the level-1 tree down to one commit point.
        Level1,
        /// The provider owes the segment's rows.
        SegmentWanted,
        /// Dissecting the operators or live slots of the segment.
        Level2,
        /// One operator found; a referee is to be drawn.
        Isolated,
        /// The referee owes a ruling.
        Refereed,
        /// The appeal window runs.
        Ruled,
        /// Handed to the appeal levels.
        Appealed,
        /// Final: the provider is guilty.
        Upheld,
        /// Final: the provider is cleared.
        Cleared,
        /// Final: neither; bonds go back.
        Void,
    }
}

states! {
    /// Whose turn it is in a dispute.
    Side {
        /// The provider's.
        Provider,
        /// The challenger's.
        Challenger,
    }
}

states! {
    /// Where an audit stands.
    AuditState {
        /// Not decided.
        None,
        /// The beacon said no audit.
        NotDrawn,
        /// The auditor owes its commitment.
        Drawn,
        /// Waits for the chunk seed, then for openings.
        Committed,
        /// Closed: paid, the task may settle.
        Matched,
        /// Closed: a dispute runs.
        Mismatched,
        /// Closed: the result was overtaken, and nobody owes anything.
        Moot,
        /// No auditor could be had.
        Waived,
    }
}

states! {
    /// What an appeal waits for.
    AppealPhase {
        /// There is no such appeal.
        None,
        /// A live slot: what it copies is to be shown.
        Slot,
        /// The claimed digest is to be opened.
        Tensor,
        /// A node of the chunk tree is to be opened.
        Row,
        /// The accuser owes a pick from a row.
        PickChunk,
        /// The bytes of a chunk are to be shown.
        Chunk,
        /// The accuser owes an element.
        PickElement,
        /// The defender owes states.
        States,
        /// The accuser owes a pick from them.
        PickState,
        /// One batch is to be executed.
        Step,
        /// Over.
        Ended,
    }
}

states! {
    /// How an appeal ended.
    AppealOutcome {
        /// Not yet.
        Pending,
        /// The provider is guilty.
        Guilty,
        /// The provider is cleared.
        Cleared,
        /// Neither.
        Void,
    }
}

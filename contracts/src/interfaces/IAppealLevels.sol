// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

enum AppealOutcome {
    Pending,
    Guilty,
    Cleared,
    Void
}

/// @notice The levels below the operator, down to one step that a contract executes: who judges when a ruling is appealed
/// or no referee could be had. Their address is a parameter of the court (P-R4); while it is zero such a dispute is void.
///
/// The court hands a dispute over once, by `open`, and takes no move in it any more. What is to be judged stands in
/// `ICourt.dispute`: the isolated place, the provider's digest there, `opsRoot`, `leaf` and `previousLeaf`, under which
/// every input opens, and the ruling if there was one. The levels hold no money of the dispute: its bonds stay in the
/// vault and move by the court's verdict. They play against the two sides that the dispute names, by clocks of their own.
interface IAppealLevels {
    /// @notice Called by a court. The levels keep disputes apart by (msg.sender, disputeId) and read the dispute there.
    /// @param appellant who disagrees with the ruling; 0 when there was no ruling
    function open(uint256 disputeId, address appellant) external;

    /// @notice How the appeal ended. Pending until then; once it is another value it never changes. It ends within
    /// `CourtParams.ospSeconds` of `open`; after that the court treats it as void.
    function outcome(address court, uint256 disputeId) external view returns (AppealOutcome);
}

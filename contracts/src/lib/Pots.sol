// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Names of the vault's pots. The top byte says what kind it is, so that kinds cannot collide.
library Pots {
    /// @dev Not a pot: value sent here is burned.
    bytes32 internal constant BURN = bytes32(0);
    /// @dev Levies and registration fees; pays auditors and the bonds of audits' disputes.
    bytes32 internal constant AUDIT_POOL = bytes32(uint256(1) << 248);

    /// @notice Escrow of a task (and, in the same slot of the vault, its provider's collateral).
    function task(uint256 taskId) internal pure returns (bytes32) {
        return bytes32((uint256(2) << 248) | taskId);
    }

    /// @notice Bond of the challenge that `challenger` committed against an attempt.
    function challenge(uint256 taskId, uint8 attempt, address challenger) internal pure returns (bytes32) {
        return _tagged(3, keccak256(abi.encode(taskId, attempt, challenger)));
    }

    /// @notice Money of a dispute: its bond and, for a moment, the slash that is being split.
    function dispute(uint256 disputeId) internal pure returns (bytes32) {
        return bytes32((uint256(4) << 248) | disputeId);
    }

    /// @notice Bond of the appeal in a dispute.
    function appeal(uint256 disputeId) internal pure returns (bytes32) {
        return bytes32((uint256(5) << 248) | disputeId);
    }

    /// @notice Deposit of a sealed trap and, for a moment, the penalty of an auditor that let it pass.
    function trap(address sealer, bytes32 commitment) internal pure returns (bytes32) {
        return _tagged(6, keccak256(abi.encode(sealer, commitment)));
    }

    function _tagged(uint256 kind, bytes32 hash) private pure returns (bytes32) {
        return bytes32((kind << 248) | (uint256(hash) >> 8));
    }
}

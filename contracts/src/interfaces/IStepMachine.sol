// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice The machine of spec/numerics.md, "Programs". It holds no state and checks no opening: whoever calls it has done so.
interface IStepMachine {
    /// @notice An input by position. `shown` is false where the caller has no proof of it: an instruction that asks for such an
    /// input makes the run revert. Positions beyond the list have no input.
    struct Operand {
        bool shown;
        uint8 dtype;
        uint64[] dims;
    }

    struct Chunk {
        uint16 position;
        uint64 index;
        bytes data;
    }

    struct Environment {
        uint64[] attributes;
        uint8 dtype; // of the output
        uint64[] dims;
        Operand[] operands; // as many as the operator has inputs
        Chunk[] chunks;
    }

    /// @notice Executes up to `steps` instructions.
    /// @param machine counter:u32 || registers 1..63, u64 each, big-endian
    /// @return end the state afterwards: keccak256(machine), or keccak256(value:u64) once it has halted
    /// @return halted whether it has
    function run(bytes calldata program, bytes calldata machine, uint256 steps, Environment calldata env)
        external
        pure
        returns (bytes32 end, bool halted);
}

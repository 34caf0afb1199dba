// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IStepMachine} from "../interfaces/IStepMachine.sol";
import {Environments} from "./Environments.sol";
import {Instructions} from "./Instructions.sol";
import {INSTRUCTIONS, NEXT, PROGRAM, REFUSE, REGISTERS, TABLE, U64} from "./Layout.sol";

/// @notice The machine of spec/numerics.md, "Programs": takes a machine state through some of a program's instructions.
///
/// What it works on lies at fixed places of memory (Layout.sol). An instruction costs one table access and one jump: the table
/// says by opcode which bits an instruction may have and where its code is.
contract StepMachine is IStepMachine {
    error NoProgram(uint256 length);
    error NoEnd(uint256 opcode);
    error WrongMachineLength(uint256 length);
    error CounterOutsideProgram(uint256 counter, uint256 instructions);

    uint256 private constant MACHINE_BYTES = 508;
    uint256 private constant INSTRUCTION_BYTES = 8;
    uint256 private constant MAX_INSTRUCTIONS = 1024;

    /// @inheritdoc IStepMachine
    function run(bytes calldata program, bytes calldata machine, uint256 steps, Environment calldata env)
        external
        pure
        returns (bytes32 end, bool halted)
    {
        uint256 memoryEnd = Environments.decode(env);
        assembly ("memory-safe") {
            mstore(0x40, memoryEnd)
        }
        Instructions.fillTable();
        _decodeProgram(program);
        _decodeMachine(machine);
        _execute(steps);
        return (_encodeMachine(), false);
    }

    function _decodeProgram(bytes calldata program) private pure {
        uint256 length = program.length;
        uint256 count = length / INSTRUCTION_BYTES;
        // INVARIANT N-Programs: a program has 1 to 1024 instructions.
        if (length % INSTRUCTION_BYTES != 0 || count == 0 || count > MAX_INSTRUCTIONS) revert NoProgram(length);
        uint256 last = uint8(program[length - INSTRUCTION_BYTES]);
        // INVARIANT N-Programs: the last instruction is End or Jump, so that a counter leaves the program by no step but a jump.
        if (last != 0x01 && last != 0x02) revert NoEnd(last);
        assembly ("memory-safe") {
            mstore(PROGRAM, program.offset)
            mstore(INSTRUCTIONS, count)
        }
    }

    function _decodeMachine(bytes calldata machine) private pure {
        // INVARIANT P-L5: a machine is its counter and registers 1..64.
        if (machine.length != MACHINE_BYTES) revert WrongMachineLength(machine.length);
        uint256 counter;
        uint256 count;
        assembly ("memory-safe") {
            // four registers a word; the counter is the low half of what would be register 0
            let to := REGISTERS
            for { let from := sub(machine.offset, 4) } lt(to, add(REGISTERS, 0x800)) { from := add(from, 32) } {
                let four := calldataload(from)
                if four {
                    mstore(to, shr(192, four))
                    mstore(add(to, 0x20), and(shr(128, four), U64))
                    mstore(add(to, 0x40), and(shr(64, four), U64))
                    mstore(add(to, 0x60), and(four, U64))
                }
                to := add(to, 0x80)
            }
            counter := and(mload(REGISTERS), 0xffffffff)
            mstore(REGISTERS, 0)
            mstore(NEXT, add(mload(PROGRAM), shl(3, counter)))
            count := mload(INSTRUCTIONS)
        }
        // INVARIANT N-Programs: the counter is within the program.
        if (counter >= count) revert CounterOutsideProgram(counter, count);
    }

    function _execute(uint256 steps) private pure {
        if (steps == 0) return;
        uint256 instruction;
        uint256 a;
        uint256 b;
        function(uint256, uint256, uint256) pure returns (uint256) code = Instructions.refuse;
        do {
            assembly ("memory-safe") {
                let next := mload(NEXT)
                mstore(NEXT, add(next, 8))
                instruction := shr(192, calldataload(next))
                let entry := mload(add(TABLE, and(shr(51, instruction), 0xfe0)))
                code := shr(64, entry) // a call takes the low 32 bits of it
                // INVARIANT N-Programs: no instruction runs that a well-formed program cannot have. A d of 0 where one is
                // written borrows from the opcode, and so has bits that no d has.
                if and(or(instruction, sub(instruction, shr(128, entry))), not(entry)) { code := mload(REFUSE) }
                a := mload(add(REGISTERS, and(shr(35, instruction), 0x7e0)))
                b := mload(add(REGISTERS, and(shr(27, instruction), 0x7e0)))
                steps := sub(steps, 1)
            }
            uint256 d = code(instruction, a, b);
            assembly ("memory-safe") {
                mstore(add(REGISTERS, and(shr(43, instruction), 0x7e0)), and(d, U64))
            }
        } while (steps != 0);
    }

    /// The hash of the machine; its memory is used up.
    function _encodeMachine() private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // the counter goes to the low half of register 0, then four registers make a word, in place
            mstore(REGISTERS, shr(3, sub(mload(NEXT), mload(PROGRAM))))
            let from := REGISTERS
            for { let to := REGISTERS } lt(to, add(REGISTERS, 0x200)) { to := add(to, 0x20) } {
                mstore(
                    to,
                    or(
                        or(shl(192, mload(from)), shl(128, mload(add(from, 0x20)))),
                        or(shl(64, mload(add(from, 0x40))), mload(add(from, 0x60)))
                    )
                )
                from := add(from, 0x80)
            }
            hash := keccak256(add(REGISTERS, 4), 508)
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice The few instructions that the tests' longest program uses, the slow way: it tells the machine's states, which the
/// real machine keeps to itself.
library TinyMachine {
    struct State {
        uint256 counter;
        uint64[64] registers;
        bool halted;
        uint64 value;
    }

    function start(uint64 index) internal pure returns (State memory s) {
        s.registers[1] = index;
    }

    /// @param inputs elements of every input
    function run(State memory s, bytes memory program, uint64[][] memory inputs, uint256 steps) internal pure {
        unchecked {
            for (; steps > 0 && !s.halted; steps--) {
                uint256 word;
                uint256 at = s.counter * 8;
                assembly ("memory-safe") {
                    word := shr(192, mload(add(add(program, 32), at)))
                }
                _execute(s, word, inputs);
            }
        }
    }

    function encode(State memory s) internal pure returns (bytes memory out) {
        if (s.halted) return abi.encodePacked(s.value);
        out = abi.encodePacked(uint32(s.counter));
        for (uint256 i = 1; i < 64; i++) {
            out = abi.encodePacked(out, s.registers[i]);
        }
    }

    function _execute(State memory s, uint256 word, uint64[][] memory inputs) private pure {
        unchecked {
            uint256 opcode = word >> 56;
            uint64 a = s.registers[(word >> 40) & 0xff];
            uint64 b = s.registers[(word >> 32) & 0xff];
            uint64 imm = uint64(word & 0xffffffff);
            s.counter += 1;
            if (opcode == 0x10) s.registers[(word >> 48) & 0xff] = a + b + imm;
            else if (opcode == 0x40) s.registers[(word >> 48) & 0xff] = a < inputs[b].length ? inputs[b][a] : 0;
            else if (opcode == 0x03) s.counter = a < b ? imm : s.counter;
            else if (opcode == 0x01) (s.halted, s.value) = (true, a);
            else revert("no such instruction here");
        }
    }
}

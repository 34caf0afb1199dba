// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {IStepMachine} from "../../src/interfaces/IStepMachine.sol";
import {Environments} from "../../src/step/Environments.sol";
import {Instructions} from "../../src/step/Instructions.sol";
import {StepMachine} from "../../src/step/StepMachine.sol";

/// @notice States, jumps, and what is refused. That every operator and instruction computes what it should is tested against
/// the reference interpreter (crates/settlement/tests).
contract StepMachineTest is Test {
    // 0: r2 = r1 + 5; 1: if r2 < r3 go to 3; 2: end with r2; 3: r2 = load element r1 of input 0; 4: go to 2; 5: end
    bytes private constant PROGRAM = hex"1002010000000005" hex"0300020300000003" hex"0100020000000000" hex"4002010000000000"
        hex"0200000000000002" hex"0100000000000000";

    StepMachine private machine;

    function setUp() public {
        machine = new StepMachine();
    }

    function _state(uint32 counter, uint64 r1, uint64 r2, uint64 r3) private pure returns (bytes memory) {
        return abi.encodePacked(counter, r1, r2, r3, new bytes(480));
    }

    function _env(bool shown, uint256 chunkLength) private pure returns (IStepMachine.Environment memory env) {
        env.dtype = 2;
        env.operands = new IStepMachine.Operand[](1);
        uint64[] memory dims = new uint64[](1);
        dims[0] = 3;
        env.operands[0] = IStepMachine.Operand(shown, 3, dims);
        if (chunkLength == 0) return env;
        env.chunks = new IStepMachine.Chunk[](1);
        bytes memory data = new bytes(chunkLength);
        (data[8], data[9]) = (0x07, 0x01);
        env.chunks[0] = IStepMachine.Chunk(0, 0, data);
    }

    function test_run_stopsWhereItsStepsEnd() public view {
        (bytes32 end, bool halted) = machine.run(PROGRAM, _state(0, 2, 0, 9), 0, _env(false, 0));
        assertEq(end, keccak256(_state(0, 2, 0, 9)));
        assertFalse(halted);
        (end, halted) = machine.run(PROGRAM, _state(0, 2, 0, 9), 1, _env(false, 0));
        assertEq(end, keccak256(_state(1, 2, 7, 9)));
        (end, halted) = machine.run(PROGRAM, _state(0, 2, 0, 9), 2, _env(false, 0));
        assertEq(end, keccak256(_state(3, 2, 7, 9)), "the jump is taken");
        (end, halted) = machine.run(PROGRAM, _state(1, 2, 9, 9), 1, _env(false, 0));
        assertEq(end, keccak256(_state(2, 2, 9, 9)), "the jump is not taken");
        assertFalse(halted);
    }

    function test_run_haltsWithTheValueOfItsElement() public view {
        (bytes32 end, bool halted) = machine.run(PROGRAM, _state(0, 2, 0, 9), 4, _env(true, 12));
        assertEq(end, keccak256(_state(2, 2, 0x107, 9)));
        assertFalse(halted);
        for (uint256 steps = 5; steps < 8; steps++) {
            (end, halted) = machine.run(PROGRAM, _state(0, 2, 0, 9), steps, _env(true, 12));
            assertEq(end, keccak256(abi.encodePacked(uint64(0x107))));
            assertTrue(halted);
        }
        IStepMachine.Environment memory env = _env(false, 0);
        uint64[7] memory want = [0, 0x7fc00000, 0xff8000ff80ff8001, 0x80ff8001, 1, 1, 1];
        for (uint8 dtype = 1; dtype < 7; dtype++) {
            env.dtype = dtype;
            (end,) = machine.run(PROGRAM, _state(2, 0, 0xff8000ff80ff8001, 0), 1, env);
            uint64 value = dtype == 1 ? 0x80ff8001 : want[dtype];
            assertEq(end, keccak256(abi.encodePacked(value)), "the low bytes by the element type");
        }
        env.dtype = 1;
        (end,) = machine.run(PROGRAM, _state(2, 0, 0xff800001, 0), 1, env);
        assertEq(end, keccak256(abi.encodePacked(want[1])), "one NaN");
    }

    function test_run_unknownElementTypes_revert() public {
        uint8[4] memory none = [0, 14, 32, 255];
        for (uint256 i = 0; i < none.length; i++) {
            for (uint256 place = 0; place < 2; place++) {
                IStepMachine.Environment memory env = _env(true, 0);
                if (place == 0) env.dtype = none[i];
                else env.operands[0].dtype = none[i];
                vm.expectRevert(abi.encodeWithSelector(Environments.UnknownElementType.selector, none[i]));
                machine.run(PROGRAM, _state(0, 2, 0, 9), 1, env);
            }
        }
    }

    function test_load_beyondTheElements_is0WithoutAChunk() public view {
        (bytes32 end,) = machine.run(PROGRAM, _state(3, 3, 0, 0), 1, _env(true, 0));
        assertEq(end, keccak256(_state(4, 3, 0, 0)));
        (end,) = machine.run(PROGRAM, _state(3, type(uint64).max, 7, 0), 1, _env(true, 0));
        assertEq(end, keccak256(_state(4, type(uint64).max, 0, 0)));
    }

    function test_load_notShown_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Environments.OperandNotShown.selector, 0));
        machine.run(PROGRAM, _state(3, 2, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(Environments.ChunkNotShown.selector, 0, 0));
        machine.run(PROGRAM, _state(3, 2, 0, 0), 1, _env(true, 0));
        vm.expectRevert(abi.encodeWithSelector(Environments.WrongChunkLength.selector, 0, 0, 1024, 12));
        machine.run(PROGRAM, _state(3, 2, 0, 0), 1, _env(true, 1024));
    }

    function test_run_withWrongLengths_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(StepMachine.WrongMachineLength.selector, 509));
        machine.run(PROGRAM, bytes.concat(_state(0, 0, 0, 0), hex"00"), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(StepMachine.NoProgram.selector, 0));
        machine.run("", _state(0, 0, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(StepMachine.NoProgram.selector, 8200));
        machine.run(new bytes(8200), _state(0, 0, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(StepMachine.CounterOutsideProgram.selector, 6, 6));
        machine.run(PROGRAM, _state(6, 0, 0, 0), 1, _env(false, 0));
    }

    function test_run_ofWhatIsNoInstruction_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(Instructions.UnknownOpcode.selector, 0x47));
        machine.run(hex"47020000000000000100000000000000", _state(0, 0, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(Instructions.MalformedInstruction.selector, 0x1102010300000001));
        machine.run(hex"11020103000000010100000000000000", _state(0, 0, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(Instructions.TargetOutsideProgram.selector, 1, 1));
        machine.run(hex"0200000000000001", _state(0, 0, 0, 0), 1, _env(false, 0));
        vm.expectRevert(abi.encodeWithSelector(StepMachine.NoEnd.selector, 0x10));
        machine.run(hex"1002010000000005", _state(0, 0, 0, 0), 0, _env(false, 0));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "../utils/Test.sol";
import {IStepMachine} from "../../src/interfaces/IStepMachine.sol";
import {StepMachine} from "../../src/step/StepMachine.sol";

/// @notice The vectors of spec/vectors/numerics that are a program: what it gives element by element, or that it is refused.
contract StepVectorsTest is Test {
    uint256 private constant CHUNK = 1024;
    uint256 private constant STEPS = 512;

    StepMachine private machine;
    string private json;

    function setUp() public {
        machine = new StepMachine();
    }

    function test_arithmetic() public {
        _run("N-1", 12);
    }

    function test_oneNan() public {
        _run("N-2", 1);
    }

    function test_less() public {
        _run("N-3", 1);
    }

    function test_max() public {
        _run("N-4", 1);
    }

    function test_min() public {
        _run("N-5", 1);
    }

    function test_integersToFloats() public {
        _run("N-17", 1);
    }

    function test_signExtension() public {
        _run("N-23", 7);
    }

    function test_signedIntegersToFloats() public {
        _run("N-24", 1);
    }

    function test_halves() public {
        _run("N-25", 1);
        _run("N-26", 1);
        _run("N-27", 1);
        _run("N-28", 1);
    }

    function test_floatsToIntegers() public {
        _run("N-29", 1);
    }

    function test_logarithmAndNoise() public {
        _run("N-30", 1);
        _run("N-31", 1);
    }

    function test_integersAndWhatIsNoProgram() public {
        _run("machine", 21);
    }

    /// Every case of a file that has code; `expected` is how many.
    function _run(string memory name, uint256 expected) private {
        json = vm.readFile(string.concat("../spec/vectors/numerics/", name, ".json"));
        uint256 count = vm.parseJsonUint(json, ".count");
        uint256 found;
        for (uint256 i = 0; i < count; i++) {
            string memory at = string.concat(".cases[", _decimal(i), "]");
            if (!vm.keyExistsJson(json, string.concat(at, ".code"))) continue;
            found++;
            if (vm.keyExistsJson(json, string.concat(at, ".output.bytes"))) _check(at);
            else _checkRefused(at);
        }
        assertEq(found, expected, string.concat(name, ": cases with code"));
    }

    function _check(string memory at) private view {
        IStepMachine.Environment memory env = _environment(at);
        bytes memory code = _code(at);
        bytes memory want = vm.parseJsonBytes(json, string.concat(at, ".output.bytes"));
        uint256 size = env.dtype == 2 ? 8 : 4;
        for (uint256 element = 0; element * size < want.length; element++) {
            (bytes32 end, bool halted) = machine.run(code, _start(element), STEPS, env);
            assertTrue(halted, at);
            uint64 value = _littleEndian(want, element * size, size);
            assertEq(end, keccak256(abi.encodePacked(value)), string.concat(at, ", element ", _decimal(element)));
        }
    }

    function _checkRefused(string memory at) private view {
        IStepMachine.Environment memory env;
        env.dtype = 2;
        bytes memory call = abi.encodeCall(IStepMachine.run, (_code(at), _start(0), STEPS, env));
        (bool done, bytes memory data) = address(machine).staticcall(call);
        assertFalse(done, at);
        assertGe(data.length, 4, "an error with its values");
    }

    function _environment(string memory at) private view returns (IStepMachine.Environment memory env) {
        env.dtype = uint8(vm.parseJsonUint(json, string.concat(at, ".output.dtype")));
        env.dims = _words(string.concat(at, ".output.dims"));
        uint256 inputs;
        while (vm.keyExistsJson(json, _input(at, inputs, "bytes"))) inputs++;
        env.operands = new IStepMachine.Operand[](inputs);
        uint256 chunks;
        for (uint256 i = 0; i < inputs; i++) {
            uint8 dtype = uint8(vm.parseJsonUint(json, _input(at, i, "dtype")));
            env.operands[i] = IStepMachine.Operand(true, dtype, _words(_input(at, i, "dims")));
            chunks += (vm.parseJsonBytes(json, _input(at, i, "bytes")).length + CHUNK - 1) / CHUNK;
        }
        env.chunks = new IStepMachine.Chunk[](chunks);
        uint256 next;
        for (uint256 i = 0; i < inputs; i++) {
            bytes memory data = vm.parseJsonBytes(json, _input(at, i, "bytes"));
            for (uint256 index = 0; index * CHUNK < data.length; index++) {
                env.chunks[next++] = IStepMachine.Chunk(uint16(i), uint64(index), _slice(data, index * CHUNK));
            }
        }
    }

    function _code(string memory at) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(at, ".code"));
    }

    function _words(string memory key) private view returns (uint64[] memory words) {
        uint256[] memory found = vm.parseJsonUintArray(json, key);
        words = new uint64[](found.length);
        for (uint256 i = 0; i < found.length; i++) {
            words[i] = uint64(found[i]);
        }
    }

    function _start(uint256 element) private pure returns (bytes memory) {
        return abi.encodePacked(uint32(0), uint64(element), new bytes(496));
    }

    function _slice(bytes memory data, uint256 from) private pure returns (bytes memory part) {
        uint256 left = data.length - from;
        part = new bytes(left < CHUNK ? left : CHUNK);
        for (uint256 i = 0; i < part.length; i++) {
            part[i] = data[from + i];
        }
    }

    function _littleEndian(bytes memory data, uint256 from, uint256 size) private pure returns (uint64 value) {
        for (uint256 i = size; i > 0; i--) {
            value = value << 8 | uint8(data[from + i - 1]);
        }
    }

    function _input(string memory at, uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(at, ".inputs[", _decimal(i), "].", field);
    }

    function _decimal(uint256 n) private pure returns (string memory) {
        bytes memory digit = abi.encodePacked(bytes1(uint8(48 + n % 10)));
        return n < 10 ? string(digit) : string.concat(_decimal(n / 10), string(digit));
    }
}

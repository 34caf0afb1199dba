// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Test} from "../utils/Test.sol";

/// @notice The vectors of signed requests (spec/vectors/requests.json): no contract of the protocol reads one, but a wallet
/// shows and signs the same digest.
contract RequestVectorsTest is Test {
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant REQUEST =
        keccak256("Request(bytes32 bodyDigest,string route,address gateway,uint64 deadline,uint256 nonce)");

    string private json;

    function setUp() public {
        json = vm.readFile("../spec/vectors/requests.json");
    }

    function test_digestsAndSigners() public view {
        uint256 count = vm.parseJsonUint(json, ".count");
        assertGt(count, 0, "cases");
        for (uint256 i = 0; i < count; i++) {
            string memory at = string.concat(".cases[", _digit(i), "]");
            bytes32 digest = _digest(at);
            assertEq(digest, vm.parseJsonBytes32(json, string.concat(at, ".digest")), at);
            address signer = ECDSA.recover(digest, vm.parseJsonBytes(json, string.concat(at, ".signature")));
            assertEq(signer, _address(string.concat(at, ".account")), at);
        }
    }

    function test_refused() public view {
        bytes32 digest = _digest(".cases[0]");
        address account = _address(".cases[0].account");
        uint256 i;
        for (; vm.keyExistsJson(json, string.concat(".refused[", _digit(i), "]")); i++) {
            bytes memory signature = vm.parseJsonBytes(json, string.concat(".refused[", _digit(i), "].signature"));
            (address signer, ECDSA.RecoverError error,) = ECDSA.tryRecover(digest, signature);
            assertFalse(error == ECDSA.RecoverError.NoError && signer == account, _digit(i));
        }
        assertGt(i, 0, "refused");
    }

    function _digest(string memory at) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                DOMAIN,
                keccak256("Gavel"),
                keccak256("1"),
                vm.parseJsonUint(json, string.concat(at, ".chain_id")),
                _address(string.concat(at, ".market"))
            )
        );
        bytes32 bodyDigest = sha256(vm.parseJsonBytes(json, string.concat(at, ".body")));
        assertEq(bodyDigest, vm.parseJsonBytes32(json, string.concat(at, ".body_digest")), at);
        bytes32 request = keccak256(
            abi.encode(
                REQUEST,
                bodyDigest,
                keccak256(bytes(vm.parseJsonString(json, string.concat(at, ".route")))),
                _address(string.concat(at, ".gateway")),
                uint64(vm.parseJsonUint(json, string.concat(at, ".deadline"))),
                uint256(vm.parseJsonBytes32(json, string.concat(at, ".nonce")))
            )
        );
        return MessageHashUtils.toTypedDataHash(domain, request);
    }

    function _address(string memory at) private view returns (address) {
        return address(bytes20(vm.parseJsonBytes(json, at)));
    }

    /// Of a number below ten.
    function _digit(uint256 i) private pure returns (string memory) {
        return string(abi.encodePacked(bytes1(uint8(48 + i))));
    }
}

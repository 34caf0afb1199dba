// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealPlayers} from "./AppealPlayers.sol";
import {CourtFixture} from "./CourtFixture.sol";
import {TraceTree} from "./TraceTree.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {Dispute, ModelHeader, TaskSpec} from "../../src/interfaces/Types.sol";

/// @notice The whole protocol with the levels installed, and disputes about the tests' model. A provider signs its fine trace,
/// so that one move isolates.
abstract contract AppealSystemFixture is CourtFixture, AppealPlayers {
    /// @dev What the provider's next fine trace says of its first operator, if that is wrong too.
    bytes32 internal wrongBefore;

    function setUp() public virtual override {
        _deployLevels();
        super.setUp();
        at = address(theCourt);
    }

    function _params() internal view virtual override returns (Params memory p) {
        p = super._params();
        p.court.appealLevels = address(levels);
    }

    /// @dev The tests' model run once.
    function _header() internal view virtual override returns (ModelHeader memory h) {
        h = model;
        (h.maxSteps, h.traceHeight) = (1, 1);
    }

    /// @dev `name`'s result, which claims `t` of operator `tensor`, challenged and isolated there. A liar's output is another.
    function _isolatedAt(string memory name, address challenger, uint256 tensor, Tensor memory t)
        internal
        returns (uint256 taskId)
    {
        bool lies = _digest(t) != _digest(tensors[tensor]);
        bytes32[] memory leaves = _level1(lies);
        taskId = _resultOf(makeAddr(name), leaves);
        bytes32 own = lies ? _rootOf(_level1(false)) : keccak256("a challenger that lies");
        _commitChallenge(taskId, challenger, own);
        _toReveal(taskId);
        ID = _reveal(taskId, challenger, own);
        ICourt.IsolateDirect memory proof = _direct(leaves, tensor, t);
        proof.signature = _signFine(uint256(keccak256(bytes(name))), taskId, proof.leafIndex, proof.opsRoot);
        vm.prank(challenger);
        theCourt.isolateDirect(ID, proof);
    }

    function _direct(bytes32[] memory leaves, uint256 tensor, Tensor memory t)
        private
        returns (ICourt.IsolateDirect memory proof)
    {
        uint256 segment = (tensor - SCAN) / 2;
        uint256 index = (tensor - SCAN) % 2;
        claim = t;
        proof.claimedDigest = _digest(t);
        ops = _ops(segment, tensor, proof.claimedDigest);
        if (wrongBefore != 0) ops[0] = wrongBefore;
        proof.leafIndex = uint64(segment);
        proof.leaf = leaves[segment];
        proof.leafProof = TraceTree.open(leaves, 1, segment);
        proof.previousLeaf = TraceTree.root(_lives(int256(segment) - 1), 1);
        if (segment != 0) proof.previousProof = TraceTree.open(leaves, 1, segment - 1);
        proof.segment = _segment(segment);
        proof.opsRoot = TraceTree.root(ops, 1);
        proof.index = uint32(index);
        proof.claimedProof = TraceTree.open(ops, 1, index);
    }

    function _level1(bool lies) private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2);
        leaves[0] = TraceTree.root(_lives(0), 1);
        leaves[1] = lies ? keccak256("a wrong output") : TraceTree.root(_lives(1), 1);
    }

    function _rootOf(bytes32[] memory leaves) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"03", uint32(1), TraceTree.root(leaves, 1)));
    }

    function _resultOf(address provider, bytes32[] memory leaves) private returns (uint256 taskId) {
        TaskSpec memory spec = _spec();
        spec.inputDigest = TraceTree.root(_lives(-1), 1);
        vm.prank(requester);
        taskId = market.post(spec, "mem://input");
        _claim(taskId, provider);
        bytes32[] memory proof = TraceTree.open(leaves, 1, 1);
        bytes32 root = TraceTree.root(leaves, 1);
        vm.prank(provider);
        market.commit(taskId, 1, leaves[1], root, proof, new bytes32[](0));
    }

    // ---- referees

    /// @dev The truth about the isolated operator.
    function _truth() internal view returns (bytes32) {
        return _digest(tensors[_isolated()]);
    }

    function _rules(bool guilty) internal returns (address referee) {
        referee = _drawReferee(ID);
        bytes32 claimed = theCourt.dispute(ID).claimedDigest;
        bytes32 own = !guilty ? claimed : claimed == _truth() ? keccak256("a lie") : _truth();
        vm.prank(referee);
        theCourt.rule(ID, claimed, own);
    }

    /// @dev The drawn referee says that the provider is wrong at the operator before.
    function _pointsEarlier() internal returns (address referee) {
        referee = _drawReferee(ID);
        bytes32[] memory proof = TraceTree.open(ops, 1, 0);
        bytes32 truth = _digest(tensors[_isolated() - 1]);
        vm.prank(referee);
        theCourt.ruleEarlier(ID, 0, ops[0], ops[0] == truth ? keccak256("a lie") : truth, proof);
    }

    function _appeals(address by) internal {
        vm.prank(by);
        theCourt.appeal(ID);
    }

    // ---- games

    /// @dev One game to its step, both sides playing to element `element` of `scan`; the defender lies from batch `lieFrom` on.
    function _playScan(uint64 element, uint256 lieFrom) internal {
        _toElement(element);
        bytes[] memory run = _toStep(element, uint64(_run(element).length - 1), lieFrom);
        _step(_scanStep(run, _game().firstBatch));
    }
}

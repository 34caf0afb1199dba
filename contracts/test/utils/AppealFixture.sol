// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealPlayers} from "./AppealPlayers.sol";
import {DefaultParams} from "./DefaultParams.sol";
import {TraceTree} from "./TraceTree.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {StepProof} from "../../src/interfaces/IAppealLevels.sol";
import {CourtParams} from "../../src/interfaces/IParameters.sol";
import {AppealTerms, Dispute, IsolatedPlace, ModelHeader} from "../../src/interfaces/Types.sol";

/// @notice What the levels read of a court, its market and its parameters, as the test sets it.
contract StageCourt {
    mapping(uint256 => Dispute) private _disputes;
    ModelHeader private _model;
    CourtParams private _rules;

    function set(ModelHeader memory model_, CourtParams memory rules) external {
        (_model, _rules) = (model_, rules);
    }

    function put(uint256 disputeId, Dispute memory d) external {
        _disputes[disputeId] = d;
    }

    function handOver(AppealLevels levels, uint256 disputeId, address accuser) external {
        levels.open(disputeId, accuser);
    }

    function dispute(uint256 disputeId) external view returns (Dispute memory) {
        return _disputes[disputeId];
    }

    function market() external view returns (address) {
        return address(this);
    }

    function appealTerms(uint256 disputeId) external view returns (AppealTerms memory t) {
        Dispute storage d = _disputes[disputeId];
        t.provider = d.provider;
        t.inLive = d.inLive;
        t.clockBudget = _rules.clockBudget;
        t.clockIncrement = _rules.clockIncrement;
        t.referee = d.referee;
        t.ruledGuilty = d.ruledGuilty;
        t.ruledAt = d.ruledAt;
    }

    function isolatedPlace(uint256 disputeId) external view returns (IsolatedPlace memory p) {
        Dispute storage d = _disputes[disputeId];
        p.leafIndex = d.leafIndex;
        p.previousLeaf = d.previousLeaf;
        p.opsRoot = d.opsRoot;
        p.firstNode = d.firstNode;
        p.opCount = d.opCount;
        p.isolatedIndex = d.isolatedIndex;
        p.claimedDigest = d.claimedDigest;
    }

    function modelOf(uint256) external view returns (ModelHeader memory) {
        return _model;
    }

    function numericsOf(uint256) external view returns (uint32) {
        return _model.numericsVersion;
    }
}

/// @notice Appeals in a court that says what the test tells it.
abstract contract AppealFixture is AppealPlayers {
    StageCourt internal stage;
    CourtParams internal rules;
    address internal provider;
    address internal challenger;
    address internal referee;
    address internal anyone;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        provider = makeAddr("provider");
        challenger = makeAddr("challenger");
        referee = makeAddr("referee");
        anyone = makeAddr("anyone");
        _deployLevels();
        stage = new StageCourt();
        at = address(stage);
        rules = DefaultParams.get().court;
        stage.set(model, rules);
    }

    // ---- disputes

    /// @dev The provider claims `t` of operator `tensor`.
    function _disputed(uint256 tensor, Tensor memory t) internal returns (Dispute memory d) {
        uint256 segment = (tensor - SCAN) / 2;
        claim = t;
        d.provider = provider;
        d.challenger = challenger;
        d.leafIndex = uint64(segment);
        d.claimedDigest = _digest(t);
        ops = _ops(segment, tensor, d.claimedDigest);
        d.opsRoot = TraceTree.root(ops, 1);
        d.previousLeaf = TraceTree.root(_lives(int256(segment) - 1), 1);
        d.firstNode = uint32(2 * segment);
        d.opCount = 2;
        d.liveCount = 2;
        d.isolatedIndex = uint32((tensor - SCAN) % 2);
    }

    /// @dev A live slot of this segment of the first step holds `claimed`.
    function _disputedSlot(uint256 segment, uint32 slot, bytes32 claimed) internal returns (Dispute memory d) {
        d = _disputed(SCAN + 2 * segment, tensors[SCAN + 2 * segment]);
        d.inLive = true;
        d.isolatedIndex = slot;
        d.claimedDigest = claimed;
    }

    function _ruling(Dispute memory d, bool guilty) internal view returns (Dispute memory) {
        (d.referee, d.ruledAt, d.ruledGuilty) = (referee, uint64(block.timestamp), guilty);
        return d;
    }

    function _open(Dispute memory d) internal {
        _open(d, challenger);
    }

    function _open(Dispute memory d, address accuser) internal {
        stage.put(ID, d);
        stage.handOver(levels, ID, accuser);
    }

    // ---- checks

    /// @dev The levels refuse this call, with this error.
    function _refused(address caller, bytes memory call, bytes4 why) internal {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(levels).call(call);
        assertFalse(done, "was accepted");
        assertEq(bytes32(bytes4(answer)), bytes32(why), "refused for another reason");
    }

    /// @dev The levels refuse this call, for exactly this reason.
    function _refused(address caller, bytes memory call, bytes memory why) internal {
        vm.prank(caller);
        (bool done, bytes memory answer) = address(levels).call(call);
        assertFalse(done, "was accepted");
        assertEq(keccak256(answer), keccak256(why), "refused for another reason");
    }

    function _stepRefused(StepProof memory p, bytes4 why) internal {
        _refused(anyone, abi.encodeCall(levels.step, (address(stage), ID, _game().end, p)), why);
    }
}

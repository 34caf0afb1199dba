// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {FamilyTree} from "../utils/FamilyTree.sol";
import {MarketFixture} from "../utils/MarketFixture.sol";
import {MarketGhosts} from "./MarketGhosts.sol";
import {MarketHandler} from "./MarketHandler.sol";
import {Provider, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Invariants I1 to I5 and I8 to I10 over random histories of vault and market, the court's and the audits' calls
/// made by the handler. I3, I4, I5 and I9 are also asserted inside the handler, at the moment they could break.
/// I6 and I7 need games and are in SystemInvariants.
/// forge-config: default.invariant.runs = 4
/// forge-config: default.invariant.shrink-run-limit = 64
contract MarketInvariantsTest is MarketFixture {
    MarketHandler private handler;

    function setUp() public override {
        super.setUp();
        bytes32 familyId = _family();
        address[] memory first = new address[](3);
        (first[0], first[1], first[2]) = (alice, bob, carol);
        handler = new MarketHandler(
            MarketGhosts.Wiring({
                token: token,
                parameters: parameters,
                vault: vault,
                market: market,
                court: court,
                audits: audits,
                requester: requester,
                modelId: modelId,
                familyId: familyId,
                classId: familyId == 0 ? modelId : familyId,
                traceHeight: header.traceHeight,
                liveHeight: header.liveHeight,
                commitPoints: header.commitPoints
            }),
            first
        );
        require(token.transfer(address(handler), 10_000_000 * UNIT));
        _target(address(handler));
    }

    /// @dev What the tasks are served as; 0: the model itself.
    function _family() internal virtual returns (bytes32) {
        return 0;
    }

    function invariant_books() public view {
        _everyCoinIsInOneBucket();
        _lockedIsTheCollateralOfLiveTasks();
        _slashesAreSplitWhole();
        _tombstonesAreForEver();
    }

    /// I1
    function _everyCoinIsInOneBucket() private view {
        uint256 active;
        uint256 sum = uint256(vault.burned()) + vault.pot(Pots.AUDIT_POOL) + vault.credit(requester) + vault.credit(audits);
        for (uint256 id = 1; id <= handler.tasks(); id++) {
            sum += vault.pot(Pots.task(id));
        }
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            sum += uint256(vault.totalStake(key)) + vault.credit(_payoutOf(key));
            if (!handler.ghostTombstoned(key)) active += vault.totalStake(key);
        }
        assertEq(vault.totalActiveStake(), active, "I1: the stake of all who were never convicted");
        assertEq(token.balanceOf(address(vault)), sum, "I1: every coin is in one bucket");
    }

    /// I2, against the handler's own books
    function _lockedIsTheCollateralOfLiveTasks() private view {
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            uint256 locked;
            uint256 live;
            for (uint256 id = 1; id <= handler.tasks(); id++) {
                MarketGhosts.Ghost memory g = handler.ghost(id);
                if (g.provider != key) continue;
                if (g.state != TaskState.Claimed && g.state != TaskState.Committed && g.state != TaskState.Disputed) continue;
                locked += g.collateral;
                live++;
            }
            Provider memory p = vault.provider(key);
            assertEq(p.locked, locked, "I2: locked is the collateral of live tasks");
            assertEq(p.liveTasks, live, "I2: live tasks");
        }
    }

    /// I8
    function _slashesAreSplitWhole() private view {
        assertEq(handler.ghostSplit(), handler.ghostSlashed(), "I8: slashed in, paid and burned out");
    }

    /// I3
    function _tombstonesAreForEver() private view {
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            if (handler.ghostTombstoned(key)) assertFalse(vault.isEligible(key), "I3: a tombstone has no end");
        }
    }

    /// I10: every action did its work, and none was left out. (A stored counterexample, replayed, is shorter than a run.)
    function afterInvariant() public view {
        if (handler.total() < 200) return;
        bytes32[20] memory all = [
            bytes32("post"),
            "cancel",
            "expire",
            "claim",
            "claimRetry",
            "commit",
            "retract",
            "missDeadline",
            "unjail",
            "unbond",
            "withdrawCredit",
            "decideAudit",
            "openDispute",
            "clearDispute",
            "convict",
            "voidDispute",
            "penalise",
            "penaliseCorrelated",
            "settle",
            "wait"
        ];
        for (uint256 i = 0; i < all.length; i++) {
            assertGe(handler.calls(all[i]), 3, string(abi.encodePacked("I10: ", all[i])));
        }
        assertEq(handler.actionCount(), all.length, "I10: no action is missing from the list");
    }
}

/// @notice The same of tasks that are served as a family's.
/// forge-config: default.invariant.runs = 1
/// forge-config: default.invariant.shrink-run-limit = 64
contract FamilyInvariantsTest is MarketInvariantsTest {
    function _family() internal override returns (bytes32 familyId) {
        bytes32[] memory models = new bytes32[](2);
        (models[0], models[1]) = (keccak256("another"), modelId);
        familyId = FamilyTree.register(pool, models, "drawn");
        FamilyTree.show(pool, familyId, models, 1);
    }
}

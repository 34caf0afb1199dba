// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealHandler} from "./AppealHandler.sol";
import {Test} from "../utils/Test.sol";
import {AppealLevels} from "../../src/appeal/AppealLevels.sol";
import {Court} from "../../src/court/Court.sol";
import {Dispute, DisputeState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";

/// @notice Promises of the protocol over random histories of appeals, with liars in every role. That every appeal ends in its
/// time (I7), and that nobody rules or plays against the honest and wins, is asserted inside the handler too.
/// forge-config: default.invariant.runs = 2
/// forge-config: default.invariant.depth = 96
/// forge-config: default.invariant.shrink-run-limit = 64
/// forge-config: long.invariant.runs = 16
/// forge-config: long.invariant.depth = 256
contract AppealInvariantsTest is Test {
    uint128 private constant STAKE = 1_000e18;

    AppealHandler private handler;
    Court private court;
    StakeVault private vault;
    AppealLevels private levels;
    bytes4[] private actions;

    function setUp() public {
        handler = new AppealHandler();
        (address c, address v, address l) = handler.deployed();
        (court, vault, levels) = (Court(c), StakeVault(v), AppealLevels(l));
        actions = [AppealHandler.begin.selector, AppealHandler.act.selector, AppealHandler.wait.selector];
        // Most of what happens in a history are moves.
        for (uint256 i = 0; i < 5; i++) {
            actions.push(AppealHandler.act.selector);
        }
        _targetOnly(address(handler), actions);
    }

    function invariant_I6_honestProviders_loseNothing() public view {
        AppealHandler.Case[] memory all = handler.cases();
        for (uint256 i = 0; i < all.length; i++) {
            if (all[i].kind != AppealHandler.Kind.FalseAlarm) continue;
            assertEq(vault.totalStake(all[i].provider), STAKE, "stake");
            assertFalse(vault.isTombstoned(all[i].provider), "a tombstone");
            assertGe(handler.wealthOf(all[i]), all[i].wealth, "coins");
        }
    }

    function invariant_I6_anHonestChallenger_isNeverPoorer() public view {
        (uint256 began, uint256 has) = handler.watchersWealth();
        assertGe(has, began, "poorer");
    }

    function invariant_P_R4_honestReferees_areNeverSlashed() public view {
        address[] memory honest = handler.honestReferees();
        for (uint256 i = 0; i < honest.length; i++) {
            assertEq(vault.totalStake(honest[i]), STAKE, "stake of a referee");
            assertFalse(vault.isTombstoned(honest[i]), "a referee's tombstone");
        }
    }

    /// The honest side wins; a closed dispute stays as it is, its levels too, and keeps no money.
    function invariant_outcomes_areRight_andStay() public view {
        AppealHandler.Case[] memory all = handler.cases();
        for (uint256 i = 0; i < all.length; i++) {
            if (!all[i].closed) continue;
            Dispute memory d = court.dispute(all[i].id);
            if (all[i].kind == AppealHandler.Kind.Liar) assertTrue(d.state == DisputeState.Upheld, "a liar got away");
            if (all[i].kind == AppealHandler.Kind.FalseAlarm) assertTrue(d.state == DisputeState.Cleared, "a false alarm");
            assertTrue((d.state == DisputeState.Void) == all[i].moot, "void");
            assertEq(uint256(levels.outcome(address(court), all[i].id)), uint256(all[i].last), "the levels changed their mind");
            assertEq(vault.pot(Pots.dispute(all[i].id)) + vault.pot(Pots.appeal(all[i].id)), 0, "money stayed");
        }
    }

    /// A long history by a fixed script meets everything that the invariants are about.
    function test_scriptedHistory_meetsEverything() public {
        vm.pauseGasMetering();
        for (uint256 i = 0; i < 500; i++) {
            uint256 seed = uint256(keccak256(abi.encode("appeals", i)));
            (bool done, bytes memory why) =
                address(handler).call(abi.encodeWithSelector(actions[seed % actions.length], seed >> 8));
            if (!done) {
                assembly {
                    revert(add(why, 32), mload(why))
                }
            }
            if (i % 25 == 0) _all();
        }
        _all();
        string[17] memory events = [
            "upheld",
            "cleared",
            "unappealed",
            "honest appeal",
            "dishonest appeal",
            "silent referee",
            "earlier, rightly",
            "earlier, lying",
            "earlier convicted",
            "restored",
            "no ruling",
            "overturned",
            "confirmed",
            "timeout",
            "replay",
            "step in a replay",
            "moot"
        ];
        for (uint256 i = 0; i < events.length; i++) {
            assertGe(handler.happened(bytes32(bytes(events[i]))), 1, string.concat("never happened: ", events[i]));
        }
    }

    function _all() private view {
        invariant_I6_honestProviders_loseNothing();
        invariant_I6_anHonestChallenger_isNeverPoorer();
        invariant_P_R4_honestReferees_areNeverSlashed();
        invariant_outcomes_areRight_andStay();
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SystemHandler} from "./SystemHandler.sol";
import {Test} from "../utils/Test.sol";
import {Court} from "../../src/court/Court.sol";
import {Market} from "../../src/market/Market.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {DevToken} from "../../src/token/DevToken.sol";
import {AuditParams} from "../../src/interfaces/IParameters.sol";
import {Dispute, DisputeState, Provider, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice The invariants over random histories of market, court, audits and traps together, with honest players and liars in
/// every role. I3, I4, I5, I8, I9 and I11 are also asserted inside the handler at every single call, where they could break.
/// forge-config: default.invariant.runs = 1
/// forge-config: default.invariant.depth = 128
/// forge-config: default.invariant.shrink-run-limit = 64
/// forge-config: long.invariant.runs = 8
/// forge-config: long.invariant.depth = 384
contract SystemInvariantsTest is Test {
    SystemHandler private handler;
    StakeVault private vault;
    Market private market;
    Court private court;
    DevToken private token;
    bytes4[] private actions;
    string[] private names;

    function setUp() public {
        vm.warp(1_700_000_000);
        handler = new SystemHandler();
        (vault, market, court, token) = handler.parts();
        _actions();
        _targetOnly(address(handler), actions);
    }

    function _action(string memory name) private {
        names.push(name);
        actions.push(bytes4(keccak256(bytes(string.concat(name, "(uint256)")))));
    }

    function _actions() private {
        string[34] memory all = [
            "post",
            "cancel",
            "claim",
            "claimRetry",
            "commit",
            "missDeadline",
            "retract",
            "unjail",
            "settle",
            "unbond",
            "withdraw",
            "withdrawCredit",
            "penaliseCorrelated",
            "challenge",
            "grief",
            "reveal",
            "move",
            "direct",
            "rule",
            "appeal",
            "finalize",
            "audit",
            "auditTimeout",
            "setTrap",
            "answerTrap",
            "revealTrap",
            "claimTrap",
            "closeTrap",
            "collectTrap",
            "penaliseAuditor",
            "unsealTrap",
            "excuse",
            "sweep",
            "wait"
        ];
        for (uint256 i = 0; i < all.length; i++) {
            _action(all[i]);
        }
    }

    // ---- the eleven

    function invariant_I1_everyCoinIsInOneBucket() public view {
        uint256 active;
        uint256 sum = uint256(vault.burned()) + vault.pot(Pots.AUDIT_POOL);
        for (uint256 id = 1; id <= market.taskCount(); id++) {
            sum += vault.pot(Pots.task(id));
        }
        for (uint256 i = 0; i < handler.challengePotCount(); i++) {
            sum += vault.pot(handler.challengePots(i));
        }
        for (uint256 id = 1; id <= court.disputeCount(); id++) {
            sum += uint256(vault.pot(Pots.dispute(id))) + vault.pot(Pots.appeal(id));
        }
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            Provider memory p = vault.provider(key);
            uint256 whole = uint256(p.free) + p.locked + p.unbonding;
            if (!p.tombstoned) active += whole;
            sum += whole;
            sum += uint256(vault.credit(key)) + vault.credit(p.owner) + vault.credit(p.payout);
        }
        address[5] memory others = handler.others();
        for (uint256 i = 0; i < others.length; i++) {
            sum += vault.credit(others[i]);
        }
        for (uint256 i = 0; i < handler.trapPotCount(); i++) {
            sum += vault.pot(handler.trapPots(i));
        }
        assertEq(token.balanceOf(address(vault)), sum, "I1: every coin is in one bucket");
        assertEq(vault.totalActiveStake(), active, "I1: the stake of all who were never convicted");
    }

    function invariant_I2_lockedIsTheCollateralOfLiveTasks() public view {
        uint256 count = market.taskCount();
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            Provider memory p = vault.provider(key);
            uint256 held;
            for (uint256 id = 1; id <= count; id++) {
                held += vault.lockedFor(key, id);
            }
            assertEq(p.locked, held, "I2: what the tasks hold");
            assertEq(p.locked, handler.ghostLocked(key), "I2: what the events say");
            assertEq(p.liveTasks, handler.ghostLive(key), "I2: live tasks");
        }
    }

    function invariant_I3_tombstonesAreForEver() public view {
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            assertTrue(vault.isTombstoned(key) == handler.ghostTombstoned(key), "I3: for ever");
            if (handler.ghostTombstoned(key)) assertFalse(vault.isEligible(key), "I3: never eligible again");
        }
    }

    function invariant_I4_nothingLeavesUnderAnObligation() public {
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            Provider memory p = vault.provider(key);
            assertEq(p.frozen, handler.ghostFrozen(key), "I4: frozen");
            if (p.liveTasks == 0 && p.frozen == 0 && vault.dutiesOf(key) == 0) continue;
            for (uint256 entry = 0; entry < 8; entry++) {
                vm.prank(key);
                (bool done,) = address(vault).call(abi.encodeCall(StakeVault.withdrawUnbonded, (entry)));
                assertFalse(done, "I4: stake left under an obligation");
            }
        }
    }

    function invariant_I5_statesAreWhereTheirHistoryLeads() public view {
        for (uint256 id = 1; id <= market.taskCount(); id++) {
            (TaskState state, uint8 attempt,,,) = market.standing(id);
            (TaskState wanted, uint8 wantedAttempt) = handler.seenTask(id);
            assertEq(uint256(state), uint256(wanted), "I5: task");
            assertEq(attempt, wantedAttempt, "I5: attempt");
        }
        for (uint256 id = 1; id <= court.disputeCount(); id++) {
            assertEq(uint256(court.dispute(id).state), uint256(handler.seenDispute(id)), "I5: dispute");
        }
    }

    /// The honest provider never loses stake, the honest challenger never ends poorer.
    function invariant_I6_theHonestLoseNothing() public view {
        for (uint256 i = 0; i < handler.providerCount(); i++) {
            address key = handler.providers(i);
            if (!handler.honest(key)) continue;
            assertEq(vault.totalStake(key) + handler.ghostWithdrawn(key), handler.honestStake(key), "I6: honest provider");
            assertFalse(vault.isTombstoned(key), "I6: honest provider");
        }
        (uint256 began, uint256 has) = handler.watchersWealth();
        assertGe(has, began, "I6: honest challenger");
    }

    function invariant_I7_everyDisputeEndsInTime() public view {
        uint256 most = court.disputeDurationMax(handler.model());
        for (uint256 i = 0; i < handler.openDisputeCount(); i++) {
            uint256 id = handler.openDisputeAt(i);
            assertLe(block.timestamp, handler.disputeOpenedAt(id) + most, "I7: open for too long");
        }
    }

    function invariant_I8_verdictsPayOutWhatCameIn() public view {
        assertEq(handler.verdictOut(), handler.verdictIn(), "I8: in and out");
        for (uint256 id = 1; id <= court.disputeCount(); id++) {
            Dispute memory d = court.dispute(id);
            uint256 wanted = d.state >= DisputeState.Upheld ? 0 : d.bond;
            assertEq(vault.pot(Pots.dispute(id)), wanted, "I8: the bond until the end, then nothing");
        }
    }

    function invariant_I9_theRetryLaneIsAQueue() public view {
        assertEq(market.retryHead(handler.model()), handler.ghostHead(), "I9: oldest of the highest attempt");
    }

    function invariant_I10_callsDoTheirWork() public view {
        uint256 total = handler.total();
        if (total < 100) return; // a stored counterexample, replayed, is shorter than a run
        assertGe(handler.totalWorked() * 5, total * 2, "I10: two calls in five");
    }

    /// What was put up for a trap is what was paid, burned and is left of it, and the pool pays a fee for each audit and nothing else.
    function invariant_I11_trapsAndAuditsPayOutWhatCameIn() public view {
        for (uint256 i = 0; i < handler.trapPotCount(); i++) {
            bytes32 pot = handler.trapPots(i);
            assertGe(handler.trapIn(pot), handler.trapOut(pot), "I11: more than was put in");
            assertEq(vault.pot(pot), handler.trapIn(pot) - handler.trapOut(pot), "I11: what is left of a deposit");
        }
        assertEq(vault.pot(Pots.AUDIT_POOL), handler.ghostPool(), "I11: the audit pool");
        (AuditParams memory rules, uint256 opened) = (handler.auditRules(), handler.auditsOpened());
        assertLe(handler.feesPaid(), opened * rules.fee, "I11: a fee for each audit");
        uint256 lent;
        for (uint256 i = 0; i < handler.openDisputeCount(); i++) {
            uint256 id = handler.openDisputeAt(i);
            if (handler.byAudit(id)) lent += court.dispute(id).bond;
        }
        assertEq(handler.bondsLent(), lent, "I11: bonds that are out");
        // whoever sets traps, and finds them too, wins nothing but its half of penalties
        (uint256 began, uint256 has, uint256 fines) = handler.sealersWealth();
        assertLe(has, began + fines, "I11: the sealer and its friend");
    }

    // ---- no vacuity: a long history that is the same every time, and meets everything

    function test_scriptedHistory_meetsEverything() public {
        vm.pauseGasMetering();
        for (uint256 i = 0; i < 30 * actions.length; i++) {
            uint256 seed = uint256(keccak256(abi.encode("script", i)));
            (bool done, bytes memory why) =
                address(handler).call(abi.encodeWithSelector(actions[seed % actions.length], seed >> 8));
            if (!done) {
                assembly {
                    revert(add(why, 32), mload(why))
                }
            }
            if (i % 24 == 0) _all();
        }
        _all();
        for (uint256 i = 0; i < names.length; i++) {
            assertGe(handler.worked(bytes32(bytes(names[i]))), 1, string.concat("never worked: ", names[i]));
        }
        string[31] memory events = [
            "upheld",
            "cleared",
            "void",
            "moot",
            "timeout",
            "finalized",
            "appealed",
            "earlier",
            "forfeited",
            "referee missed",
            "match",
            "mismatch",
            "penalised",
            "tombstoned",
            "correlated",
            "reversed",
            "requeued",
            "settled",
            "withdrawn",
            "sealed",
            "unsealed",
            "shown",
            "passed",
            "found",
            "heard late",
            "trap void",
            "unfound",
            "found by one",
            "found by two",
            "found by more",
            "collected"
        ];
        for (uint256 i = 0; i < events.length; i++) {
            assertGe(handler.happened(bytes32(bytes(events[i]))), 1, string.concat("never happened: ", events[i]));
        }
        assertGe(handler.worked("gated"), 1, "nobody was ever sent to the retry lane");
    }

    function _all() private {
        invariant_I1_everyCoinIsInOneBucket();
        invariant_I2_lockedIsTheCollateralOfLiveTasks();
        invariant_I3_tombstonesAreForEver();
        invariant_I4_nothingLeavesUnderAnObligation();
        invariant_I5_statesAreWhereTheirHistoryLeads();
        invariant_I6_theHonestLoseNothing();
        invariant_I7_everyDisputeEndsInTime();
        invariant_I8_verdictsPayOutWhatCameIn();
        invariant_I9_theRetryLaneIsAQueue();
        invariant_I10_callsDoTheirWork();
        invariant_I11_trapsAndAuditsPayOutWhatCameIn();
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TrapFixture} from "../utils/TrapFixture.sol";
import {Test} from "../utils/Test.sol";
import {AuditState} from "../../src/interfaces/IAudits.sol";
import {Trap} from "../../src/interfaces/ITraps.sol";
import {DisputeState, TaskState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Random histories of traps, each call with the situation it needs. Where a jackpot is due is a ghost of what the
/// handler did, never read back from the contract.
contract TrapHandler is TrapFixture {
    uint256 private constant TASKS_MAX = 6;

    uint256[] private tasks;
    bytes32[] private nonces; // of each task's seal
    address[3] private finders;
    mapping(uint256 => mapping(address => bool)) private found; // before the trap was shown
    mapping(uint256 => mapping(address => bool)) private entered;
    mapping(uint256 => uint256) private countOf;
    mapping(uint256 => bool) private shown;
    mapping(uint256 => bool) private closed;

    uint256 public held; // deposits that nobody has been paid from
    uint256 public due; // shares of closed traps that wait
    uint256 public paid; // jackpots, to finders
    uint256 public wasted; // burned of jackpots
    uint256 public returned; // deposits, to the sealer
    uint256 public fined; // penalties
    uint256 public caught; // lazy auditors

    constructor() {
        setUp();
        finders = [_funded("finder-1"), _funded("finder-2"), _funded("finder-3")];
    }

    function potsSum() external view returns (uint256 sum) {
        for (uint256 i = 0; i < nonces.length; i++) {
            sum += vault.pot(_potOf(_commitmentOf(requester, alice, nonces[i])));
        }
    }

    function burned() external view returns (uint256) {
        return vault.burned();
    }

    function sealerCredit() external view returns (uint256) {
        return vault.credit(sealer);
    }

    function findersCredit() external view returns (uint256) {
        return vault.credit(finders[0]) + vault.credit(finders[1]) + vault.credit(finders[2]);
    }

    function setTrap(uint256) public returns (uint256 i) {
        // its provider takes no task while a dispute runs
        if (tasks.length == TASKS_MAX || _frozen(alice) != 0) return tasks.length - 1;
        bytes32 nonce = bytes32(nonces.length + 1);
        tasks.push(_trapped(nonce));
        nonces.push(nonce);
        held += JACKPOT;
        return tasks.length - 1;
    }

    /// @dev A finder commits and reveals, if it can.
    function find(uint256 r) external {
        uint256 i = _some(r);
        address finder = finders[(r >> 8) % 3];
        uint256 taskId = tasks[i];
        if (found[i][finder] || shown[i] || !_standsIn(taskId)) return;
        uint256 at = market.task(taskId).committedAt;
        if (block.timestamp >= at + parameters.marketAt(1).challengeWindow) return;
        _commitChallenge(taskId, finder, _rightRoot());
        _toReveal(taskId);
        _reveal(taskId, finder, _rightRoot());
        found[i][finder] = true;
        skip(1);
    }

    function auditLazily(uint256 r) external {
        uint256 i = _some(r);
        uint256 taskId = tasks[i];
        if (shown[i] || !_standsIn(taskId) || _auditOf(taskId).state != AuditState.None) return;
        address auditor = _decideAudit(taskId);
        if (auditor == address(0) || _auditOf(taskId).leafIndex == TRAP_LEAF) return;
        _commitCopied(taskId);
        _openCopied(taskId);
    }

    function show(uint256 r) external {
        uint256 i = _some(r);
        uint256 taskId = tasks[i];
        if (shown[i] || !_standsIn(taskId)) return;
        bool lazy = _auditOf(taskId).state == AuditState.Matched;
        if (!_isFound(i)) {
            if (!market.task(taskId).auditClosed) return;
            _toWindowsEnd(taskId);
        }
        (uint256 creditBefore, uint256 burnedBefore) = (vault.credit(sealer), vault.burned());
        _showTrap(taskId, nonces[i]);
        shown[i] = true;
        uint256 half = vault.credit(sealer) - creditBefore;
        assertEq(vault.burned() - burnedBefore, half, "half of a penalty is burned");
        assertTrue(lazy == (half != 0), "only the lazy pay");
        fined += half;
        if (lazy) caught++;
    }

    function endDispute(uint256 r) external {
        uint256 count = theCourt.disputeCount();
        if (count == 0) return;
        uint256 id = 1 + r % count;
        uint256 i = _indexOf(theCourt.dispute(id).taskId);
        bool ok = shown[i] && theCourt.dispute(id).state < DisputeState.Upheld;
        try theCourt.closeMoot(id) {
            assertTrue(ok, "a dispute ended that nobody's word ends");
            assertPotsEmpty(id);
        } catch {
            assertFalse(ok, "the trap's word was not heard");
        }
    }

    function enter(uint256 r) external {
        uint256 i = _some(r);
        address finder = finders[(r >> 8) % 3];
        bool ok = shown[i] && found[i][finder] && !entered[i][finder] && !closed[i]
            && block.timestamp <= traps.trapOf(tasks[i], 0).claimsUntil;
        try traps.enter(tasks[i], 0, finder) {
            assertTrue(ok, "one entered that found nothing");
            entered[i][finder] = true;
            countOf[i]++;
        } catch {
            assertFalse(ok, "a finder was refused");
        }
    }

    function close(uint256 r) external {
        uint256 i = _some(r);
        if (!shown[i] || closed[i]) return;
        _toClaimsEnd(tasks[i]);
        (uint256 creditBefore, uint256 burnedBefore) = (vault.credit(sealer), vault.burned());
        traps.close(tasks[i], 0);
        closed[i] = true;
        held -= JACKPOT;
        uint256 k = countOf[i];
        uint256 share = k == 0 ? 0 : uint256(JACKPOT) >> (k - 1);
        due += k * share;
        uint256 rest = k == 0 ? 0 : JACKPOT - k * share;
        wasted += rest;
        if (k == 0) returned += JACKPOT;
        assertEq(vault.burned() - burnedBefore, rest, "what finders do not get is burned");
        assertEq(vault.credit(sealer) - creditBefore, k == 0 ? JACKPOT : 0, "only what nobody found returns");
    }

    function collect(uint256 r) external {
        uint256 i = _some(r);
        address finder = finders[(r >> 8) % 3];
        if (!closed[i] || !entered[i][finder]) return;
        uint256 share = uint256(JACKPOT) >> (countOf[i] - 1);
        bool ok = traps.isFinder(tasks[i], 0, finder);
        try traps.collect(tasks[i], 0, finder) {
            assertTrue(ok, "paid twice");
            due -= share;
            paid += share;
        } catch {
            assertFalse(ok, "a finder was not paid");
        }
    }

    function wait_(uint256 r) external {
        skip(r % 300);
    }

    function _some(uint256 r) private returns (uint256) {
        return tasks.length == 0 ? setTrap(r) : r % tasks.length;
    }

    function _indexOf(uint256 taskId) private view returns (uint256 i) {
        while (tasks[i] != taskId) i++;
    }

    function _standsIn(uint256 taskId) private view returns (bool) {
        TaskState s = market.task(taskId).state;
        return (s == TaskState.Committed || s == TaskState.Disputed) && market.task(taskId).attempt == 0;
    }

    function _isFound(uint256 i) private view returns (bool) {
        return found[i][finders[0]] || found[i][finders[1]] || found[i][finders[2]];
    }
}

/// @notice I1 and I8 for traps, and P-K5: deposits are held, shared, burned or back, and nothing else.
contract TrapInvariantsTest is Test {
    TrapHandler private handler;

    function setUp() public {
        vm.warp(1_700_000_000);
        handler = new TrapHandler();
        bytes4[] memory actions = new bytes4[](9);
        (actions[0], actions[1], actions[2]) = (handler.setTrap.selector, handler.find.selector, handler.auditLazily.selector);
        (actions[3], actions[4], actions[5]) = (handler.show.selector, handler.endDispute.selector, handler.enter.selector);
        (actions[6], actions[7], actions[8]) = (handler.close.selector, handler.collect.selector, handler.wait_.selector);
        _targetOnly(address(handler), actions);
    }

    function invariant_money() public view {
        assertEq(handler.potsSum(), handler.held() + handler.due(), "pots hold open deposits and open shares");
        assertEq(handler.sealerCredit(), handler.returned() + handler.fined(), "the sealer");
        assertEq(handler.burned(), handler.wasted() + handler.fined(), "what is burned");
        assertLe(handler.paid(), handler.findersCredit(), "finders have what they were paid (and bonds)");
    }

    /// The history that the handler is about does happen: each of its ends is reached by hand once.
    function test_handlerReachesEveryEnd() public {
        handler.setTrap(0);
        handler.find(0);
        handler.find(1 << 8);
        handler.show(0);
        handler.endDispute(0);
        handler.endDispute(1);
        handler.enter(0);
        handler.enter(1 << 8);
        handler.close(0);
        handler.collect(0);
        handler.collect(1 << 8);
        assertEq(handler.paid(), 64e18, "found by two");
        handler.setTrap(0);
        handler.auditLazily(1);
        handler.show(1);
        assertEq(handler.caught(), 1, "passed by a lazy auditor");
        handler.close(1);
        assertEq(handler.returned(), 64e18, "found by nobody");
        invariant_money();
    }
}

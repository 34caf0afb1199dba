// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {CourtFixture} from "../utils/CourtFixture.sol";
import {Vm} from "../utils/Vm.sol";
import {IAudits} from "../../src/interfaces/IAudits.sol";
import {ICourt} from "../../src/interfaces/ICourt.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IStakeVault} from "../../src/interfaces/IStakeVault.sol";
import {ITraps} from "../../src/interfaces/ITraps.sol";
import {Dispute, DisputeState} from "../../src/interfaces/Types.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice The books of traps and of the audit pool, kept from the events of every call: who found what and when, what each finder is due,
/// where each deposit went. Asserted at the call: nobody is paid twice, every finder the same share, each audit one fee (I11).
abstract contract TrapGhosts is CourtFixture {
    /// @dev A trap that was shown.
    struct Book {
        bytes32 pot;
        address sealer;
        uint128 jackpot;
        uint64 shownAt;
        bool fined;
        bool closed;
        uint16 finders;
    }

    /// @dev How often something happened.
    mapping(bytes32 => uint256) public happened;
    mapping(uint256 => mapping(uint8 => Book)) internal books; // task -> attempt
    bytes32[] public trapPots;
    mapping(bytes32 => uint256) public trapIn; // by pot
    mapping(bytes32 => uint256) public trapOut;
    mapping(bytes32 => uint128) private _deposits;
    mapping(uint256 => mapping(uint8 => mapping(address => bool))) internal entered;
    mapping(uint256 => mapping(uint8 => mapping(address => bool))) internal collected;
    // what a finder has said, and when
    mapping(uint256 => mapping(uint8 => mapping(address => uint256))) internal _challengedAt;
    mapping(uint256 => mapping(uint8 => mapping(address => bool))) internal _heard;
    mapping(uint256 => mapping(uint8 => mapping(address => uint256))) internal _auditedAt;

    uint256 public ghostPool; // the audit pool
    uint256 public feesPaid;
    uint256 public auditsOpened;
    uint256 public bondsLent; // of audits' disputes that run

    /// @notice Penalties and jackpots that came to this account by traps.
    mapping(address => uint256) public trapIncome;

    function trapPotCount() external view returns (uint256) {
        return trapPots.length;
    }

    function _address(bytes32 topic) internal pure returns (address) {
        return address(uint160(uint256(topic)));
    }

    // ---- traps

    function _trapLog(Vm.Log memory log) internal {
        bytes32 topic = log.topics[0];
        if (topic == ITraps.Sealed.selector) {
            bytes32 pot = Pots.trap(_address(log.topics[1]), log.topics[2]);
            assertEq(_deposits[pot], 0, "P-K2: sealed twice");
            trapPots.push(pot);
            _deposits[pot] = abi.decode(log.data, (uint128));
            happened["sealed"]++;
        } else if (topic == ITraps.Unsealed.selector) {
            happened["unsealed"]++;
        } else if (topic == ITraps.TrapRevealed.selector) {
            _shownLog(log);
        } else if (topic == ITraps.TrapPassed.selector) {
            (uint8 attempt, uint128 penalty) = abi.decode(log.data, (uint8, uint128));
            Book storage b = books[uint256(log.topics[1])][attempt];
            assertFalse(b.fined, "P-K4: two penalties for one trap");
            b.fined = true;
            trapIn[b.pot] += penalty;
            happened["passed"]++;
        } else if (topic == ITraps.TrapFound.selector) {
            uint8 attempt = abi.decode(log.data, (uint8));
            uint256 taskId = uint256(log.topics[1]);
            address finder = _address(log.topics[2]);
            assertFalse(entered[taskId][attempt][finder], "P-K5: entered twice");
            assertFalse(books[taskId][attempt].closed, "P-K5: entered too late");
            entered[taskId][attempt][finder] = true;
            books[taskId][attempt].finders++;
            happened["found"]++;
        } else if (topic == ITraps.TrapClosed.selector) {
            (uint8 attempt, uint16 finders, uint128 share) = abi.decode(log.data, (uint8, uint16, uint128));
            Book storage b = books[uint256(log.topics[1])][attempt];
            b.closed = true;
            assertEq(finders, b.finders, "P-K5: all finders");
            assertEq(share, _shareOf(b), "P-K5: the share");
            bytes32[4] memory by = [bytes32("unfound"), "found by one", "found by two", "found by more"];
            happened[by[finders < 3 ? finders : 3]]++;
        } else if (topic == ITraps.JackpotPaid.selector) {
            (uint8 attempt, uint128 amount) = abi.decode(log.data, (uint8, uint128));
            uint256 taskId = uint256(log.topics[1]);
            address finder = _address(log.topics[2]);
            assertTrue(entered[taskId][attempt][finder], "P-K5: paid to one that found nothing");
            assertFalse(collected[taskId][attempt][finder], "P-K5: paid twice");
            collected[taskId][attempt][finder] = true;
            assertEq(amount, _shareOf(books[taskId][attempt]), "P-K5: every finder the same");
            trapIncome[finder] += amount;
            happened["collected"]++;
        }
    }

    function _shownLog(Vm.Log memory log) private {
        (uint8 attempt, bytes32 commitment,,) = abi.decode(log.data, (uint8, bytes32, uint64, uint64));
        address sealer_ = _address(log.topics[2]);
        bytes32 pot = Pots.trap(sealer_, commitment);
        Book storage b = books[uint256(log.topics[1])][attempt];
        assertEq(b.shownAt, 0, "P-K3: shown twice");
        (b.pot, b.sealer, b.jackpot, b.shownAt) = (pot, sealer_, _deposits[pot], uint64(block.timestamp));
        happened["shown"]++;
    }

    function _shareOf(Book storage b) internal view returns (uint128) {
        return b.finders == 0 ? 0 : b.jackpot >> (b.finders - 1);
    }

    /// @dev Whether this account said that the result is wrong before its trap was shown, so that anybody can enter it.
    function _foundIt(uint256 taskId, uint8 attempt, address who) internal view returns (bool) {
        return _said(taskId, attempt, who) && _heard[taskId][attempt][who];
    }

    /// @dev It had committed to something by then.
    function _said(uint256 taskId, uint8 attempt, address who) internal view returns (bool) {
        uint256 shownAt = books[taskId][attempt].shownAt;
        uint256 challenged = _challengedAt[taskId][attempt][who];
        uint256 audited = _auditedAt[taskId][attempt][who];
        return (challenged != 0 && challenged < shownAt) || (audited != 0 && audited < shownAt);
    }

    // ---- audits

    function _auditLog(Vm.Log memory log) internal {
        bytes32 topic = log.topics[0];
        if (topic == IAudits.AuditCommitted.selector) {
            uint256 taskId = uint256(log.topics[1]);
            (, uint8 attempt,,,) = market.standing(taskId);
            _auditedAt[taskId][attempt][_address(log.topics[2])] = block.timestamp;
        } else if (topic == IAudits.AuditMatched.selector || topic == IAudits.AuditMismatched.selector) {
            auditsOpened++;
        }
    }

    // ---- where the money is

    function _moneyLog(Vm.Log memory log, Vm.Log[] memory all) internal {
        bytes32 topic = log.topics[0];
        if (log.emitter == address(vault)) {
            if (topic == IStakeVault.PotFunded.selector) {
                uint128 amount = abi.decode(log.data, (uint128));
                if (log.topics[1] == Pots.AUDIT_POOL) ghostPool += amount;
                else if (_isTrapPot(log.topics[1])) trapIn[log.topics[1]] += amount;
            } else if (topic == IStakeVault.PotPaid.selector) {
                (uint128 amount, bytes32 reason) = abi.decode(log.data, (uint128, bytes32));
                _paidLog(log.topics[1], _address(log.topics[2]), amount, reason);
            } else if (topic == IStakeVault.Burned.selector && _isTrapPot(log.topics[1])) {
                trapOut[log.topics[1]] += abi.decode(log.data, (uint128));
            }
        } else if (log.emitter == address(market) && topic == IMarket.TaskSettled.selector) {
            ghostPool += parameters.marketAt(1).auditLevy;
        } else if (log.emitter == address(theCourt) && topic == ICourt.DisputeClosed.selector) {
            _endedLog(uint256(log.topics[1]), log.data, all);
        }
    }

    function _paidLog(bytes32 pot, address to, uint128 amount, bytes32 reason) private {
        if (_isTrapPot(pot)) {
            trapOut[pot] += amount;
            if (reason == "penalty") trapIncome[to] += amount;
        } else if (pot == Pots.AUDIT_POOL) {
            ghostPool -= amount;
            assertTrue(reason == "audit" || reason == "bond", "I11: the pool paid for something else");
            if (reason == "audit") feesPaid += amount;
            else bondsLent += amount;
        }
    }

    /// @dev P-A6: the bond of an audit's dispute is the pool's again, or its auditor makes it good.
    function _endedLog(uint256 id, bytes memory data, Vm.Log[] memory all) private {
        (, bytes32 reason) = abi.decode(data, (uint8, bytes32));
        if (reason == "trap") happened["trap void"]++;
        Dispute memory d = theCourt.dispute(id);
        if (theAudits.audit(d.taskId, d.attempt).disputeId != id) return;
        bondsLent -= d.bond;
        if (d.state != DisputeState.Cleared) {
            ghostPool += d.bond;
            return;
        }
        for (uint256 i = 0; i < all.length; i++) {
            if (all[i].emitter != address(vault) || all[i].topics[0] != IStakeVault.Slashed.selector) continue;
            if (_address(all[i].topics[1]) != d.challenger || uint256(all[i].topics[2]) != 0) continue;
            (, uint128 taken) = abi.decode(all[i].data, (bool, uint128));
            ghostPool += taken;
            Dispute memory now_ = theCourt.dispute(id);
            assertTrue(taken >= now_.bond || vault.provider(d.challenger).free == 0, "I11: a false alarm cost the pool its bond");
        }
    }

    function _isTrapPot(bytes32 pot) private pure returns (bool) {
        return uint8(pot[0]) == 6;
    }
}

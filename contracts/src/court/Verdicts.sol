// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ICourt} from "../interfaces/ICourt.sol";
import {CourtParams} from "../interfaces/IParameters.sol";
import {DisputeState} from "../interfaces/Types.sol";
import {Pots} from "../lib/Pots.sol";
import {CourtStorage} from "./CourtStorage.sol";

/// @notice How a dispute ends, and who is paid. Whatever the end, the dispute's pot is empty after it, and the provider is
/// unfrozen as often as it was frozen.
abstract contract Verdicts is CourtStorage {
    uint256 private constant BPS = 10_000;

    /// @dev P-V1. The referee is paid where a ruling of its own stands; nobody else is paid its share.
    function _uphold(uint256 disputeId, Record storage d, bytes32 reason) internal {
        _requireStanding(disputeId, d);
        _close(disputeId, d, DisputeState.Upheld, reason);
        CourtParams memory c = _rulesOf(d);
        uint256 taskId = d.taskId;
        address provider = d.provider;
        // INVARIANT P-V4: The vault takes at most what is there, once per provider and task.
        uint128 amount = _vault.slashTask(provider, taskId, true, c.safetySlashBps, Pots.dispute(disputeId));
        _vault.tombstone(provider);
        uint128 topUp = _split(disputeId, d, c, amount);
        _returnBond(disputeId, d);
        _vault.unfreeze(provider);
        _market.convict(taskId, d.attempt, topUp);
    }

    /// @dev P-V2.
    function _clear(uint256 disputeId, Record storage d, bytes32 reason) internal {
        _requireStanding(disputeId, d);
        _close(disputeId, d, DisputeState.Cleared, reason);
        uint128 bond = d.bond;
        uint128 fee;
        if (d.ruledAt != 0 && !d.ruledGuilty) {
            fee = _rulesOf(d).refereeFee;
            if (fee > bond) fee = bond;
            _pay(disputeId, _payoutOf(d.referee), fee, "referee");
        }
        _pay(disputeId, _payoutOf(d.provider), bond - fee, "bond");
        // INVARIANT P-A6: Whoever raised a false alarm pays for it. An auditor's bond was the pool's: its stake makes good what the
        // pool lost, so that auditor and provider, being friends, do not empty it. It pays as much when the pool was dry: a
        // false alarm never freezes a provider for nothing.
        if (d.flags & FLAG_AUDIT != 0) {
            _vault.penalise(d.challenger, keccak256(abi.encode("audit", disputeId)), _bond(d.rules), Pots.AUDIT_POOL);
        }
        _vault.unfreeze(d.provider);
        // INVARIANT P-C3: Clearing closes this dispute and no other.
        _market.disputeClosed(d.taskId, d.attempt);
    }

    /// @dev Neither side: bonds back, nobody slashed; the task returns to the auction when its last dispute ends, unless convicted.
    function _void(uint256 disputeId, Record storage d, bytes32 reason) internal {
        _requireStanding(disputeId, d);
        _close(disputeId, d, DisputeState.Void, reason);
        _returnBonds(disputeId, d);
        _vault.unfreeze(d.provider);
        _market.disputeVoided(d.taskId, d.attempt);
    }

    function _close(uint256 disputeId, Record storage d, DisputeState end, bytes32 reason) internal {
        d.state = end;
        emit ICourt.DisputeClosed(disputeId, uint8(end), reason);
    }

    function _returnBonds(uint256 disputeId, Record storage d) internal {
        _returnBond(disputeId, d);
        _payAppealBond(disputeId, d, d.appellant, "appeal bond");
    }

    function _returnBond(uint256 disputeId, Record storage d) internal {
        uint128 bond = d.bond;
        if (bond == 0 || d.flags & FLAG_AUDIT == 0) return _pay(disputeId, d.challenger, bond, "bond");
        _vault.movePot(Pots.dispute(disputeId), Pots.AUDIT_POOL, bond, "bond");
        emit ICourt.VerdictPaid(disputeId, _audits, bond, "bond");
    }

    /// @dev All that its pot holds: nothing where nobody appealed, or once it was paid.
    function _payAppealBond(uint256 disputeId, Record storage d, address to, bytes32 what) internal {
        if (d.appellant == address(0)) return;
        uint128 bond = _vault.pot(Pots.appeal(disputeId));
        if (bond == 0) return;
        _vault.payFromPot(Pots.appeal(disputeId), to, bond, what);
        emit ICourt.VerdictPaid(disputeId, to, bond, what);
    }

    /// @dev A part of an overturned referee's slash, which is in the dispute's pot, to who had to appeal.
    function _restitute(uint256 disputeId, address appellant, uint128 amount, uint256 bps) internal {
        if (amount == 0) return;
        uint128 paid = _share(amount, bps);
        _pay(disputeId, appellant, paid, "restitution");
        _vault.movePot(Pots.dispute(disputeId), Pots.BURN, amount - paid, "slash");
    }

    /// @return topUp what the next attempt is raised by, already in the task's pot
    function _split(uint256 disputeId, Record storage d, CourtParams memory c, uint128 amount) private returns (uint128 topUp) {
        if (amount == 0) return 0;
        uint128 paid = _share(amount, c.requesterBps);
        _pay(disputeId, _market.task(d.taskId).requester, paid, "requester");
        uint128 reward = _share(amount, c.challengerBps);
        paid += reward;
        _pay(disputeId, d.challenger, reward, "challenger");
        if (d.ruledGuilty) {
            reward = _share(amount, c.refereeBps);
            paid += reward;
            _pay(disputeId, _payoutOf(d.referee), reward, "referee");
        }
        topUp = _share(amount, c.requeueBps);
        if (topUp != 0) _vault.movePot(Pots.dispute(disputeId), Pots.task(d.taskId), topUp, "requeue");
        // INVARIANT P-V1: Everything that nobody is paid is burned, what division left over included.
        _vault.movePot(Pots.dispute(disputeId), Pots.BURN, amount - paid - topUp, "slash");
    }

    function _pay(uint256 disputeId, address to, uint128 amount, bytes32 what) private {
        if (amount == 0) return;
        // INVARIANT P-V5: Payouts are credits.
        _vault.payFromPot(Pots.dispute(disputeId), to, amount, what);
        emit ICourt.VerdictPaid(disputeId, to, amount, what);
    }

    function _share(uint128 amount, uint256 bps) private pure returns (uint128) {
        return uint128(amount * bps / BPS);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AppealOutcome, IAppealLevels} from "../interfaces/IAppealLevels.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {CourtParams} from "../interfaces/IParameters.sol";
import {DisputeState, Provider, Task} from "../interfaces/Types.sol";
import {Pots} from "../lib/Pots.sol";
import {TraceHash} from "../lib/TraceHash.sol";
import {Verdicts} from "./Verdicts.sol";

/// @notice From the isolated operator to the end: draw, ruling, appeal window, appeal.
abstract contract Refereeing is Verdicts {
    error BeaconNotReady(uint64 round);
    error NotReferee(uint256 disputeId, address caller);
    error RefereeTooLate(uint256 disputeId, uint256 deadline);
    error RefereeHasTime(uint256 disputeId, uint256 deadline);
    error NotEarlier(uint32 index, uint32 isolatedIndex);
    error NoEarlierThanLive(uint256 disputeId);
    error EarlierExhausted(uint256 disputeId, uint8 hops);
    error NoDivergence(bytes32 digest);
    error NotLosingSide(uint256 disputeId, address caller);
    error AppealWindowClosed(uint256 disputeId, uint256 closedAt);
    error AppealWindowOpen(uint256 disputeId, uint256 closesAt);
    error NotMoot(uint256 disputeId);
    error AlreadyClosed(uint256 disputeId, DisputeState state);
    error AppealPending(uint256 disputeId, uint256 lapsesAt);

    function drawReferee(uint256 disputeId) external {
        Record storage d = _inState(disputeId, DisputeState.Isolated);
        _requireStanding(disputeId, d);
        uint64 isolatedAt = d.isolatedAt;
        uint64 round = _beacon.roundAfter(isolatedAt);
        bytes32 value = _beacon.valueOf(round);
        // INVARIANT P-R1: The seed did not exist when the place was isolated and the weights were taken.
        if (value == 0) revert BeaconNotReady(round);
        bytes32 seed = keccak256(abi.encode(value, disputeId, d.draws));
        Task memory t = _market.task(d.taskId);
        address referee = _pool.draw(t.classId, isolatedAt, seed, _excluded(disputeId, d, t.requester));
        if (referee == address(0)) return _withoutReferee(disputeId, d);

        uint64 deadline = uint64(block.timestamp) + _rulesOf(d).refereeSeconds;
        d.state = DisputeState.Refereed;
        d.referee = referee;
        d.refereeDeadline = uint40(deadline);
        d.draws += 1;
        _barred[disputeId].push(referee);
        emit ICourt.RefereeDrawn(disputeId, referee, deadline, d.draws);
        _vault.addDuty(referee);
    }

    function rule(uint256 disputeId, bytes32 claimedDigest, bytes32 ownDigest) external {
        Record storage d = _dutyOf(disputeId);
        // INVARIANT P-R2: A ruling answers the claim that stands.
        if (claimedDigest != d.node) revert OtherClaim(disputeId, claimedDigest, d.node);
        bool guilty = ownDigest != claimedDigest;
        emit ICourt.Ruled(disputeId, msg.sender, ownDigest, guilty);
        _rule(d, ownDigest, guilty);
    }

    function ruleEarlier(uint256 disputeId, uint32 index, bytes32 providerDigest, bytes32 ownDigest, bytes32[] calldata proof)
        external
    {
        Record storage d = _dutyOf(disputeId);
        _requireStanding(disputeId, d);
        // INVARIANT P-R3: A live slot is judged by what it copies; there is nothing before it to fall back on.
        if (d.inLive) revert NoEarlierThanLive(disputeId);
        // INVARIANT P-R3: Earlier means before what the challenger isolated.
        if (index >= d.isolatedIndex) revert NotEarlier(index, d.isolatedIndex);
        // INVARIANT P-R3: Few such rulings, so that a dispute ends; then the referee rules on what is isolated.
        if (d.hops >= _rulesOf(d).maxEarlier) revert EarlierExhausted(disputeId, d.hops);
        // INVARIANT P-R3: It is a ruling that the provider is wrong there.
        if (ownDigest == providerDigest) revert NoDivergence(ownDigest);
        bytes32 root = TraceHash.rootOf(providerDigest, index, proof, d.opsHeight);
        // INVARIANT P-R3: The digest is the provider's own, under the fine trace it is bound to.
        if (root != d.opsRoot) revert ClaimedNotInTrace(root, d.opsRoot);
        d.hops += 1;
        d.flags |= FLAG_EARLIER;
        d.passedIndex = d.isolatedIndex;
        d.passedDigest = d.node;
        d.isolatedIndex = index;
        d.node = providerDigest;
        emit ICourt.EarlierDivergence(disputeId, msg.sender, index, providerDigest, ownDigest, proof);
        _rule(d, ownDigest, true);
    }

    function refereeTimeout(uint256 disputeId) external {
        Record storage d = _inState(disputeId, DisputeState.Refereed);
        _requireStanding(disputeId, d);
        uint256 deadline = d.refereeDeadline;
        // INVARIANT P-R2: A referee has its whole deadline.
        if (block.timestamp <= deadline) revert RefereeHasTime(disputeId, deadline);
        _dismiss(disputeId, d, _rulesOf(d).refereePenalty);
    }

    function inputUnavailable(uint256 disputeId) external {
        Record storage d = _dutyOf(disputeId);
        _requireStanding(disputeId, d);
        // INVARIANT P-R6: Whoever is drawn for a task whose input was taken away is not the one to pay for it.
        _dismiss(disputeId, d, 0);
    }

    function appeal(uint256 disputeId) external {
        Record storage d = _inState(disputeId, DisputeState.Ruled);
        _requireStanding(disputeId, d);
        bool loses = d.ruledGuilty ? _vault.isSide(d.provider, msg.sender) : msg.sender == d.challenger;
        // INVARIANT P-R4: Who won has nothing to appeal; nobody appeals for another.
        if (!loses) revert NotLosingSide(disputeId, msg.sender);
        (uint32 window, uint128 bond, address levels) = _parameters.forAppeal(d.rules);
        uint256 closedAt = uint256(d.ruledAt) + window;
        // INVARIANT P-R4: A ruling is provisional for the appeal window and no longer.
        if (block.timestamp > closedAt) revert AppealWindowClosed(disputeId, closedAt);
        if (levels == address(0)) {
            // The bond would come back in the same breath, so it is not pulled.
            emit ICourt.Appealed(disputeId, msg.sender, 0);
            return _void(disputeId, d, "appealed");
        }
        emit ICourt.Appealed(disputeId, msg.sender, bond);
        d.appellant = msg.sender;
        // INVARIANT P-R3: The challenger had agreed to an earlier operator; who accuses the provider there is the referee.
        _handOver(disputeId, d, levels, d.flags & FLAG_EARLIER != 0 ? d.referee : d.challenger);
        // INVARIANT P-R4: No bond, no appeal.
        _vault.fundPot(Pots.appeal(disputeId), msg.sender, bond);
    }

    function finalize(uint256 disputeId) external {
        Record storage d = _disputes[disputeId];
        if (d.state == DisputeState.Appealed) return _finalizeAppeal(disputeId, d);
        _inState(disputeId, DisputeState.Ruled);
        uint256 closesAt = uint256(d.ruledAt) + _rulesOf(d).appealWindow;
        // INVARIANT P-R2: The losing side has its whole window.
        if (block.timestamp <= closesAt) revert AppealWindowOpen(disputeId, closesAt);
        if (d.ruledGuilty) _uphold(disputeId, d, "ruling");
        else _clear(disputeId, d, "ruling");
    }

    function closeMoot(uint256 disputeId) external {
        Record storage d = _disputes[disputeId];
        DisputeState s = d.state;
        // INVARIANT P-D6: Nothing is accepted after resolution.
        if (s == DisputeState.None || s >= DisputeState.Upheld) revert AlreadyClosed(disputeId, s);
        bool stands = _stands(d);
        // INVARIANT P-C3: Only a verdict that ended the attempt makes a dispute moot, or a trap that was shown.
        // INVARIANT P-K6: The trap's word comes before a referee is drawn, or not at all: none works for nothing.
        if (stands && (d.draws != 0 || !_traps.isTrap(d.taskId, d.attempt))) revert NotMoot(disputeId);
        address referee = d.referee;
        if (s == DisputeState.Appealed && d.ruledAt != 0) {
            CourtParams memory c = _rulesOf(d);
            // INVARIANT P-R4: An appeal is played to its end though another verdict has come first: else a referee that lied would be
            // saved by whoever convicts the cheat by other means, and an appeal against an honest one would be free.
            _settleAppeal(disputeId, d, c, _outcome(disputeId, d, c));
        }
        _close(disputeId, d, DisputeState.Void, stands ? bytes32("trap") : bytes32("moot"));
        if (s == DisputeState.Refereed) _vault.removeDuty(referee);
        _returnBonds(disputeId, d);
        _vault.unfreeze(d.provider);
        if (stands) _market.disputeVoided(d.taskId, d.attempt);
    }

    /// @dev The referee is out; another one may be drawn.
    function _dismiss(uint256 disputeId, Record storage d, uint128 penalty) private {
        address referee = d.referee;
        uint8 draws = d.draws;
        d.state = DisputeState.Isolated;
        d.referee = address(0);
        d.refereeDeadline = 0;
        // The next draw has its own round and snapshot: nobody knew it when this referee was asked to stay silent.
        d.isolatedAt = uint40(block.timestamp);
        _vault.removeDuty(referee);
        if (penalty != 0) {
            penalty = _vault.penalise(referee, keccak256(abi.encode("referee", disputeId, draws)), penalty, Pots.BURN);
        }
        emit ICourt.RefereeMissed(disputeId, referee, penalty);
        // INVARIANT P-R1: Few draws, so that a dispute ends.
        if (draws > _rulesOf(d).maxRedraws) _withoutReferee(disputeId, d);
    }

    /// @dev The drawn referee, in time.
    function _dutyOf(uint256 disputeId) private view returns (Record storage d) {
        d = _inState(disputeId, DisputeState.Refereed);
        // INVARIANT P-R2: Only the referee that was drawn rules.
        if (msg.sender != d.referee) revert NotReferee(disputeId, msg.sender);
        // INVARIANT P-R2: Nothing is accepted after the deadline.
        if (block.timestamp > d.refereeDeadline) revert RefereeTooLate(disputeId, d.refereeDeadline);
    }

    /// @dev Key, owner and payout of both sides and of everyone barred; and the requester, who gets a share of a slash.
    function _excluded(uint256 disputeId, Record storage d, address requester) private view returns (address[] memory list) {
        address[] storage barred = _barred[disputeId];
        uint256 count = barred.length;
        list = new address[](3 * (2 + count) + 1);
        uint256 n = _addSides(list, 0, d.provider);
        list[n++] = requester;
        n = _addSides(list, n, d.challenger);
        for (uint256 i = 0; i < count; i++) {
            n = _addSides(list, n, barred[i]);
        }
        assembly ("memory-safe") {
            mstore(list, n)
        }
    }

    function _addSides(address[] memory list, uint256 n, address key) private view returns (uint256) {
        list[n++] = key;
        Provider memory p = _vault.provider(key);
        if (p.owner != address(0) && p.owner != key) list[n++] = p.owner;
        if (p.payout != address(0) && p.payout != key && p.payout != p.owner) list[n++] = p.payout;
        return n;
    }

    /// @dev P-R1: nobody can be drawn, or nobody answered.
    function _withoutReferee(uint256 disputeId, Record storage d) private {
        address levels = _rulesOf(d).appealLevels;
        if (levels == address(0)) return _void(disputeId, d, "no referee");
        emit ICourt.Appealed(disputeId, address(0), 0);
        _handOver(disputeId, d, levels, d.challenger);
    }

    function _handOver(uint256 disputeId, Record storage d, address levels, address accuser) private {
        d.state = DisputeState.Appealed;
        d.appealedAt = uint40(block.timestamp);
        IAppealLevels(levels).open(disputeId, accuser);
    }

    function _finalizeAppeal(uint256 disputeId, Record storage d) private {
        CourtParams memory c = _rulesOf(d);
        AppealOutcome outcome = _outcome(disputeId, d, c);
        if (outcome == AppealOutcome.Void) return _void(disputeId, d, "appeal");
        _requireStanding(disputeId, d);
        bool guilty = outcome == AppealOutcome.Guilty;
        bool earlier = d.flags & FLAG_EARLIER != 0;
        _settleAppeal(disputeId, d, c, outcome);
        if (guilty) _uphold(disputeId, d, "appeal");
        else if (earlier) _restore(disputeId, d);
        else _clear(disputeId, d, "appeal");
    }

    /// @dev How the appeal has ended.
    function _outcome(uint256 disputeId, Record storage d, CourtParams memory c) private view returns (AppealOutcome outcome) {
        outcome = IAppealLevels(c.appealLevels).outcome(address(this), disputeId);
        if (outcome != AppealOutcome.Pending) return outcome;
        uint256 lapsesAt = uint256(d.appealedAt) + c.ospSeconds;
        // INVARIANT P-D6: Levels that do not answer in their time have not answered; the dispute ends without them.
        if (block.timestamp <= lapsesAt) revert AppealPending(disputeId, lapsesAt);
        return AppealOutcome.Void;
    }

    /// @dev The appeal's bond, and what becomes of the referee. A void appeal leaves the bond to go back.
    function _settleAppeal(uint256 disputeId, Record storage d, CourtParams memory c, AppealOutcome outcome) private {
        // Nobody ruled, so nobody appealed.
        if (outcome == AppealOutcome.Void || d.ruledAt == 0) return;
        bool guilty = outcome == AppealOutcome.Guilty;
        if (guilty != d.ruledGuilty) return _overturn(disputeId, d, c);
        // INVARIANT P-R4: A failed appeal pays whoever played against it. Where the side that should have lost on purpose, that is
        // the referee: its games against two friends are not free for them.
        bool byReferee = d.flags & FLAG_EARLIER != 0 || IAppealLevels(c.appealLevels).game(address(this), disputeId).replay;
        address to = byReferee ? _payoutOf(d.referee) : guilty ? d.challenger : _payoutOf(d.provider);
        _payAppealBond(disputeId, d, to, "appeal bond");
    }

    /// @dev The appellant was right.
    function _overturn(uint256 disputeId, Record storage d, CourtParams memory c) private {
        address referee = d.referee;
        _payAppealBond(disputeId, d, d.appellant, "appeal bond");
        // INVARIANT P-R4: A referee overturned on appeal is slashed like a provider, and is paid nothing.
        uint128 amount = _vault.slashTask(referee, d.taskId, true, c.safetySlashBps, Pots.dispute(disputeId));
        _vault.tombstone(referee);
        // INVARIANT P-R4: Who had to appeal gets a challenger's part of it; the rest is burned.
        _restitute(disputeId, d.appellant, amount, c.challengerBps);
    }

    /// @dev P-R3: the provider is right at the earlier operator; the challenger's claim stands as it stood.
    function _restore(uint256 disputeId, Record storage d) private {
        d.flags &= ~FLAG_EARLIER;
        d.node = d.passedDigest;
        uint32 place = d.passedIndex;
        d.passedDigest = 0;
        d.passedIndex = 0;
        d.referee = address(0);
        d.refereeDeadline = 0;
        d.ruledAt = 0;
        d.ruledGuilty = false;
        d.ruledDigest = 0;
        d.appellant = address(0);
        d.appealedAt = 0;
        _isolate(disputeId, d, place);
        // INVARIANT P-R1: Few draws, so that a dispute ends.
        if (d.draws > _rulesOf(d).maxRedraws) _withoutReferee(disputeId, d);
    }

    /// @dev The referee has done its duty; its ruling is provisional.
    function _rule(Record storage d, bytes32 ownDigest, bool guilty) private {
        d.state = DisputeState.Ruled;
        d.ruledAt = uint40(block.timestamp);
        d.ruledGuilty = guilty;
        d.ruledDigest = ownDigest;
        _vault.removeDuty(msg.sender);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Audit, AuditState, IAudits} from "../interfaces/IAudits.sol";
import {ICourt} from "../interfaces/ICourt.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {IParameters, MarketParams} from "../interfaces/IParameters.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {ITraps, Seal, Trap, TrapOpening} from "../interfaces/ITraps.sol";
import {System} from "../interfaces/System.sol";
import {ModelHeader, Task, TaskState} from "../interfaces/Types.sol";
import {Pots} from "../lib/Pots.sol";
import {TraceHash} from "../lib/TraceHash.sol";

/// @notice Known-answer tasks (spec/protocol.md, P-K). Nobody who sets one is trusted: that the result is wrong is seen in
/// one opening, and that it was meant for nobody but its own requester in the seal. Deposits and penalties are pots of the
/// vault, and every payment is a credit there.
contract Traps is ITraps {
    error AlreadySealed(address sealer, bytes32 commitment);
    error JackpotTooSmall(uint128 jackpot, uint128 least);
    error NoSuchSeal(address sealer, bytes32 commitment);
    error SealUsed(address sealer, bytes32 commitment);
    error NotRequester(uint256 taskId, address caller);
    error NotUnderJudgement(uint256 taskId, TaskState state);
    error AlreadyRevealed(uint256 taskId, uint8 attempt);
    error SealedTooLate(uint64 sealedAt, uint64 committedAt);
    error LeafOutsideRun(uint64 leafIndex, uint256 leaves);
    error TrapNotInTrace(bytes32 found, bytes32 wanted);
    error StillHidden(uint256 taskId, uint256 until);
    error AuditOpen(uint256 taskId);
    error NoTrap(uint256 taskId, uint8 attempt);
    error NotMatched(uint256 taskId, uint8 attempt, AuditState state);
    error AlreadyPenalised(uint256 taskId, uint8 attempt);
    error ClaimsOver(uint256 taskId, uint64 claimsUntil);
    error ClaimsOpen(uint256 taskId, uint64 claimsUntil);
    error AlreadyEntered(uint256 taskId, uint8 attempt, address finder);
    error NotFinder(uint256 taskId, uint8 attempt, address account);
    error AlreadyClosed(uint256 taskId, uint8 attempt);
    error NotClosed(uint256 taskId, uint8 attempt);

    /// @dev Beyond it a share is nothing whatever the jackpot.
    uint16 private constant HALVINGS = 128;

    enum Finder {
        No,
        Entered,
        Paid
    }

    IParameters public immutable parameters;
    IStakeVaultModule public immutable vault;
    address public immutable market;
    ICourt public immutable court;
    IAudits public immutable audits;

    mapping(bytes32 => Seal) private _seals; // by pot
    mapping(uint256 => mapping(uint8 => Trap)) private _traps; // task -> attempt
    mapping(bytes32 => mapping(address => Finder)) private _finders; // by pot

    constructor(System memory system) {
        parameters = IParameters(system.parameters);
        vault = IStakeVaultModule(system.vault);
        market = system.market;
        court = ICourt(system.court);
        audits = IAudits(system.audits);
    }

    // ---- sealer

    function seal(bytes32 commitment, uint128 jackpot) external {
        bytes32 pot = Pots.trap(msg.sender, commitment);
        // INVARIANT P-K2: A commitment is its sealer's: a copy takes nobody's place and opens for nobody.
        if (_seals[pot].sealedAt != 0) revert AlreadySealed(msg.sender, commitment);
        uint128 least = leastJackpot();
        // INVARIANT P-K5: Finding a trap is worth something: else one would be a cheap excuse.
        if (jackpot < least) revert JackpotTooSmall(jackpot, least);
        _seals[pot] = Seal(jackpot, uint64(block.timestamp), false);
        emit Sealed(msg.sender, commitment, jackpot);
        vault.fundPot(pot, msg.sender, jackpot);
    }

    function unseal(bytes32 commitment) external {
        bytes32 pot = Pots.trap(msg.sender, commitment);
        Seal storage s = _unused(pot, msg.sender, commitment);
        uint128 jackpot = s.jackpot;
        // INVARIANT P-K7: What was taken back excuses nothing; the commitment is never sealed again, lest `sealedAt` be another's.
        s.used = true;
        emit Unsealed(msg.sender, commitment, jackpot);
        vault.payFromPot(pot, msg.sender, jackpot, "unsealed");
    }

    // ---- requester

    function reveal(uint256 taskId, TrapOpening calldata o) external {
        Task memory t = IMarketCourt(market).task(taskId);
        // INVARIANT P-K3: The requester's own word: nobody else's task is ever a trap.
        if (msg.sender != t.requester) revert NotRequester(taskId, msg.sender);
        _checkState(taskId, t);
        Trap storage trap = _traps[taskId][t.attempt];
        // INVARIANT P-K3: Once.
        if (trap.revealedAt != 0) revert AlreadyRevealed(taskId, t.attempt);
        bytes32 leaf = TraceHash.trapLeaf(o.salt);
        _checkLeaf(taskId, t, leaf, o);
        MarketParams memory m = parameters.marketAt(IMarketCourt(market).rulesOf(taskId));
        _checkTime(taskId, t, m);

        bytes32 commitment = _commitment(o, t.provider, leaf);
        bytes32 pot = Pots.trap(o.sealer, commitment);
        Seal storage s = _unused(pot, o.sealer, commitment);
        // INVARIANT P-K2: Sealed strictly before the result was there: no cheat that is found out becomes a trap.
        if (s.sealedAt >= t.committedAt) revert SealedTooLate(s.sealedAt, t.committedAt);
        s.used = true;
        trap.sealer = o.sealer;
        trap.revealedAt = uint64(block.timestamp);
        trap.claimsUntil = uint64(block.timestamp) + m.challengeWindow + m.revealWindow;
        trap.jackpot = s.jackpot;
        trap.pot = pot;
        trap.traceRoot = t.traceRoot;
        emit TrapRevealed(taskId, t.attempt, o.sealer, commitment, o.leafIndex, trap.claimsUntil);

        Audit memory a = audits.audit(taskId, t.attempt);
        if (a.state == AuditState.Matched) _penalise(taskId, t.attempt, trap, a.auditor);
    }

    // ---- anyone

    function penaliseAuditor(uint256 taskId, uint8 attempt) external {
        Trap storage trap = _shown(taskId, attempt);
        Audit memory a = audits.audit(taskId, attempt);
        // INVARIANT P-K4: Only who said that the wrong result is its own.
        if (a.state != AuditState.Matched) revert NotMatched(taskId, attempt, a.state);
        _penalise(taskId, attempt, trap, a.auditor);
    }

    function enter(uint256 taskId, uint8 attempt, address finder) external {
        Trap storage trap = _shown(taskId, attempt);
        Audit memory a = audits.audit(taskId, attempt);
        if (!_before(trap, a.committedAt) || a.auditor != finder || a.state != AuditState.Mismatched) {
            (,, bool revealed, uint64 committedAt) = court.challengeOf(taskId, attempt, finder);
            // INVARIANT P-K5: A finder said so before the trap was shown; what was said after it was copied.
            if (!_before(trap, committedAt) || !revealed) revert NotFinder(taskId, attempt, finder);
        }
        _enter(taskId, attempt, trap, finder);
    }

    function show(uint256 taskId, uint8 attempt, bytes32 ownTraceRoot, bytes32 salt) external {
        Trap storage trap = _shown(taskId, attempt);
        // INVARIANT P-K5: A friend of the sealer who is heard first, and ends the attempt, takes no honest finder's share.
        if (
            ownTraceRoot == trap.traceRoot
                || (!_challenged(taskId, attempt, trap, ownTraceRoot, salt)
                    && !_audited(taskId, attempt, trap, ownTraceRoot, salt))
        ) revert NotFinder(taskId, attempt, msg.sender);
        _enter(taskId, attempt, trap, msg.sender);
    }

    function close(uint256 taskId, uint8 attempt) external {
        Trap storage trap = _shown(taskId, attempt);
        // INVARIANT P-K5: Finders have their whole time.
        if (block.timestamp <= trap.claimsUntil) revert ClaimsOpen(taskId, trap.claimsUntil);
        if (trap.closed) revert AlreadyClosed(taskId, attempt);
        trap.closed = true;
        uint16 finders = trap.finders;
        uint128 jackpot = trap.jackpot;
        if (finders == 0) {
            emit TrapClosed(taskId, attempt, 0, 0);
            return vault.payFromPot(trap.pot, trap.sealer, jackpot, "unfound");
        }
        uint128 share = finders > HALVINGS ? 0 : jackpot >> (finders - 1);
        trap.share = share;
        emit TrapClosed(taskId, attempt, finders, share);
        // INVARIANT P-K5: What finders do not get is burned: the sealer gains nothing by being many finders itself.
        vault.movePot(trap.pot, Pots.BURN, jackpot - share * finders, "jackpot");
    }

    function collect(uint256 taskId, uint8 attempt, address finder) external {
        Trap storage trap = _shown(taskId, attempt);
        if (!trap.closed) revert NotClosed(taskId, attempt);
        // INVARIANT P-K5: Paid once.
        if (_finders[trap.pot][finder] != Finder.Entered) revert NotFinder(taskId, attempt, finder);
        _finders[trap.pot][finder] = Finder.Paid;
        emit JackpotPaid(taskId, attempt, finder, trap.share);
        // INVARIANT P-V5: Payouts are credits.
        vault.payFromPot(trap.pot, finder, trap.share, "jackpot");
    }

    // ---- views

    function sealOf(address sealer, bytes32 commitment) external view returns (Seal memory) {
        return _seals[Pots.trap(sealer, commitment)];
    }

    function trapOf(uint256 taskId, uint8 attempt) external view returns (Trap memory) {
        return _traps[taskId][attempt];
    }

    function isTrap(uint256 taskId, uint8 attempt) external view returns (bool) {
        return _traps[taskId][attempt].revealedAt != 0;
    }

    function isFinder(uint256 taskId, uint8 attempt, address account) external view returns (bool) {
        return _finders[_traps[taskId][attempt].pot][account] == Finder.Entered;
    }

    /// @dev A challenge's bond: the prices of a dispute's gas and time, whoever had to begin one.
    function leastJackpot() public view returns (uint128) {
        return court.bondAt(parameters.version());
    }

    // ---- inside

    function _checkLeaf(uint256 taskId, Task memory t, bytes32 leaf, TrapOpening calldata o) private view {
        ModelHeader memory h = IMarketCourt(market).model(t.modelId);
        uint256 leaves = uint256(t.steps) * h.commitPoints;
        // INVARIANT P-K1: A commit point of the run.
        if (o.leafIndex >= leaves) revert LeafOutsideRun(o.leafIndex, leaves);
        bytes32 root = TraceHash.rootOf(leaf, o.leafIndex, o.proof, h.traceHeight);
        bytes32 wanted = IMarketCourt(market).level1RootOf(taskId);
        // INVARIANT P-K1: A leaf under the trap's tag is no live root: no correct result, and no honest auditor's run, holds one.
        if (root != wanted) revert TrapNotInTrace(root, wanted);
    }

    function _checkState(uint256 taskId, Task memory t) private view {
        // INVARIANT P-K3: About a result that stands.
        if (t.state == TaskState.Committed || t.state == TaskState.Disputed) return;
        // INVARIANT P-K3: An auditor that opens late, and has the result settled in the same block, answers for it all the same.
        bool passed = t.state == TaskState.Settled && audits.audit(taskId, t.attempt).state == AuditState.Matched;
        if (!passed) revert NotUnderJudgement(taskId, t.state);
    }

    /// @dev While a dispute is open somebody has found the trap, and the jackpot is due. Else it may be shown once nobody can
    /// find it any more: an audit that runs and a challenge not committed yet have their chance.
    function _checkTime(uint256 taskId, Task memory t, MarketParams memory m) private view {
        if (t.state != TaskState.Committed) return;
        uint256 until = uint256(t.committedAt) + m.challengeWindow;
        // INVARIANT P-K3: Not before the last challenge is committed: whoever is about to find it would go empty-handed.
        if (block.timestamp < until) revert StillHidden(taskId, until);
        // INVARIANT P-K3: Not while an auditor may still say which it is.
        if (!t.auditClosed) revert AuditOpen(taskId);
    }

    function _penalise(uint256 taskId, uint8 attempt, Trap storage trap, address auditor) private {
        // INVARIANT P-K4: Once.
        if (trap.penalised) revert AlreadyPenalised(taskId, attempt);
        trap.penalised = true;
        // INVARIANT P-K4: A false "matched" costs what a false "mismatched" does (P-A6).
        uint128 bond = court.bondAt(IMarketCourt(market).rulesOf(taskId));
        bytes32 cause = keccak256(abi.encode(address(this), taskId, attempt));
        uint128 taken = vault.penalise(auditor, cause, bond, trap.pot);
        emit TrapPassed(taskId, attempt, auditor, taken);
        // INVARIANT P-K4: Half is burned: a sealer whose friend lets it pass loses by it.
        uint128 paid = taken / 2;
        vault.payFromPot(trap.pot, trap.sealer, paid, "penalty");
        vault.movePot(trap.pot, Pots.BURN, taken - paid, "penalty");
    }

    function _enter(uint256 taskId, uint8 attempt, Trap storage trap, address finder) private {
        // INVARIANT P-K5: Shares are computed once, of all who came in time.
        if (block.timestamp > trap.claimsUntil) revert ClaimsOver(taskId, trap.claimsUntil);
        if (_finders[trap.pot][finder] != Finder.No) revert AlreadyEntered(taskId, attempt, finder);
        _finders[trap.pot][finder] = Finder.Entered;
        trap.finders += 1;
        emit TrapFound(taskId, attempt, finder);
    }

    /// @dev The caller's commitment in court, which outlives the attempt and its bond, opens to this root.
    function _challenged(uint256 taskId, uint8 attempt, Trap storage trap, bytes32 root, bytes32 salt)
        private
        view
        returns (bool)
    {
        (bytes32 commitment,,, uint64 committedAt) = court.challengeOf(taskId, attempt, msg.sender);
        bytes32 found = keccak256(abi.encode(block.chainid, address(court), msg.sender, taskId, attempt, root, salt));
        return _before(trap, committedAt) && found == commitment;
    }

    /// @dev The caller is the auditor, and its commitment opens to this root.
    function _audited(uint256 taskId, uint8 attempt, Trap storage trap, bytes32 root, bytes32 salt) private view returns (bool) {
        Audit memory a = audits.audit(taskId, attempt);
        bytes32 found = keccak256(abi.encode(msg.sender, taskId, attempt, root, salt));
        return msg.sender == a.auditor && _before(trap, a.committedAt) && found == a.rootCommitment;
    }

    function _before(Trap storage trap, uint64 committedAt) private view returns (bool) {
        return committedAt != 0 && committedAt < trap.revealedAt;
    }

    function _shown(uint256 taskId, uint8 attempt) private view returns (Trap storage trap) {
        trap = _traps[taskId][attempt];
        if (trap.revealedAt == 0) revert NoTrap(taskId, attempt);
    }

    function _unused(bytes32 pot, address sealer, bytes32 commitment) private view returns (Seal storage s) {
        s = _seals[pot];
        if (s.sealedAt == 0) revert NoSuchSeal(sealer, commitment);
        // INVARIANT P-K2: A seal is for one result.
        if (s.used) revert SealUsed(sealer, commitment);
    }

    /// @dev Requester and provider are both in it: no stranger's task is spoilt, and no cheat on a stranger's task excused.
    function _commitment(TrapOpening calldata o, address provider, bytes32 leaf) private view returns (bytes32) {
        return
            keccak256(
                abi.encode(bytes32("Gavel trap"), block.chainid, address(this), o.sealer, msg.sender, provider, leaf, o.nonce)
            );
    }
}

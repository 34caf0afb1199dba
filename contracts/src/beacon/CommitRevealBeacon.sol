// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Rounds} from "./Rounds.sol";

/// @notice Randomness of those who take part, for chains that cannot verify drand. Whoever pays a bond commits to a secret in
/// the period before a round's time and reveals it in the period after; the value is a hash of all secrets, unknown as long as
/// one of them is. The last to reveal could keep its secret back: then the round is spoiled, no value comes of it, and the bond
/// is lost with the place. Every action writes a few slots, whatever others do; nothing is iterated over.
contract CommitRevealBeacon is Rounds {
    using Checkpoints for Checkpoints.Trace208;
    using SafeERC20 for IERC20;

    error QuorumTooSmall(uint32 quorum);
    error ZeroBond();
    error AlreadyJoined(address participant);
    error NotJoined(address participant);
    error WrongRound(uint64 round, uint64 open);
    error AlreadyCommitted(address participant, uint64 round);
    error RevealFirst(address participant, uint64 round);
    error WithheldSecret(address participant, uint64 round);
    error NothingToReveal(address participant);
    error RevealTooEarly(uint64 round, uint64 opensAt);
    error RevealTooLate(uint64 round, uint64 closedAt);
    error WrongSecret(address participant, uint64 round);

    event Joined(address indexed participant);
    event Left(address indexed participant);
    event Committed(uint64 indexed round, address indexed participant);
    event Revealed(uint64 indexed round, address indexed participant);

    struct Participant {
        bool joined;
        bool revealed;
        uint64 round; // of the last commitment; 0 before the first
        bytes32 commitment;
    }

    struct Round {
        uint32 commits;
        uint32 reveals;
        bytes32 mix;
    }

    uint256 private constant TIME_BITS = 40;

    bytes32 public constant scheme = "commit-reveal";

    IERC20 public immutable asset;
    uint128 public immutable bond;
    uint32 public immutable quorum;

    mapping(address => Participant) public participants;
    mapping(uint64 => Round) public rounds;
    /// @dev Round -> value and the time it came at. Rounds end one after the other, so they come in their order.
    Checkpoints.Trace208 private _values;

    /// @param quorum_ Participants without whom a round comes to nothing: the fewer there are, the likelier are they friends.
    constructor(IERC20 asset_, uint128 bond_, uint32 quorum_, uint64 genesis_, uint64 period_) Rounds(genesis_, period_, 0) {
        // INVARIANT P-B3: One who takes part alone chooses the value.
        if (quorum_ < 2) revert QuorumTooSmall(quorum_);
        // INVARIANT P-B4: Withholding costs something.
        if (bond_ == 0) revert ZeroBond();
        (asset, bond, quorum) = (asset_, bond_, quorum_);
    }

    // ---- participants

    function join() external {
        Participant storage p = participants[msg.sender];
        // INVARIANT P-B4: Who withheld a secret is out for good: its place is never given up.
        if (p.joined) revert AlreadyJoined(msg.sender);
        p.joined = true;
        emit Joined(msg.sender);
        asset.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice The bond goes back to whoever owes no secret.
    function leave() external {
        Participant storage p = _joined();
        _requireNothingOwed(p);
        // INVARIANT P-B4: A commitment binds until its round has begun.
        if (p.round != 0 && block.timestamp < timeOf(p.round)) revert RevealFirst(msg.sender, p.round);
        delete participants[msg.sender];
        emit Left(msg.sender);
        asset.safeTransfer(msg.sender, bond);
    }

    /// @notice In the period before the round's time.
    /// @param commitment `commitmentOf(round, participant, secret)`.
    function commit(uint64 round, bytes32 commitment) external {
        Participant storage p = _joined();
        uint64 open = roundAfter(uint64(block.timestamp));
        // INVARIANT P-B3: Nobody commits when a secret of the round can have been revealed, nor to another round than it means.
        if (round != open) revert WrongRound(round, open);
        // INVARIANT P-B3: One commitment of a participant to a round.
        if (p.round == round) revert AlreadyCommitted(msg.sender, round);
        _requireNothingOwed(p);
        p.round = round;
        p.revealed = false;
        p.commitment = commitment;
        rounds[round].commits += 1;
        emit Committed(round, msg.sender);
    }

    /// @notice In the period after the round's time.
    function reveal(bytes32 secret) external {
        Participant storage p = _joined();
        uint64 round = p.round;
        if (round == 0 || p.revealed) revert NothingToReveal(msg.sender);
        uint64 opensAt = timeOf(round);
        // INVARIANT P-A1: A round's value does not exist before its time.
        if (block.timestamp < opensAt) revert RevealTooEarly(round, opensAt);
        // INVARIANT P-B3: A round ends, whoever keeps silent.
        if (block.timestamp >= opensAt + period) revert RevealTooLate(round, opensAt + period);
        // INVARIANT P-B3: What is revealed was fixed before anyone revealed, and is nobody else's.
        if (commitmentOf(round, msg.sender, secret) != p.commitment) revert WrongSecret(msg.sender, round);
        p.revealed = true;
        Round storage r = rounds[round];
        r.reveals += 1;
        // INVARIANT P-B3: The order of the secrets changes nothing: else who makes the blocks could choose among the orders.
        r.mix ^= keccak256(abi.encode(msg.sender, secret));
        emit Revealed(round, msg.sender);
        if (_isWhole(r)) _publish(round, r.mix);
    }

    // ---- views

    function commitmentOf(uint64 round, address participant, bytes32 secret) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), round, participant, secret));
    }

    function valueOf(uint64 round) external view returns (bytes32) {
        return bytes32(uint256(_values.lowerLookup(uint48(round)) >> TIME_BITS));
    }

    function publishedAt(uint64 round) external view returns (uint64) {
        return uint40(_values.lowerLookup(uint48(round)));
    }

    function spoiled(uint64 round) external view returns (bool) {
        uint64 opensAt = timeOf(round);
        Round storage r = rounds[round];
        // INVARIANT P-B3: All who committed reveal, or the round has no value: whoever withholds has no say which.
        if (block.timestamp < opensAt || _isWhole(r)) return false;
        return r.commits < quorum || block.timestamp >= opensAt + period;
    }

    // ---- inside

    function _publish(uint64 round, bytes32 mix) private {
        uint208 value = uint208(uint168(uint256(keccak256(abi.encode(block.chainid, address(this), round, mix)))));
        _values.push(uint48(round), value << uint208(TIME_BITS) | uint40(block.timestamp));
        emit RoundPublished(round, bytes32(uint256(value)));
    }

    function _isWhole(Round storage r) private view returns (bool) {
        return r.commits >= quorum && r.reveals == r.commits;
    }

    function _joined() private view returns (Participant storage p) {
        p = participants[msg.sender];
        if (!p.joined) revert NotJoined(msg.sender);
    }

    /// @dev A secret is owed from its round's time on, unless too few committed.
    function _requireNothingOwed(Participant storage p) private view {
        uint64 round = p.round;
        if (round == 0 || p.revealed || block.timestamp < timeOf(round) || rounds[round].commits < quorum) return;
        // INVARIANT P-B3: One secret at a time.
        if (block.timestamp < timeOf(round) + period) revert RevealFirst(msg.sender, round);
        // INVARIANT P-B4: Who withheld a secret never gets its bond back, nor does anybody else, and commits no more.
        revert WithheldSecret(msg.sender, round);
    }
}

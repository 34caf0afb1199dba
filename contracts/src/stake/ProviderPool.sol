// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {Provider} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {Families} from "./Families.sol";

/// @notice Members of each class's pool in the leaves of a 4-ary sum tree of fixed height; every sum keeps its history, so
/// that a draw sees the weights of a moment before its seed existed, and joining after the seed is useless.
///
/// Node numbering: the root is 1, the children of `n` are 4n-2 .. 4n+1; leaves are at depth 5 (1,024 of them).
contract ProviderPool is Families {
    using Checkpoints for Checkpoints.Trace208;

    error NotEligible(address provider);
    error AlreadyMember(bytes32 classId, address provider);
    error NotMember(bytes32 classId, address provider);
    error PoolFull(bytes32 classId, uint32 most);
    error SnapshotInFuture(uint64 snapshotTime, uint256 nowSeconds);

    uint256 private constant DEPTH = 5;
    uint256 private constant FIRST_LEAF = 342; // 1 + 1 + 4 + 16 + 64 + 256
    /// @dev Drawn members that turn out ineligible are drawn around at most this often; then the draw gives up.
    uint256 private constant TRIES = 16;
    /// @dev A member whose jail ended longer ago than this, and which did not `unjail`, has given up its place.
    uint256 private constant UNJAIL_SECONDS = 1 days;

    struct Member {
        uint32 slotPlusOne; // leaf, while a member
        uint208 weight;
    }

    struct Pool {
        address[] list; // members in no order
        mapping(address => uint256) listIndexPlusOne;
        mapping(address => Member) memberOf;
        mapping(uint256 => address[]) holders; // leaf -> everyone who ever held it, oldest first
        mapping(uint256 => Checkpoints.Trace208) holderCount; // leaf -> length of `holders` over time, 0 while empty
        mapping(uint256 => Checkpoints.Trace208) sums; // node -> weight over time
        uint32[] freeSlots;
        uint32 slotsUsed;
    }

    /// @dev Leaves that are out of a draw, with the weight they had at the snapshot.
    struct Skips {
        uint48 at;
        uint256[] slots;
        uint256[] weights;
        uint256 count;
        uint256 weight; // sum of `weights`
    }

    IStakeVaultModule public immutable vault;
    IParameters public immutable parameters;

    mapping(bytes32 => Pool) private _pools;

    constructor(System memory system) {
        vault = IStakeVaultModule(system.vault);
        parameters = IParameters(system.parameters);
    }

    function join(bytes32 classId) external {
        address key = msg.sender;
        Pool storage p = _pools[classId];
        // INVARIANT P-R1: Only a provider in good standing can be drawn.
        if (!vault.isEligible(key)) revert NotEligible(key);
        if (p.listIndexPlusOne[key] != 0) revert AlreadyMember(classId, key);
        uint32 most = parameters.stake().maxMembers;
        // INVARIANT P-R1: A bounded pool, so that a draw has bounded gas.
        if (p.list.length >= most) revert PoolFull(classId, most);

        p.list.push(key);
        p.listIndexPlusOne[key] = p.list.length;
        uint32 slot;
        if (p.freeSlots.length != 0) {
            slot = p.freeSlots[p.freeSlots.length - 1];
            p.freeSlots.pop();
        } else {
            slot = p.slotsUsed++;
        }
        p.memberOf[key].slotPlusOne = slot + 1;
        p.holders[slot].push(key);
        p.holderCount[slot].push(uint48(block.timestamp), uint208(p.holders[slot].length));
        uint208 weight = _stakeOf(key);
        _setWeight(p, key, weight);
        emit Joined(classId, key, uint128(weight));
    }

    function leave(bytes32 classId) external {
        _remove(classId, msg.sender);
    }

    function refresh(bytes32 classId, address key) external {
        Pool storage p = _pools[classId];
        if (p.listIndexPlusOne[key] == 0) revert NotMember(classId, key);
        Provider memory a = vault.provider(key);
        // INVARIANT P-R5: A place belongs to who can be drawn: a pool full of members whose stake has gone would have no
        // referee and no auditor, for ever and for free.
        if (_hasLeft(a)) return _remove(classId, key);
        uint208 weight = uint208(a.free) + a.locked;
        _setWeight(p, key, weight);
        emit WeightChanged(classId, key, uint128(weight));
    }

    function draw(bytes32 classId, uint64 snapshotTime, bytes32 seed, address[] calldata excluded)
        external
        view
        returns (address)
    {
        // INVARIANT P-R1: The snapshot is over: nothing that happens now can change it.
        if (snapshotTime >= block.timestamp) revert SnapshotInFuture(snapshotTime, block.timestamp);
        Pool storage p = _pools[classId];
        Skips memory skips;
        skips.at = uint48(snapshotTime);
        skips.slots = new uint256[](excluded.length + TRIES);
        skips.weights = new uint256[](excluded.length + TRIES);
        _skipExcluded(p, skips, excluded);
        for (uint256 attempt = 0; attempt < TRIES; attempt++) {
            uint256 total = p.sums[1].upperLookupRecent(skips.at) - skips.weight;
            if (total == 0) return address(0);
            uint256 slot = _descend(p, skips, uint256(keccak256(abi.encode(seed, attempt))) % total);
            address candidate = _holderAt(p, slot, skips.at);
            uint256 weight = p.sums[FIRST_LEAF + slot].upperLookupRecent(skips.at);
            // INVARIANT P-R1: Frozen, jailed, tombstoned members and those whose stake has left are drawn around.
            if (_drawable(p, candidate, weight, excluded)) return candidate;
            _skip(skips, slot, weight);
        }
        return address(0);
    }

    function members(bytes32 classId) external view returns (address[] memory) {
        return _pools[classId].list;
    }

    /// @notice Recorded weight of a member at a past moment, or now.
    function weightAt(bytes32 classId, address key, uint64 time) external view returns (uint256) {
        Pool storage p = _pools[classId];
        uint32 slotPlusOne = p.memberOf[key].slotPlusOne;
        if (slotPlusOne == 0 || _holderAt(p, slotPlusOne - 1, uint48(time)) != key) return 0;
        return p.sums[FIRST_LEAF + slotPlusOne - 1].upperLookupRecent(uint48(time));
    }

    /// @dev The excluded that are members are out from the start; siblings of theirs are met by `_drawable`.
    function _skipExcluded(Pool storage p, Skips memory skips, address[] calldata excluded) private view {
        for (uint256 i = 0; i < excluded.length; i++) {
            uint32 slotPlusOne = p.memberOf[excluded[i]].slotPlusOne;
            if (slotPlusOne == 0) continue;
            uint256 slot = slotPlusOne - 1;
            if (_holderAt(p, slot, skips.at) != excluded[i] || _skipped(skips, slot)) continue;
            _skip(skips, slot, p.sums[FIRST_LEAF + slot].upperLookupRecent(skips.at));
        }
    }

    /// @dev The leaf that `target` falls into when the skipped leaves weigh nothing.
    function _descend(Pool storage p, Skips memory skips, uint256 target) private view returns (uint256) {
        uint256 node = 1;
        uint256 span = 4 ** DEPTH;
        uint256 first = 0; // first leaf under `node`
        for (uint256 level = 0; level < DEPTH; level++) {
            span /= 4;
            uint256 child = 4 * node - 2;
            for (uint256 c = 0; c < 4; c++) {
                uint256 weight = p.sums[child].upperLookupRecent(skips.at);
                for (uint256 i = 0; i < skips.count; i++) {
                    if (skips.slots[i] >= first && skips.slots[i] < first + span) weight -= skips.weights[i];
                }
                if (target < weight) break;
                target -= weight;
                child++;
                first += span;
            }
            node = child;
        }
        return node - FIRST_LEAF;
    }

    function _skip(Skips memory skips, uint256 slot, uint256 weight) private pure {
        skips.slots[skips.count] = slot;
        skips.weights[skips.count++] = weight;
        skips.weight += weight;
    }

    function _drawable(Pool storage p, address candidate, uint256 weight, address[] calldata excluded)
        private
        view
        returns (bool)
    {
        if (p.listIndexPlusOne[candidate] == 0 || !vault.isEligible(candidate)) return false;
        Provider memory a = vault.provider(candidate);
        if (uint256(a.free) + a.locked < weight) return false;
        for (uint256 i = 0; i < excluded.length; i++) {
            address e = excluded[i];
            // INVARIANT P-R1: An excluded party is excluded as key, owner and payout.
            if (e == candidate || e == a.owner || e == a.payout) return false;
        }
        return true;
    }

    function _skipped(Skips memory skips, uint256 slot) private pure returns (bool) {
        for (uint256 i = 0; i < skips.count; i++) {
            if (skips.slots[i] == slot) return true;
        }
        return false;
    }

    function _holderAt(Pool storage p, uint256 slot, uint48 at) private view returns (address) {
        uint256 count = p.holderCount[slot].upperLookupRecent(at);
        return count == 0 ? address(0) : p.holders[slot][count - 1];
    }

    function _remove(bytes32 classId, address key) private {
        Pool storage p = _pools[classId];
        uint256 indexPlusOne = p.listIndexPlusOne[key];
        if (indexPlusOne == 0) revert NotMember(classId, key);
        _setWeight(p, key, 0);
        uint32 slot = p.memberOf[key].slotPlusOne - 1;
        p.holderCount[slot].push(uint48(block.timestamp), 0);
        p.freeSlots.push(slot);
        delete p.memberOf[key];
        address last = p.list[p.list.length - 1];
        p.list[indexPlusOne - 1] = last;
        p.listIndexPlusOne[last] = indexPlusOne;
        p.list.pop();
        delete p.listIndexPlusOne[key];
        emit Left(classId, key);
    }

    function _setWeight(Pool storage p, address key, uint208 weight) private {
        Member storage m = p.memberOf[key];
        uint208 before = m.weight;
        m.weight = weight;
        uint48 time = uint48(block.timestamp);
        uint256 node = FIRST_LEAF + m.slotPlusOne - 1;
        while (true) {
            Checkpoints.Trace208 storage sum = p.sums[node];
            sum.push(time, sum.latest() - before + weight);
            if (node == 1) return;
            node = (node + 2) / 4;
        }
    }

    /// @dev Out for a reason of its own. A freeze is others' doing, and who has just served a jail has a day to say so.
    function _hasLeft(Provider memory a) private view returns (bool) {
        if (a.tombstoned || vault.isBanned(a.owner)) return true;
        if (a.jailedUntil != 0 && block.timestamp > a.jailedUntil + UNJAIL_SECONDS) return true;
        return uint256(a.free) + a.locked < parameters.stake().minStake;
    }

    /// @dev Stake on its way out carries no weight.
    function _stakeOf(address key) private view returns (uint208) {
        Provider memory a = vault.provider(key);
        return uint208(a.free) + a.locked;
    }
}

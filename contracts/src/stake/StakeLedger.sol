// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {IMarketCourt} from "../interfaces/IMarketCourt.sol";
import {IParameters} from "../interfaces/IParameters.sol";
import {Provider} from "../interfaces/Types.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";

/// @notice The vault's books: storage, pots, task collateral and standing. Nothing here moves the asset.
abstract contract StakeLedger is IStakeVaultModule {
    error NotModule(address caller);
    error NotMarket(address caller);
    error NotRegistered(address key);
    error ProviderTombstoned(address key);
    error ProviderFrozen(address key, uint32 disputes);
    error ProviderJailed(address key, uint64 until);
    error ProviderBanned(address account);
    error InsufficientFree(address key, uint128 free, uint128 wanted);
    error StakeTooLow(address key, uint256 stake, uint128 minStake);
    error ExposureCap(address key, uint256 locked, uint256 most);
    error ConcurrencyReached(address key, uint32 liveTasks, uint32 maxConcurrency);
    error PotTooSmall(bytes32 pot, uint128 amount, uint128 wanted);
    error CollateralHeld(uint256 taskId, uint128 amount);

    /// @dev A claim and a settlement write slot 1 only; slot 0 is read by both.
    struct Account {
        // slot 0
        address owner;
        uint40 jailedUntil;
        uint24 frozen; // more disputes than anyone can afford: a full count would refuse the next reveal
        bool tombstoned;
        uint24 index; // in `_keys`
        // slot 1
        uint96 free;
        uint96 locked;
        uint16 liveTasks;
        uint16 maxConcurrency;
        uint32 settledTasks;
        // slot 2
        address payout;
        uint96 unbonding;
        // slot 3
        uint40 registeredAt;
        uint32 duties;
        uint32 entryCount;
        uint40 slashedAt; // first safety slash
        uint40 correlationDueAt; // 0: never convicted, or taken
        uint16 correlationMultiplier; // as it was then
    }

    struct Entry {
        uint128 amount;
        uint64 matureAt;
        bool open;
    }

    /// @dev A task's pot carries its provider's collateral in the same slot.
    struct Pot {
        uint128 amount;
        uint128 collateral;
    }

    IERC20 internal immutable _asset;
    IParameters public immutable parameters;
    address public immutable market;
    address public immutable court;
    address public immutable audits;
    address public immutable traps;

    address[] internal _keys;
    mapping(address => Account) internal _accounts;
    mapping(bytes32 => Pot) internal _pots;
    mapping(address => bool) internal _banned;
    mapping(address => mapping(uint256 => Entry)) internal _entries;
    mapping(address => uint256[]) internal _openEntries;
    mapping(bytes32 => bool) internal _done; // slashes and penalties already taken
    mapping(address => uint128) public credit;
    uint128 public burned;
    uint128 public totalActiveStake; // beside `burned`: most of what lowers it burns

    modifier onlyModule() {
        // INVARIANT I1: Only the market, the court, the audits and the traps move value between buckets.
        if (msg.sender != market && msg.sender != court && msg.sender != audits && msg.sender != traps) {
            revert NotModule(msg.sender);
        }
        _;
    }

    modifier onlyMarket() {
        // INVARIANT I2: Only the market locks and unlocks collateral.
        if (msg.sender != market) revert NotMarket(msg.sender);
        _;
    }

    constructor(IERC20 asset_, System memory system) {
        _asset = asset_;
        parameters = IParameters(system.parameters);
        market = system.market;
        court = system.court;
        audits = system.audits;
        traps = system.traps;
    }

    // ---- pots

    function payFromPot(bytes32 id, address to, uint128 amount, bytes32 reason) external onlyModule {
        _take(id, amount);
        _pay(id, to, amount, reason);
    }

    function payProvider(bytes32 id, address key, uint128 amount, bytes32 reason) external onlyModule {
        _take(id, amount);
        _pay(id, _registered(key).payout, amount, reason);
    }

    function movePot(bytes32 from, bytes32 to, uint128 amount, bytes32 reason) external onlyModule {
        _take(from, amount);
        if (to != Pots.BURN) emit PotPaid(from, address(this), amount, reason);
        _put(from, to, amount);
    }

    // ---- the market's part

    function lockTask(address key, uint256 taskId, uint128 collateral, uint16 maxLockedBps, uint128 minStake)
        external
        onlyMarket
        returns (address owner, uint32 index)
    {
        Account storage a = _registered(key);
        owner = a.owner;
        index = a.index;
        // INVARIANT P-T4: No claim while tombstoned, for ever.
        if (a.tombstoned) revert ProviderTombstoned(key);
        if (_banned[owner]) revert ProviderBanned(owner);
        // INVARIANT P-T4: No claim while a dispute runs.
        if (a.frozen != 0) revert ProviderFrozen(key, a.frozen);
        // INVARIANT P-T4: No claim before `unjail`.
        if (a.jailedUntil != 0) revert ProviderJailed(key, a.jailedUntil);
        uint16 live = a.liveTasks;
        // INVARIANT P-T4: Declared concurrency is a promise.
        if (live >= a.maxConcurrency) revert ConcurrencyReached(key, live, a.maxConcurrency);
        uint96 free = a.free;
        uint96 locked = a.locked;
        // INVARIANT P-T4: What is risked is there.
        if (free < collateral) revert InsufficientFree(key, free, collateral);
        // INVARIANT P-T4: A provider has the least stake that the audit rate was computed for (P-E1).
        if (uint256(free) + locked < minStake) revert StakeTooLow(key, uint256(free) + locked, minStake);
        uint256 most = (uint256(free) + locked) * maxLockedBps / 10_000;
        // INVARIANT P-T4: Open exposure stays within the share of the stake that keeps cheating unprofitable (P-E2).
        if (uint256(locked) + collateral > most) revert ExposureCap(key, uint256(locked) + collateral, most);
        Pot storage p = _pots[Pots.task(taskId)];
        // INVARIANT I2: One attempt, one collateral.
        if (p.collateral != 0) revert CollateralHeld(taskId, p.collateral);

        a.liveTasks = live + 1;
        a.free = free - uint96(collateral); // collateral <= free
        a.locked = locked + uint96(collateral);
        p.collateral = collateral;
        emit Locked(key, taskId, collateral);
    }

    function canLock(address key, uint128 collateral, uint16 maxLockedBps, uint128 minStake) external view returns (bool) {
        Account storage a = _accounts[key];
        if (!_inGoodStanding(a) || a.liveTasks >= a.maxConcurrency || a.free < collateral) return false;
        uint256 active = uint256(a.free) + a.locked;
        return active >= minStake && uint256(a.locked) + collateral <= active * maxLockedBps / 10_000;
    }

    function unlockTask(address key, uint256 taskId) external onlyMarket {
        Pot storage p = _pots[Pots.task(taskId)];
        uint128 collateral = p.collateral;
        p.collateral = 0;
        _unlock(key, taskId, collateral, 0);
    }

    function settleTask(address key, uint256 taskId, address requester, uint128 price, uint128 maxPrice)
        external
        onlyMarket
        returns (uint128 refund)
    {
        // INVARIANT P-T9: The result of a tombstoned provider never settles.
        if (_accounts[key].tombstoned) revert ProviderTombstoned(key);
        bytes32 id = Pots.task(taskId);
        Pot memory p = _pots[id];
        // INVARIANT P-T1: Price and levy come out of the task's own escrow.
        if (p.amount < maxPrice) revert PotTooSmall(id, p.amount, maxPrice);
        refund = maxPrice - price;
        uint128 levy = p.amount - maxPrice;
        delete _pots[id];
        _unlock(key, taskId, p.collateral, 1);
        if (levy != 0) _pots[Pots.AUDIT_POOL].amount += levy;
        _pay(id, _accounts[key].payout, price, "price");
        if (refund != 0) _pay(id, requester, refund, "refund");
    }

    // ---- standing

    function freeze(address key) external onlyModule {
        Account storage a = _registered(key);
        a.frozen += 1;
        emit Frozen(key, a.frozen);
    }

    function unfreeze(address key) external onlyModule {
        Account storage a = _registered(key);
        a.frozen -= 1;
        emit Frozen(key, a.frozen);
    }

    function jail(address key, uint64 until) external onlyModule {
        Account storage a = _registered(key);
        if (until <= a.jailedUntil) return;
        a.jailedUntil = uint40(until);
        emit Jailed(key, until);
    }

    function tombstone(address key) external onlyModule {
        Account storage a = _registered(key);
        if (a.tombstoned) return;
        a.tombstoned = true;
        _banned[key] = true;
        _banned[a.owner] = true;
        _banned[a.payout] = true;
        emit Tombstoned(key, a.owner, a.payout);
    }

    function addDuty(address key) external onlyModule {
        _registered(key).duties += 1;
    }

    function removeDuty(address key) external onlyModule {
        _registered(key).duties -= 1;
    }

    // ---- views

    function keyAt(uint32 index) external view returns (address) {
        return _keys[index];
    }

    function indexOf(address key) external view returns (uint32) {
        return _registered(key).index;
    }

    function asset() external view returns (address) {
        return address(_asset);
    }

    function provider(address key) external view returns (Provider memory) {
        Account memory a = _accounts[key];
        return Provider({
            owner: a.owner,
            payout: a.payout,
            free: a.free,
            locked: a.locked,
            unbonding: a.unbonding,
            frozen: a.frozen,
            jailedUntil: a.jailedUntil,
            tombstoned: a.tombstoned,
            liveTasks: a.liveTasks,
            maxConcurrency: a.maxConcurrency,
            settledTasks: a.settledTasks,
            registeredAt: a.registeredAt
        });
    }

    /// @notice An unbonding entry; `amount` is what a slash has left of it.
    function unbondingEntry(address key, uint256 entry) external view returns (uint128 amount, uint64 matureAt) {
        Entry memory e = _entries[key][entry];
        return (e.amount, e.matureAt);
    }

    function dutiesOf(address key) external view returns (uint32) {
        return _accounts[key].duties;
    }

    function pot(bytes32 id) external view returns (uint128) {
        return _pots[id].amount;
    }

    function totalStake(address key) external view returns (uint128) {
        Account storage a = _accounts[key];
        return uint128(a.free) + a.locked + a.unbonding;
    }

    function isBanned(address anyKey) external view returns (bool) {
        return _banned[anyKey];
    }

    function isTombstoned(address key) external view returns (bool) {
        return _accounts[key].tombstoned;
    }

    function isSide(address key, address account) external view returns (bool) {
        Account storage a = _accounts[key];
        return account == key || account == a.owner || account == a.payout;
    }

    function isEligible(address key) public view returns (bool) {
        Account storage a = _accounts[key];
        return _inGoodStanding(a) && uint256(a.free) + a.locked >= parameters.stake().minStake;
    }

    function lockedFor(address key, uint256 taskId) public view returns (uint128) {
        (,, address holder,,) = IMarketCourt(market).standing(taskId);
        return holder == key ? _pots[Pots.task(taskId)].collateral : 0;
    }

    // ---- books

    /// @dev Stake of one that was never convicted is gone; that of a convict is counted no more.
    function _lose(Account storage a, uint128 amount) internal {
        if (a.slashedAt == 0) totalActiveStake -= amount;
    }

    function _registered(address key) internal view returns (Account storage a) {
        a = _accounts[key];
        if (a.owner == address(0)) revert NotRegistered(key);
    }

    function _inGoodStanding(Account storage a) private view returns (bool) {
        address owner = a.owner;
        return owner != address(0) && !a.tombstoned && a.frozen == 0 && a.jailedUntil == 0 && !_banned[owner];
    }

    function _take(bytes32 id, uint128 amount) private {
        uint128 have = _pots[id].amount;
        // INVARIANT I8: A pot never pays more than it holds.
        if (have < amount) revert PotTooSmall(id, have, amount);
        _pots[id].amount = have - amount;
    }

    function _pay(bytes32 id, address to, uint128 amount, bytes32 reason) private {
        credit[to] += amount;
        emit PotPaid(id, to, amount, reason);
    }

    /// @dev Value that has left a bucket arrives in pot `to`, or is burned.
    function _put(bytes32 from, bytes32 to, uint128 amount) internal {
        if (amount == 0) return;
        if (to == Pots.BURN) {
            burned += amount;
            emit Burned(from, amount);
        } else {
            _pots[to].amount += amount;
        }
    }

    function _unlock(address key, uint256 taskId, uint128 collateral, uint32 settled) private {
        Account storage a = _accounts[key];
        a.liveTasks -= 1;
        a.settledTasks += settled;
        a.free += uint96(collateral); // was taken from a uint96
        a.locked -= uint96(collateral);
        emit Unlocked(key, taskId, collateral);
    }
}

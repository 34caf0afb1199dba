// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IStakeVaultModule} from "../interfaces/IStakeVaultModule.sol";
import {StakeParams} from "../interfaces/IParameters.sol";
import {System} from "../interfaces/System.sol";
import {Pots} from "../lib/Pots.sol";
import {StakeSlashing} from "./StakeSlashing.sol";

/// @notice Every coin of the system: stakes, pots and credits. See `IStakeVault` for the conservation law.
/// The asset must be a plain ERC-20: what `transferFrom` says it moves, arrives.
contract StakeVault is StakeSlashing, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    error ZeroAmount();
    error ZeroAddress();
    error AlreadyRegistered(address key);
    error Banned(address account);
    error NoConsent(address account, address key);
    error StakeBelowMinimum(uint128 amount, uint128 minimum);
    error ConcurrencyOutOfRange(uint32 asked, uint32 most);
    error TooManyUnbondings(uint256 most);
    error NotMature(uint256 entry, uint64 matureAt, uint256 nowSeconds);
    error UnknownEntry(address provider, uint256 entry);
    error ObligationsOpen(uint32 liveTasks, uint32 frozen, uint32 duties);
    error InsufficientCredit(address account, uint128 credit, uint128 asked);
    error NotJailed(address provider);
    error JailedUntil(address provider, uint64 until);

    uint256 private constant MAX_UNBONDINGS = 8;

    mapping(address => mapping(address => bool)) public hasConsent;

    constructor(IERC20 asset_, System memory system) StakeSlashing(asset_, system) {}

    // ---- providers

    function consent(address key, bool allowed) external {
        hasConsent[msg.sender][key] = allowed;
        emit Consented(msg.sender, key, allowed);
    }

    function register(address owner, address payout, uint32 maxConcurrency, uint128 stakeAmount) external nonReentrant {
        address key = msg.sender;
        StakeParams memory rules = parameters.stake();
        if (owner == address(0) || payout == address(0)) revert ZeroAddress();
        // INVARIANT P-V1: A key registers once; a tombstone is not washed off by registering again.
        if (_accounts[key].owner != address(0)) revert AlreadyRegistered(key);
        // INVARIANT P-V1: A tombstone bars key, owner and payout.
        if (_banned[key]) revert Banned(key);
        if (_banned[owner]) revert Banned(owner);
        if (_banned[payout]) revert Banned(payout);
        // INVARIANT P-C4: Nobody becomes a side of a provider without having agreed to it.
        if (owner != key && !hasConsent[owner][key]) revert NoConsent(owner, key);
        if (payout != key && payout != owner && !hasConsent[payout][key]) revert NoConsent(payout, key);
        if (stakeAmount < rules.minStake) revert StakeBelowMinimum(stakeAmount, rules.minStake);
        if (maxConcurrency == 0 || maxConcurrency > type(uint16).max) {
            revert ConcurrencyOutOfRange(maxConcurrency, type(uint16).max);
        }

        Account storage a = _accounts[key];
        a.owner = owner;
        a.index = SafeCast.toUint24(_keys.length);
        _keys.push(key);
        a.payout = payout;
        a.maxConcurrency = uint16(maxConcurrency);
        a.registeredAt = uint40(block.timestamp);
        a.free = SafeCast.toUint96(stakeAmount);
        totalActiveStake += stakeAmount;
        _pots[Pots.AUDIT_POOL].amount += rules.registrationFee;

        emit Registered(key, owner, payout, maxConcurrency);
        emit Staked(key, stakeAmount);
        emit PotFunded(Pots.AUDIT_POOL, key, rules.registrationFee);
        _asset.safeTransferFrom(key, address(this), uint256(stakeAmount) + rules.registrationFee);
    }

    function stake(address key, uint128 amount) external nonReentrant {
        Account storage a = _registered(key);
        // INVARIANT P-V1: A tombstoned provider takes no new stake, so nobody funds it by mistake.
        if (a.tombstoned) revert ProviderTombstoned(key);
        if (amount == 0) revert ZeroAmount();
        a.free += SafeCast.toUint96(amount);
        totalActiveStake += amount;
        emit Staked(key, amount);
        _asset.safeTransferFrom(msg.sender, address(this), amount);
    }

    function requestUnbond(uint128 amount) external returns (uint256 entry) {
        Account storage a = _registered(msg.sender);
        if (amount == 0) revert ZeroAmount();
        // INVARIANT P-V4: Only free stake unbonds; collateral stays where its task can reach it.
        if (amount > a.free) revert InsufficientFree(msg.sender, a.free, amount);
        uint256[] storage open = _openEntries[msg.sender];
        // INVARIANT P-V4: Few open entries, so that a slash reaches all of them in bounded gas.
        if (open.length >= MAX_UNBONDINGS) revert TooManyUnbondings(MAX_UNBONDINGS);

        entry = a.entryCount++;
        uint64 matureAt = uint64(block.timestamp) + parameters.stake().unbondingSeconds;
        a.free -= uint96(amount); // amount <= free
        a.unbonding += uint96(amount);
        _entries[msg.sender][entry] = Entry(amount, matureAt, true);
        open.push(entry);
        emit UnbondRequested(msg.sender, entry, amount, matureAt);
    }

    /// @notice To the owner, once the time has passed and nothing is owed. An entry slashed to nothing pays nothing.
    function withdrawUnbonded(uint256 entry) external nonReentrant {
        Account storage a = _registered(msg.sender);
        Entry storage e = _entries[msg.sender][entry];
        if (!e.open) revert UnknownEntry(msg.sender, entry);
        // INVARIANT P-V4: Withdrawal needs the elapsed time ...
        if (block.timestamp < e.matureAt) revert NotMature(entry, e.matureAt, block.timestamp);
        // INVARIANT P-V4: ... and zero obligations, whatever the time.
        if (a.liveTasks != 0 || a.frozen != 0 || a.duties != 0) revert ObligationsOpen(a.liveTasks, a.frozen, a.duties);
        // INVARIANT P-V6: Nothing of a convict's stake leaves before it has paid with the others of its time.
        _penaliseCorrelated(msg.sender, a);

        uint128 amount = e.amount;
        delete _entries[msg.sender][entry];
        _closeEntry(msg.sender, entry);
        a.unbonding -= uint96(amount); // entries sum to it
        _lose(a, amount);
        emit Unbonded(msg.sender, entry, amount);
        if (amount != 0) _asset.safeTransfer(a.owner, amount);
    }

    function unjail() external {
        Account storage a = _registered(msg.sender);
        // INVARIANT P-V1: A tombstone is no jail; it has no end.
        if (a.tombstoned) revert ProviderTombstoned(msg.sender);
        if (a.jailedUntil == 0) revert NotJailed(msg.sender);
        // INVARIANT P-T6: A jail is served in full.
        if (block.timestamp < a.jailedUntil) revert JailedUntil(msg.sender, a.jailedUntil);
        a.jailedUntil = 0;
        emit Unjailed(msg.sender);
    }

    // ---- anyone

    function withdrawCredit(address to, uint128 amount) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        uint128 have = credit[msg.sender];
        // INVARIANT P-V5: Nobody draws more than its credit.
        if (amount > have) revert InsufficientCredit(msg.sender, have, amount);
        credit[msg.sender] = have - amount;
        emit CreditWithdrawn(msg.sender, to, amount);
        _asset.safeTransfer(to, amount);
    }

    // ---- modules

    function fundPot(bytes32 id, address from, uint128 amount) external onlyModule nonReentrant {
        // INVARIANT I1: BURN is no pot; nothing is pulled into it.
        if (id == Pots.BURN) revert ZeroAddress();
        _pots[id].amount += amount;
        emit PotFunded(id, from, amount);
        _asset.safeTransferFrom(from, address(this), amount);
    }

    function _closeEntry(address key, uint256 entry) private {
        uint256[] storage open = _openEntries[key];
        uint256 last = open.length - 1;
        for (uint256 i = 0; i < last; i++) {
            if (open[i] == entry) {
                open[i] = open[last];
                break;
            }
        }
        open.pop();
    }
}

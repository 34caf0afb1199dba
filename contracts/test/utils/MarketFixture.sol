// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./Test.sol";
import {DefaultParams} from "./DefaultParams.sol";
import {StopLeaf} from "./StopLeaf.sol";
import {TraceTree} from "./TraceTree.sol";
import {Parameters} from "../../src/Parameters.sol";
import {DevBeacon} from "../../src/beacon/DevBeacon.sol";
import {DevToken} from "../../src/token/DevToken.sol";
import {StakeVault} from "../../src/stake/StakeVault.sol";
import {ProviderPool} from "../../src/stake/ProviderPool.sol";
import {Market} from "../../src/market/Market.sol";
import {Traps} from "../../src/audits/Traps.sol";
import {Params} from "../../src/interfaces/IParameters.sol";
import {System} from "../../src/interfaces/System.sol";
import {ModelHeader, TaskSpec, Task, TaskState, Provider} from "../../src/interfaces/Types.sol";
import {ModelHash} from "../../src/lib/ModelHash.sol";
import {Pots} from "../../src/lib/Pots.sol";

/// @notice Vault, pool, market, beacon and parameters, with plain accounts in the places of court and audits, so that a
/// test can speak for them. `_deployCourt` is the seam at which other fixtures put the real ones.
abstract contract MarketFixture is Test {
    uint128 internal constant UNIT = 1e18;
    uint64 internal constant BEACON_PERIOD = 3;

    DevToken internal token;
    Parameters internal parameters;
    DevBeacon internal beacon;
    StakeVault internal vault;
    ProviderPool internal pool;
    Market internal market;
    Traps internal traps;
    address internal court;
    address internal audits;
    System internal system;

    address internal timelock = address(0x71);
    address internal guardian = address(0x72);
    address internal requester;
    address internal alice; // provider
    address internal bob; // provider
    address internal carol; // provider

    ModelHeader internal header;
    bytes32 internal modelId;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        vm.roll(1_000);
        token = new DevToken(address(this), 1_000_000_000e18);
        _deploy(_params());
        requester = _funded("requester");
        alice = _provider("alice", 1_000 * UNIT, 8);
        bob = _provider("bob", 1_000 * UNIT, 8);
        carol = _provider("carol", 1_000 * UNIT, 8);
        header = _header();
        modelId = market.registerModel(header, "mem://model");
        skip(1);
    }

    function _params() internal view virtual returns (Params memory) {
        return DefaultParams.get();
    }

    function _deploy(Params memory p) internal {
        parameters = new Parameters(timelock, guardian, p);
        beacon = new DevBeacon(BEACON_PERIOD);
        uint256 nonce = vm.getNonce(address(this));
        system.parameters = address(parameters);
        system.beacon = address(beacon);
        system.vault = vm.computeCreateAddress(address(this), nonce);
        system.pool = vm.computeCreateAddress(address(this), nonce + 1);
        system.market = vm.computeCreateAddress(address(this), nonce + 2);
        system.traps = vm.computeCreateAddress(address(this), nonce + 3);
        (system.court, system.audits) = _placeCourt(nonce + 4);
        vault = new StakeVault(token, system);
        pool = new ProviderPool(system);
        market = new Market(system);
        traps = new Traps(system);
        court = system.court;
        audits = system.audits;
        _deployCourt();
        assertEq(address(market), system.market);
    }

    /// @dev Where court and audits will be.
    function _placeCourt(uint256) internal virtual returns (address, address) {
        return (makeAddr("court"), makeAddr("audits"));
    }

    function _deployCourt() internal virtual {}

    /// @dev Four commit points, one hundred steps: level-1 height 9.
    function _header() internal view virtual returns (ModelHeader memory) {
        return ModelHeader({
            numericsVersion: 1,
            loweringVersion: 1,
            nodeCount: 40,
            maxSteps: 100,
            commitPoints: 4,
            traceHeight: 9,
            opsHeight: 4,
            liveHeight: 2,
            work: 1_000_000,
            nodesRoot: keccak256("nodes"),
            edgesRoot: keccak256("edges"),
            weightsRoot: keccak256("weights"),
            segmentsRoot: keccak256("segments"),
            assetsRoot: keccak256("assets")
        });
    }

    // ---- people

    function _funded(string memory name) internal returns (address account) {
        account = makeAddr(name);
        require(token.transfer(account, 100_000 * UNIT));
        vm.prank(account);
        token.approve(address(vault), type(uint256).max);
    }

    /// @dev Key, owner and payout apart, and all agreed.
    function _provider(string memory name, uint128 stakeAmount, uint32 concurrency) internal returns (address key) {
        key = _funded(name);
        address owner = makeAddr(string.concat(name, "-owner"));
        address payout = makeAddr(string.concat(name, "-payout"));
        vm.prank(owner);
        vault.consent(key, true);
        vm.prank(payout);
        vault.consent(key, true);
        vm.prank(key);
        vault.register(owner, payout, concurrency, stakeAmount);
    }

    function _ownerOf(address key) internal view returns (address) {
        return vault.provider(key).owner;
    }

    function _payoutOf(address key) internal view returns (address) {
        return vault.provider(key).payout;
    }

    // ---- tasks

    function _spec() internal view virtual returns (TaskSpec memory) {
        return TaskSpec({
            modelId: modelId,
            familyId: 0,
            inputDigest: keccak256("input"),
            seed: 7,
            minPrice: 1 * UNIT,
            maxPrice: 3 * UNIT,
            rampSeconds: 100,
            execSeconds: 600
        });
    }

    function _post() internal returns (uint256 taskId) {
        TaskSpec memory spec = _spec();
        vm.prank(requester);
        return market.post(spec, "mem://input");
    }

    function _claim(uint256 taskId, address provider) internal {
        vm.prank(provider);
        market.claim(taskId);
    }

    /// @dev Leaves of an honest-looking trace of `steps` steps; `salt` makes another one.
    function _leaves(uint32 steps, uint256 salt) internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](uint256(steps) * header.commitPoints);
        for (uint256 i = 0; i < leaves.length; i++) {
            bytes32 seed = _seedOf(i, salt);
            bool ends = (i + 1) % header.commitPoints == 0;
            leaves[i] = ends ? StopLeaf.leaf(seed, header.liveHeight) : seed;
        }
    }

    function _seedOf(uint256 leaf, uint256 salt) private pure returns (bytes32) {
        return keccak256(abi.encode("live", leaf, salt));
    }

    /// @dev Opening of the stop slot in the last of these leaves.
    function _stopProof(uint32 steps, uint256 salt) internal view returns (bytes32[] memory) {
        return StopLeaf.proof(_seedOf(uint256(steps) * header.commitPoints - 1, salt), header.liveHeight);
    }

    function _commit(uint256 taskId, address provider) internal {
        uint32 steps = 1;
        bytes32[] memory leaves = _leaves(steps, 0);
        uint256 last = leaves.length - 1;
        bytes32 level1Root = TraceTree.root(leaves, header.traceHeight);
        bytes32[] memory proof = TraceTree.open(leaves, header.traceHeight, last);
        vm.prank(provider);
        market.commit(taskId, steps, leaves[last], level1Root, proof, _stopProof(steps, 0));
    }

    function _committed(address provider) internal returns (uint256 taskId) {
        taskId = _post();
        _claim(taskId, provider);
        _commit(taskId, provider);
    }

    function _decideNoAudit(uint256 taskId) internal virtual {
        uint8 attempt = market.task(taskId).attempt;
        vm.prank(audits);
        market.auditDecided(taskId, attempt, false);
    }

    function _settle(uint256 taskId) internal {
        if (block.timestamp < market.settleableAt(taskId)) vm.warp(market.settleableAt(taskId));
        market.settle(taskId);
    }

    /// @dev A task that `provider` let slip, so that it waits in the retry lane as attempt 1.
    function _missed(address provider) internal returns (uint256 taskId) {
        taskId = _post();
        _claim(taskId, provider);
        vm.warp(market.task(taskId).deadline + 1);
        market.missDeadline(taskId);
    }

    function _unjailed(address provider) internal {
        uint64 until = vault.provider(provider).jailedUntil;
        if (block.timestamp < until) vm.warp(until);
        vm.prank(provider);
        vault.unjail();
    }

    // ---- checks

    function assertState(uint256 taskId, TaskState wanted) internal view {
        assertEq(uint256(market.task(taskId).state), uint256(wanted), "task state");
    }

    /// @dev I1 for the accounts a test knows.
    function assertConserved(uint256 tasks, address[] memory providers, address[] memory creditors, bytes32[] memory pots)
        internal
        view
    {
        uint256 sum = vault.burned() + vault.pot(Pots.AUDIT_POOL);
        for (uint256 i = 1; i <= tasks; i++) {
            sum += vault.pot(Pots.task(i));
        }
        for (uint256 i = 0; i < pots.length; i++) {
            sum += vault.pot(pots[i]);
        }
        for (uint256 i = 0; i < providers.length; i++) {
            sum += vault.totalStake(providers[i]);
        }
        for (uint256 i = 0; i < creditors.length; i++) {
            sum += vault.credit(creditors[i]);
        }
        assertEq(token.balanceOf(address(vault)), sum, "every coin is in one bucket");
    }
}

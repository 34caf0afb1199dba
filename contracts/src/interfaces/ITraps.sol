// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice The deposit behind a trap that nobody has shown yet.
struct Seal {
    uint128 jackpot;
    uint64 sealedAt; // 0: there is none
    bool used;
}

/// @notice A result that was shown to be wrong on purpose.
struct Trap {
    // slot 0
    address sealer;
    uint64 revealedAt; // 0: the result is no trap that anybody has shown
    uint16 finders;
    bool penalised; // the auditor that let it pass
    bool closed; // shares are known
    // slot 1
    uint128 jackpot;
    uint128 share; // of each finder, once closed
    // slot 2
    uint64 claimsUntil; // last second in which a finder can be entered
    bytes32 pot;
    bytes32 traceRoot; // of the result
}

/// @notice What a seal was about, and where it is in the result.
struct TrapOpening {
    address sealer;
    bytes32 salt; // of the leaf
    bytes32 nonce; // of the commitment: without it the leaf, once seen, would tell whose the seal is
    uint64 leafIndex;
    bytes32[] proof; // leaf -> level-1 root
}

/// @notice Known-answer tasks. A requester and a provider who want to see whether auditors are awake commit a result that
/// is wrong on purpose, behind a deposit that was sealed before the result was there. Whoever found it shares the deposit;
/// the auditor that said "matched" pays.
interface ITraps {
    event Sealed(address indexed sealer, bytes32 indexed commitment, uint128 jackpot);
    event Unsealed(address indexed sealer, bytes32 indexed commitment, uint128 jackpot);
    event TrapRevealed(
        uint256 indexed taskId, uint8 attempt, address indexed sealer, bytes32 commitment, uint64 leafIndex, uint64 claimsUntil
    );
    event TrapPassed(uint256 indexed taskId, uint8 attempt, address indexed auditor, uint128 penalty);
    event TrapFound(uint256 indexed taskId, uint8 attempt, address indexed finder);
    event TrapClosed(uint256 indexed taskId, uint8 attempt, uint16 finders, uint128 share);
    event JackpotPaid(uint256 indexed taskId, uint8 attempt, address indexed finder, uint128 amount);

    /// @notice Deposit a jackpot for a trap that a later result will hold. Pulls `jackpot` from the caller into the vault.
    /// commitment = keccak256(abi.encode("Gavel trap", chainid, traps, sealer, requester, provider, trapLeaf, nonce)) with
    /// trapLeaf = H(0x0a || salt), the string as a bytes32.
    function seal(bytes32 commitment, uint128 jackpot) external;
    /// @notice Take back the deposit of a trap that was not shown. It then excuses nothing any more.
    function unseal(bytes32 commitment) external; // sealer
    /// @notice Show that the task's result is a trap: its leaf `leafIndex` is `H(0x0a || salt)`.
    function reveal(uint256 taskId, TrapOpening calldata opening) external; // requester
    /// @notice The auditor that said "matched" of a shown trap pays a bond: half is burned, half is the sealer's. Anyone.
    function penaliseAuditor(uint256 taskId, uint8 attempt) external;
    /// @notice Enter an auditor that said "mismatched", or a challenger that revealed, as a finder. Anyone.
    function enter(uint256 taskId, uint8 attempt, address finder) external;
    /// @notice The caller found it and was not heard: it opens what it had committed to in court, or as the auditor.
    function show(uint256 taskId, uint8 attempt, bytes32 ownTraceRoot, bytes32 salt) external;
    /// @notice After the time for claims: the shares are known, and nobody's part is burned (the sealer's, with no finder). Anyone.
    function close(uint256 taskId, uint8 attempt) external;
    /// @notice A finder's share, to its credit. Anyone.
    function collect(uint256 taskId, uint8 attempt, address finder) external;
    // ---- views
    function sealOf(address sealer, bytes32 commitment) external view returns (Seal memory);
    function trapOf(uint256 taskId, uint8 attempt) external view returns (Trap memory);
    function isTrap(uint256 taskId, uint8 attempt) external view returns (bool);
    /// @notice Entered as a finder and not paid yet.
    function isFinder(uint256 taskId, uint8 attempt, address account) external view returns (bool);
    /// @notice Least jackpot of a new seal.
    function leastJackpot() external view returns (uint128);
    function market() external view returns (address);
}

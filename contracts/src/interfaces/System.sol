// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Addresses of one deployment. Every contract takes the whole set and keeps what it needs as immutables; the
/// deployer knows the addresses beforehand from its nonce, and `WiringCheck` confirms that all agree.
struct System {
    address parameters;
    address beacon;
    address vault;
    address pool;
    address market;
    address court;
    address audits;
    address traps;
}

// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @notice The asset of a development chain: a fixed supply, minted once. A real deployment names a token that exists.
contract DevToken is ERC20Permit {
    constructor(address holder, uint256 supply) ERC20("Gavel development token", "dGVL") ERC20Permit("Gavel development token") {
        _mint(holder, supply);
    }
}
